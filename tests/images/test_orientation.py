from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, ImageOps
from PIL import Image as PillowImage

from restorekit.images import Image, read, write
from restorekit.images.orientation import as_stored, exchanges_sides, upright
from tests.images.samples import XMP, encoded, exif_block, metadata, picture, with_preview

ALL = range(1, 9)


def marked(orientation: int) -> PillowImage.Image:
    pil = PillowImage.fromarray(picture(5, 7, 3))
    pil.getexif()[0x0112] = orientation
    return pil


@pytest.mark.parametrize("orientation", ALL)
def test_pixels_turn_as_pillow_turns_them(orientation: int) -> None:
    pil = marked(orientation)
    turned = upright(np.asarray(pil), orientation)
    np.testing.assert_array_equal(turned, np.asarray(ImageOps.exif_transpose(pil)))
    assert (turned.shape[:2] == (7, 5)) == exchanges_sides(orientation)
    np.testing.assert_array_equal(as_stored(turned, orientation), np.asarray(pil))


@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize(
    ("file_format", "mode"),
    [
        ("PNG", "RGBA"),
        ("PNG", "L"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("WEBP", "RGBA"),
        ("AVIF", "RGB"),
        ("TIFF", "LA"),
        ("TIFF", "CMYK"),
    ],
)
def test_a_file_is_read_upright_and_says_so(orientation: int, file_format: str, mode: str) -> None:
    pil = PillowImage.fromarray(picture(26, 34, 4)).convert(mode)
    buffer = BytesIO()
    options = (
        {"quality": 100}
        if file_format in ("JPEG", "AVIF")
        else {"lossless": True, "exact": True}
        if file_format == "WEBP"
        else {}
    )
    pil.save(buffer, file_format, exif=exif_block(orientation), **options)
    expected = ImageOps.exif_transpose(PillowImage.open(buffer))
    buffer.seek(0)
    image = read(buffer)
    np.testing.assert_array_equal(image.pixels.squeeze(), np.asarray(expected.convert("L" if mode[0] == "L" else "RGB")))
    if image.alpha is not None:
        np.testing.assert_array_equal(image.alpha, np.asarray(expected)[:, :, -1])
    again = read(BytesIO(encoded(image, file_format, quality=100)))
    assert again.size == image.size == expected.size
    assert np.abs(again.pixels.astype(int) - image.pixels).max() <= 6
    assert PillowImage.open(BytesIO(encoded(image, file_format))).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("orientation", ALL)
def test_sixteen_bits_turn_too(orientation: int) -> None:
    stored = picture(5, 7, 4, "uint16")
    block = exif_block(orientation)
    for file_format in ("PNG", "TIFF"):
        # metadata is written as it is, so this file says that it needs turning
        given = Image(stored[:, :, :3], stored[:, :, 3], metadata(orientation))
        image = read(BytesIO(encoded(given, file_format)))
        np.testing.assert_array_equal(image.pixels, upright(stored[:, :, :3], orientation))
        np.testing.assert_array_equal(image.alpha, upright(stored[:, :, 3], orientation))
        assert image.pixels.flags.c_contiguous
        assert image.metadata.xmp == XMP % 1
        assert block != image.metadata.exif or orientation == 1
        expected = (120.0, 240.0) if orientation >= 5 else (240.0, 120.0)
        assert image.metadata.dpi == pytest.approx(expected, abs=0.02)


def test_orientation_is_applied_once(tmp_path) -> None:
    path = tmp_path / "a.jpg"
    PillowImage.fromarray(picture(16, 32, 3)).save(path, exif=exif_block(6))
    sizes = []
    for _ in range(3):
        image = read(path)
        sizes.append(image.size)
        write(image, path)
    assert sizes == [(16, 32)] * 3


@pytest.mark.parametrize("orientation", ALL)
def test_xmp_decides_where_exif_is_silent(orientation: int) -> None:
    buffer = BytesIO()
    pil = PillowImage.fromarray(picture(16, 32, 3))
    pil.save(buffer, "JPEG", xmp=XMP % orientation, exif=exif_block(None))
    image = read(buffer)
    buffer.seek(0)
    expected = ImageOps.exif_transpose(PillowImage.open(buffer))
    np.testing.assert_array_equal(image.pixels, np.asarray(expected))
    assert image.metadata.xmp == XMP % 1


def test_exif_outranks_xmp() -> None:
    buffer = BytesIO()
    PillowImage.fromarray(picture(16, 32, 3)).save(buffer, "JPEG", xmp=XMP % 6, exif=exif_block(3))
    image = read(buffer)
    assert image.size == (32, 16)
    assert image.metadata.xmp == XMP % 1


@pytest.mark.parametrize("wrong", [0, 9, 65535])
def test_an_impossible_orientation_counts_as_upright(wrong: int) -> None:
    buffer = BytesIO()
    PillowImage.fromarray(picture(16, 32, 3)).save(buffer, "PNG", exif=exif_block(wrong))
    image = read(buffer)
    np.testing.assert_array_equal(image.pixels, picture(16, 32, 3))
    assert image.metadata.exif == exif_block(1)


def test_the_preview_goes_when_the_picture_was_turned() -> None:
    for orientation, kept in ((1, True), (8, False)):
        buffer = BytesIO()
        PillowImage.fromarray(picture(16, 32, 3)).save(buffer, "JPEG", exif=with_preview(exif_block(orientation)))
        exif = PillowImage.Exif()
        exif.load(read(buffer).metadata.exif)
        assert bool(exif.get_ifd(ExifTags.IFD.IFD1)) == kept
