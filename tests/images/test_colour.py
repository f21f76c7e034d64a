from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from restorekit.images import Image, Metadata, read
from restorekit.images.colour import display_p3, space_of, to_srgb
from tests.images.samples import encoded, picture, srgb

NOT_GREY = [("WEBP", 1), ("WEBP", 2), ("AVIF", 2), ("BMP", 1), ("BMP", 2)]


@cache
def grey_profile(gamma: float = 1.8) -> bytes:
    """A grey profile (ICC version 2) of one gamma curve."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061),
        b"kTRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * gamma)),
    }
    body, table, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s", at + len(body), 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def linear(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def encoded_srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def expected_grey(pixels: np.ndarray, gamma: float = 1.8) -> np.ndarray:
    """The values in sRGB, of 255, that have the same light."""
    return 255 * encoded_srgb((pixels / 255) ** gamma)


@pytest.mark.parametrize(("file_format", "channels"), NOT_GREY)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_is_converted_where_its_profile_cannot_be_held(file_format: str, channels: int, dtype: str) -> None:
    given = replace(Image.from_array(picture(16, 16, channels, dtype)), metadata=Metadata(grey_profile()))
    found = read(BytesIO(encoded(given, file_format, quality=100)))
    assert found.metadata.icc_profile is None
    expected = expected_grey(picture(16, 16, channels)[:, :, :1])
    assert np.abs(expected - picture(16, 16, channels)[:, :, :1]).max() > 12
    assert np.abs(found.pixels - expected).max() <= (4 if file_format == "AVIF" else 1)
    assert found.is_grey == (file_format == "BMP" and channels == 1)
    assert (found.alpha is not None) == (channels == 2)
    if found.alpha is not None:
        assert np.abs(found.alpha.astype(int) - picture(16, 16, 2)[:, :, 1]).max() <= (4 if file_format == "AVIF" else 0)


@pytest.mark.parametrize(("file_format", "channels"), [("JPEG", 1), ("JPEG", 2), ("AVIF", 1), ("PNG", 2), ("TIFF", 2)])
def test_a_profile_of_grey_stays_with_grey(file_format: str, channels: int) -> None:
    given = replace(Image.from_array(picture(16, 16, channels)), metadata=Metadata(grey_profile()))
    found = read(BytesIO(encoded(given, file_format, quality=100)))
    assert found.metadata.icc_profile == grey_profile()
    assert np.abs(found.pixels - given.pixels.astype(int)).max() <= 4


def test_grey_with_a_profile_of_colours() -> None:
    grey = replace(Image.from_array(picture(16, 16, 1)), metadata=Metadata(display_p3()))
    for file_format in ("BMP", "WEBP"):
        found = read(BytesIO(encoded(grey, file_format, quality=100)))
        assert np.abs(found.pixels - grey.pixels.astype(int)).max() <= 1
        assert found.metadata.icc_profile == (None if file_format == "BMP" else display_p3())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_profile_that_is_none_changes_nothing(mode: str) -> None:
    pil = PillowImage.fromarray(picture(8, 8, 4)).convert(mode)
    broken = bytearray(grey_profile() if mode[0] == "L" else srgb())
    broken[132:] = bytes(len(broken) - 132)
    for profile in (None, b"", bytes(broken)):
        np.testing.assert_array_equal(np.asarray(to_srgb(pil, profile)), np.asarray(pil))


def test_display_p3_is_what_it_says() -> None:
    """Through LittleCMS as by the definition: P3's primaries, D65, the curve of sRGB."""
    profile = ImageCms.ImageCmsProfile(BytesIO(display_p3()))
    assert space_of(display_p3()) == "RGB" and len(display_p3()) == int.from_bytes(display_p3()[:4], "big")
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"
    pixels = np.array([[(0, 0, 0), (255, 255, 255), (128, 128, 128), (180, 120, 90), (90, 140, 110), (100, 90, 160)]], np.uint8)
    to_xyz, srgb_to_xyz = (
        _matrix(((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))),
        _matrix(((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))),
    )
    expected = 255 * encoded_srgb(linear(pixels / 255) @ to_xyz.T @ np.linalg.inv(srgb_to_xyz).T)
    found = np.asarray(to_srgb(PillowImage.fromarray(pixels), display_p3()))
    assert np.abs(found - expected).max() <= 1
    assert np.abs(expected - pixels).max() > 5


def _matrix(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array((0.3127 / 0.329, 1, (1 - 0.3127 - 0.329) / 0.329))
    return columns * np.linalg.solve(columns, white)
