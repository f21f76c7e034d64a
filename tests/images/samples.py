"""Small pictures, metadata and profiles that the tests of this room share."""

from __future__ import annotations

import struct
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

from restorekit.images import Image, Metadata, write

XMP = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Make="Lens &amp; Son" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
MAKER_NOTE = bytes(range(256)) * 2
FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "AVIF")


def picture(height: int, width: int, channels: int, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    """``(H, W, C)`` smooth colours with a little noise, so that lossy formats keep them well."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [0.5 + 0.4 * np.sin(3 * x + c) * np.cos(2 * y - c) for c in range(channels)]
    values = np.clip(np.stack(waves, axis=2) + rng.normal(0, 0.01, (height, width, channels)), 0, 1)
    if dtype == "float32":
        return values.astype(np.float32)
    return np.rint(values * np.iinfo(dtype).max).astype(dtype)


def exif_block(orientation: int | None = 1, **others: Any) -> bytes:
    """An EXIF block with a camera, sides, a maker note, a place and a preview, as Pillow would write it."""
    exif = PillowImage.Exif()
    exif[0x010F] = "Kamera"
    exif[0x0110] = "Modell 1"
    exif[0x0132] = "2024:05:06 07:08:09"
    exif[0x011A], exif[0x011B], exif[0x0128] = (240.0, 120.0, 2)
    if orientation is not None:
        exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0x927C: MAKER_NOTE, 0xA002: 17, 0xA003: 13})
    exif.get_ifd(0x8825).update({1: "N", 2: (47.0, 30.0, 15.5), 3: "E", 4: (8.0, 43.0, 1.25)})
    for tag, value in others.items():
        exif[int(tag[1:])] = value
    return exif.tobytes()


def with_preview(block: bytes) -> bytes:
    """The block with a second directory, as cameras add it for the preview."""
    body = bytearray(block.removeprefix(b"Exif\0\0"))
    order = "<" if body[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", body, 4)
    (count,) = struct.unpack_from(order + "H", body, first)
    struct.pack_into(order + "I", body, first + 2 + 12 * count, len(body))
    preview = struct.pack(order + "HHHII", 1, 0x0103, 3, 1, 6 << (16 if order == ">" else 0)) + bytes(4)
    return b"Exif\0\0" + bytes(body) + preview


def tags_of(block: bytes | None) -> dict[int, Any]:
    """Everything Pillow finds in an EXIF block, directories within it included, offsets excluded."""
    if block is None:
        return {}
    exif = PillowImage.Exif()
    exif.load(block)
    tags: dict[int, Any] = {tag: value for tag, value in exif.items() if tag not in (0x8769, 0x8825)}
    for directory in (0x8769, 0x8825):
        tags |= {directory * 65536 + tag: value for tag, value in exif.get_ifd(directory).items()}
    return tags


@cache
def srgb() -> bytes:
    """An RGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def metadata(orientation: int = 1) -> Metadata:
    """Every kind of metadata there is."""
    return Metadata(
        srgb(), exif_block(orientation), XMP % orientation, (240.0, 120.0), (("Title", "Schöne Aussicht"), ("Comment", "c"))
    )


def encoded(image: Image, file_format: str, **options: Any) -> bytes:
    """The bytes :func:`write` gives."""
    buffer = BytesIO()
    write(image, buffer, format=file_format, **options)
    return buffer.getvalue()


@cache
def cmyk_profile() -> bytes:
    """A small CMYK printer profile (ICC version 2, 8-bit tables) of an idealised press on paper that is not quite white.

    Built here, as no free one is small enough to carry along: A2B0 on a grid of 5 per ink, B2A0 on a grid of 17 per axis of Lab.
    """
    ink = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    forward = _lab_of_rgb((1 - ink[:, :3]) * (1 - ink[:, 3:]) * (0.95, 0.94, 0.9))
    axes = [np.linspace(0, 100, 17), np.linspace(-128, 127, 17), np.linspace(-128, 127, 17)]
    lab = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    reached = np.clip(_rgb_of_lab(lab) / (0.95, 0.94, 0.9), 0, 1)
    key = 0.5 * (1 - reached.max(1, keepdims=True))
    backward = np.concatenate((np.clip(1 - reached / (1 - key), 0, 1), key), axis=1)
    white = _lab_xyz(1.0, 1.0, 1.0)
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in white)),
        b"A2B0": _lut8(4, 3, 5, np.stack((forward[:, 0] * 2.55, forward[:, 1] + 128, forward[:, 2] + 128), axis=1)),
        b"B2A0": _lut8(3, 4, 17, backward * 255),
    }
    body, table, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", at + len(body), bytes(4), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def _lut8(inputs: int, outputs: int, grid: int, values: np.ndarray) -> bytes:
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    ramp = bytes(range(256))
    cube = np.clip(np.rint(values), 0, 255).astype(np.uint8).tobytes()
    return b"mft1" + bytes(4) + bytes([inputs, outputs, grid, 0]) + identity + ramp * inputs + cube + ramp * outputs


_D50 = np.array((0.9642, 1.0, 0.8249))
_TO_XYZ = np.array(((0.4361, 0.3851, 0.1431), (0.2225, 0.7169, 0.0606), (0.0139, 0.0971, 0.7141)))


def _lab_xyz(r: float, g: float, b: float) -> np.ndarray:
    return _TO_XYZ @ np.array((r, g, b))


def _lab_of_rgb(rgb: np.ndarray) -> np.ndarray:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _TO_XYZ.T / _D50
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.stack((116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), axis=1)


def _rgb_of_lab(lab: np.ndarray) -> np.ndarray:
    fy = (lab[:, 0] + 16) / 116
    f = np.stack((fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200), axis=1)
    ratio = np.where(f > 6 / 29, f**3, (116 * f - 16) * 27 / 24389)
    linear = np.clip((ratio * _D50) @ np.linalg.inv(_TO_XYZ).T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
