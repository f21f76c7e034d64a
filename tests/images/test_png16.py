from __future__ import annotations

import struct
import zlib
from io import BytesIO

import imagecodecs
import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images import Image, png16, read
from tests.images.samples import encoded, metadata, picture

GREY, RGB, GREY_ALPHA, RGB_ALPHA = 0, 2, 4, 6


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, depth: int, colour_type: int, raw: bytes, *before: bytes, interlaced: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlaced))
    return png16.SIGNATURE + header + b"".join(before) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("colour_type", "channels"), [(GREY, 1), (RGB, 3), (GREY_ALPHA, 2), (RGB_ALPHA, 4)])
def test_every_bit_is_read(colour_type: int, channels: int) -> None:
    samples = picture(4, 5, channels, "uint16")
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    image = read(BytesIO(png_of(5, 4, 16, colour_type, raw)))
    assert image.mode == {GREY: "I;16", RGB: "RGB;16", GREY_ALPHA: "LA;16", RGB_ALPHA: "RGBA;16"}[colour_type]
    np.testing.assert_array_equal(image.pixels, samples[:, :, : 1 if channels < 3 else 3])
    if channels in (2, 4):
        np.testing.assert_array_equal(image.alpha, samples[:, :, -1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_others_read_every_bit_we_write(channels: int) -> None:
    samples = picture(40, 33, channels, "uint16")
    data = encoded(Image.from_array(samples), "PNG")
    np.testing.assert_array_equal(imagecodecs.png_decode(data).reshape(samples.shape), samples)
    pil = PillowImage.open(BytesIO(data))
    pil.load()
    assert pil.size == (33, 40)
    PillowImage.open(BytesIO(data)).verify()


def test_a_colour_named_transparent() -> None:
    raw = b"\0" + struct.pack(">6H", 1, 2, 3, 1000, 2000, 3000)
    image = read(BytesIO(png_of(2, 1, 16, RGB, raw, chunk(b"tRNS", struct.pack(">3H", 1, 2, 3)))))
    np.testing.assert_array_equal(image.pixels, [[[1, 2, 3], [1000, 2000, 3000]]])
    np.testing.assert_array_equal(image.alpha, [[0, 65535]])
    grey = read(BytesIO(png_of(2, 1, 16, GREY, b"\0" + struct.pack(">2H", 1, 2000), chunk(b"tRNS", struct.pack(">H", 2000)))))
    np.testing.assert_array_equal(grey.alpha, [[65535, 0]])


def test_metadata_behind_the_pixels_is_found() -> None:
    given = encoded(Image(picture(4, 5, 3, "uint16"), None, metadata()), "PNG")
    parts = list(png16.chunks(given))
    late = [bytes(c) for name, c in parts if name in (b"eXIf", b"iTXt", b"tEXt")]
    early = [bytes(c) for name, c in parts if name not in (b"eXIf", b"iTXt", b"tEXt", b"IEND")]
    moved = png16.SIGNATURE + b"".join(early + late) + bytes(parts[-1][1])
    assert len(late) == 4
    assert read(BytesIO(moved)).metadata == read(BytesIO(given)).metadata


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: d[:-12], "cut short"),
        (lambda d: d[:-30], "cut short"),
        (lambda d: d[:40], "cut short"),
        (lambda d: d[:60] + bytes([d[60] ^ 1]) + d[61:], "the checksum of chunk IDAT is wrong"),
    ],
)
def test_damage_is_noticed(damage, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        read(BytesIO(damage(encoded(Image.from_array(picture(4, 5, 3, "uint16")), "PNG"))))


def test_an_animation_is_refused() -> None:
    frames = chunk(b"acTL", struct.pack(">II", 3, 0))
    with pytest.raises(ImageError, match="holds 3 pictures"):
        read(BytesIO(png_of(1, 1, 16, GREY, b"\0\0\0", frames)))
