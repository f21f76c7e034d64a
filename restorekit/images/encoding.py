"""Encoding with Pillow: PNG, JPEG, WebP, BMP, AVIF and HEIF, 8 bits a sample."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from restorekit.images import exif, iptc, xmp
from restorekit.images.code_points import LENGTHS
from restorekit.images.colour import CMYKConverter, space_of, to_srgb
from restorekit.images.depth import Array
from restorekit.images.formats import FORMATS, Format
from restorekit.images.metadata import Metadata
from restorekit.images.opening import heif_plugin
from restorekit.images.pillow import assembled
from restorekit.images.png16 import HEADER_END

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_JPEG_SEGMENT = 65533 - 29  # bytes of a segment, less the longest name in front of what we write
_DENSEST = 5e7  # dots an inch; more do not fit into the 32 bits of dots a metre


def encode(
    pixels: Array, alpha: Array | None, metadata: Metadata, file_format: str, quality: int, subsampling: str, cmyk: bool
) -> memoryview:
    """The bytes of a file of any format but TIFF and 16-bit PNG.

    Args:
        pixels: ``(H, W, 1 or 3)``, uint8.
        alpha: ``(H, W)``, uint8, or None.
        metadata: what to write with them; the profile must fit the pixels, which are converted to sRGB where the format cannot
            hold it.
        file_format: a name in :data:`~restorekit.images.formats.FORMATS`.
        quality: 1 to 100, for the formats that have one.
        subsampling: ``"4:4:4"``, ``"4:2:2"`` or ``"4:2:0"``, for the formats that have one.
        cmyk: whether RGB pixels are converted to CMYK, with the metadata's profile if it is one of CMYK.
    """
    pil = assembled(pixels, alpha)
    if cmyk:
        pil = CMYKConverter(metadata.icc_profile).to_cmyk(pil)
    elif metadata.icc_profile and not _goes_with(metadata.icc_profile, pil.mode, FORMATS[file_format]):
        pil, metadata = to_srgb(pil, metadata.icc_profile), replace(metadata, icc_profile=None)
    buffer = BytesIO()
    _ENCODERS[file_format](buffer, pil, metadata, quality, subsampling)
    return buffer.getbuffer()


def _goes_with(profile: bytes, mode: str, kind: Format) -> bool:
    """Whether a file of that kind holds the profile: some hold none, and a profile of grey does not go with grey made RGB."""
    return kind.profile and (space_of(profile) != "GRAY" or mode in kind.greys)


def companion(metadata: Metadata) -> bytes:
    """A PNG file of one pixel that carries metadata; see :mod:`restorekit.images.png16`."""
    from PIL import Image as PillowImage

    buffer = BytesIO()
    _encode_png(buffer, PillowImage.new("L", (1, 1)), metadata)
    return buffer.getvalue()


def _encode_png(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, *_: object) -> None:
    from PIL.PngImagePlugin import PngInfo, putchunk

    info = PngInfo()
    for key, value in metadata.text:
        info.add_text(key, value)
    if metadata.iptc:
        info.add_text(iptc.TEXT, iptc.as_text(metadata.iptc), zip=True)
    for name, body in metadata.colour:
        if name not in LENGTHS and metadata.icc_profile is None:
            info.add(name, body)
    if metadata.xmp is not None:
        info.add(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    options: dict[str, Any] = {"exif": metadata.exif} if metadata.exif else {}
    if metadata.dpi and max(metadata.dpi) < _DENSEST:
        options["dpi"] = metadata.dpi
    pil.save(buffer, "PNG", pnginfo=info, icc_profile=metadata.icc_profile, **options)
    coded = [(name, body) for name, body in metadata.colour if name in LENGTHS]
    if coded:  # not every version of Pillow writes them; their place is before palette and pixels
        rest = buffer.getvalue()[HEADER_END:]
        buffer.seek(HEADER_END)
        for name, body in coded:
            putchunk(buffer, name, body)
        buffer.write(rest)


def _encode_jpeg(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, quality: int, subsampling: str) -> None:
    block = exif.fitted(metadata.exif, _JPEG_SEGMENT) if metadata.exif else None
    packet = xmp.fitted(metadata.xmp, _JPEG_SEGMENT) if metadata.xmp else None
    comment = dict(metadata.text).get("Comment", "").encode()
    records = _iptc_segment(metadata.iptc) if metadata.iptc and len(metadata.iptc) <= _JPEG_SEGMENT else b""
    pil.save(
        buffer,
        "JPEG",
        quality=quality,
        subsampling=subsampling,
        icc_profile=metadata.icc_profile,
        exif=block or b"",
        xmp=packet,
        comment=comment if len(comment) <= _JPEG_SEGMENT else None,
        extra=records,
        dpi=metadata.dpi if metadata.dpi and max(metadata.dpi) < 65535 else (0, 0),
    )


def _iptc_segment(records: bytes) -> bytes:
    """Marker APP13 with IPTC records as a Photoshop resource, as every program keeps them in JPEG."""
    content = b"Photoshop 3.0\0" + iptc.as_resource(records)
    return b"\xff\xed" + struct.pack(">H", 2 + len(content)) + content


def _encode_webp(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, quality: int, _: str) -> None:
    lossless = quality >= 100  # there quality means effort
    block = exif.with_resolution(metadata.exif, metadata.dpi) if metadata.dpi else metadata.exif
    pil.save(
        buffer,
        "WEBP",
        quality=75 if lossless else quality,
        lossless=lossless,
        exact=True,
        icc_profile=metadata.icc_profile or "",
        exif=block or b"",
        xmp=metadata.xmp or b"",
    )


def _encode_avif(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, quality: int, subsampling: str) -> None:
    block = exif.with_resolution(metadata.exif, metadata.dpi) if metadata.dpi else metadata.exif
    if block:  # AVIF has a field of its own for it, and Pillow would write a block that has the tag anew
        block = exif.without_orientation(block).removeprefix(exif.PREFIX)
    grey = pil.mode == "L"
    pil.save(
        buffer,
        "AVIF",
        quality=quality,
        subsampling="4:0:0" if grey else subsampling,
        icc_profile=metadata.icc_profile,
        exif=block or b"",
        xmp=metadata.xmp or b"",
    )


def _encode_bmp(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, *_: object) -> None:
    dpi = metadata.dpi if metadata.dpi and max(metadata.dpi) < _DENSEST else (0, 0)
    if pil.mode in ("L", "RGB"):
        pil.save(buffer, "BMP", dpi=dpi)
        return
    import cv2

    # Pillow writes alpha into a field that no reader, itself included, takes for alpha
    data = bytearray(cv2.imencode(".bmp", cv2.cvtColor(np.asarray(pil.convert("RGBA")), cv2.COLOR_RGBA2BGRA))[1])
    for at, value in zip((38, 42), dpi, strict=True):
        data[at : at + 4] = round(value / 0.0254).to_bytes(4, "little")
    buffer.write(data)


def _encode_heif(buffer: BytesIO, pil: PillowImage.Image, metadata: Metadata, quality: int, subsampling: str) -> None:
    heif_plugin("the output")
    block = exif.with_resolution(metadata.exif, metadata.dpi) if metadata.dpi else metadata.exif
    if pil.mode == "LA":
        pil = pil.convert("RGBA")
    options = {"exif": block, "xmp": metadata.xmp, "icc_profile": metadata.icc_profile}
    pil.save(
        buffer,
        "HEIF",
        quality=-1 if quality >= 100 else quality,
        chroma=int(subsampling.replace(":", "")),
        **{key: value for key, value in options.items() if value},
    )


_ENCODERS: dict[str, Callable[[BytesIO, PillowImage.Image, Metadata, int, str], None]] = {
    "PNG": _encode_png,
    "JPEG": _encode_jpeg,
    "WEBP": _encode_webp,
    "BMP": _encode_bmp,
    "AVIF": _encode_avif,
    "HEIF": _encode_heif,
}
