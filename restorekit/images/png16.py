"""PNG with 16 bits a sample, which Pillow would cut to 8 where there are colours or alpha.

imagecodecs codes the pixels. Ancillary chunks (profile, EXIF, XMP, resolution, text) are Pillow's work: it reads and writes
them on a picture of a single pixel.

Source: PNG specification, third edition (2025), sections 5 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np

from restorekit.images.depth import Array

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_TOLD_BY_PILLOW = (b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"eXIf", b"iTXt", b"tEXt", b"zTXt", b"pHYs")
HEADER_END = len(SIGNATURE) + 25
"""Where the first chunk behind ``IHDR`` begins."""

_LEVEL = 4  # of deflate: level 6 takes three times as long for 2 % less


def header_of(head: bytes) -> tuple[int, int, int] | None:
    """Width, height and bits a sample from the first bytes of a PNG file; None if they are not there."""
    if len(head) < 25 or head[12:16] != b"IHDR":
        return None
    width, height, depth = struct.unpack(">IIB", head[16:25])
    return width, height, depth


@dataclass(frozen=True)
class Parts:
    """A 16-bit PNG file taken apart.

    Attributes:
        picture: the picture alone, as a PNG file.
        companion: the ancillary chunks on a PNG file of one pixel, for Pillow.
        transparent: the body of ``tRNS``, if there is one.
        frames: pictures of an animation, else 1.
    """

    picture: bytes
    companion: bytes
    transparent: bytes | None
    frames: int


def split(data: bytes) -> Parts:
    """Take a 16-bit PNG file apart.

    Raises:
        EOFError: if the file ends before its last chunk does.
        ValueError: if a checksum is wrong.
    """
    picture: list[bytes | memoryview] = [SIGNATURE]
    companion: list[memoryview] = []
    transparent, frames = None, 1
    for name, chunk in chunks(data):
        if name in _CRITICAL:
            picture.append(chunk)
        elif name in _TOLD_BY_PILLOW:
            companion.append(chunk)
        elif name == b"tRNS":
            transparent = bytes(chunk[8:-4])
        elif name == b"acTL":
            frames = int.from_bytes(chunk[8:12], "big")
    alone = _one_pixel()
    return Parts(b"".join(picture), alone[:HEADER_END] + b"".join(companion) + alone[HEADER_END:], transparent, frames)


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and whole bytes of each chunk, up to and with ``IEND``, checksums checked; see :func:`split` for the errors."""
    view = memoryview(data)
    at, name = len(SIGNATURE), b""
    while name != b"IEND":
        if at + 12 > len(data):
            raise EOFError("the last chunk is missing")
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise EOFError(f"chunk {name.decode('latin-1')} is cut short")
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ValueError(f"the checksum of chunk {name.decode('latin-1')} is wrong")
        yield name, view[at:end]
        at = end


def decode(parts: Parts) -> tuple[Array, Array | None]:
    """Pixels ``(H, W, 1 or 3)`` and alpha ``(H, W)`` or None, uint16, of what :func:`split` gave.

    Raises:
        Exception: whatever imagecodecs raises on damaged data.
    """
    import imagecodecs

    decoded = np.asarray(imagecodecs.png_decode(parts.picture))
    samples = decoded.reshape(*decoded.shape[:2], -1)
    if samples.shape[2] in (1, 3):
        return samples, _alpha_of(samples, parts.transparent)
    return samples[:, :, :-1], samples[:, :, -1]


def encode(pixels: Array, alpha: Array | None, companion: bytes, file: BinaryIO) -> None:
    """Write a 16-bit PNG file.

    Args:
        pixels: ``(H, W, 1 or 3)``, uint16.
        alpha: ``(H, W)``, uint16, or None.
        companion: a PNG file whose ancillary chunks are taken over.
        file: where to write.
    """
    import imagecodecs

    samples = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    encoded = memoryview(imagecodecs.png_encode(samples[:, :, 0] if samples.shape[2] == 1 else samples, level=_LEVEL))
    file.write(encoded[:HEADER_END])
    for name, chunk in chunks(companion):
        if name not in _CRITICAL:
            file.write(chunk)
    file.write(encoded[HEADER_END:])


def _alpha_of(pixels: Array, transparent: bytes | None) -> Array | None:
    """Alpha for a file that names one colour as transparent."""
    channels = pixels.shape[2]
    if transparent is None or len(transparent) != 2 * channels:
        return None
    colour = np.frombuffer(transparent, ">u2").astype(np.uint16)
    alpha: Array = np.where((pixels == colour).all(2), np.uint16(0), np.uint16(65535))
    return alpha


def _one_pixel() -> bytes:
    from PIL import Image

    buffer = BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    return buffer.getvalue()
