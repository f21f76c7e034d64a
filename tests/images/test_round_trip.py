"""What the file had, the result has: every format, depth and channel layout, with every kind of metadata."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms, PngImagePlugin

from restorekit.images import Image, Metadata, read, to_float, write
from tests.images.samples import FORMATS, MAKER_NOTE, XMP, cmyk_profile, encoded, exif_block, metadata, picture, srgb, tags_of

# largest difference of a sample, of 1.0; JPEG and AVIF at quality 100, WebP is lossless there
TOLERANCE = {"PNG": 0.0, "TIFF": 0.0, "BMP": 0.0, "WEBP": 0.0, "JPEG": 0.02, "AVIF": 0.02}
DEPTHS = {"PNG": ("uint8", "uint16"), "TIFF": ("uint8", "uint16", "float32")}
HOLDS_ALPHA = {"PNG", "TIFF", "WEBP", "BMP", "AVIF"}
RESOLUTION_TAGS = {282, 283, 296}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_pixels(file_format: str, dtype: str, channels: int) -> None:
    given = Image.from_array(picture(13, 17, channels, dtype))
    data = encoded(given, file_format, quality=100)
    found = read(BytesIO(data))
    assert found.format == file_format
    assert found.size == (17, 13)
    held = DEPTHS.get(file_format, ("uint8",))
    assert found.pixels.dtype == (dtype if dtype in held else held[-1])
    assert (found.alpha is not None) == (given.alpha is not None and file_format in HOLDS_ALPHA)
    grey_is_held = file_format != "WEBP" and not (file_format in ("BMP", "AVIF") and channels == 2)
    if file_format == "AVIF":  # the first versions of Pillow with AVIF read grey as RGB
        grey_is_held &= PillowImage.open(BytesIO(data)).mode == "L"
    assert found.is_grey == (given.is_grey and grey_is_held)
    rounding = 0.0 if dtype in held else 0.5 / np.iinfo(held[-1]).max + 1e-6
    expected = to_float(given.pixels)  # one channel broadcasts over three
    assert np.abs(to_float(found.pixels) - expected).max() <= TOLERANCE[file_format] + rounding
    if found.alpha is not None:
        assert np.abs(to_float(found.alpha) - to_float(given.alpha)).max() <= TOLERANCE[file_format] + rounding


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("file_format", FORMATS)
def test_metadata(file_format: str, channels: int, dtype: str) -> None:
    given = replace(Image.from_array(picture(13, 17, channels, dtype)), metadata=metadata())
    data = encoded(given, file_format)
    found = read(BytesIO(data)).metadata
    assert found.dpi == pytest.approx((240.0, 120.0), abs=0.02)
    if file_format == "BMP":
        assert (found.icc_profile, found.exif, found.xmp) == (None, None, None)
        return
    assert found.icc_profile == srgb()
    assert found.xmp == XMP % 1
    expected = tags_of(exif_block(1))
    if file_format == "TIFF":  # the resolution is told by the file's own tags
        expected = {tag: value for tag, value in expected.items() if tag not in RESOLUTION_TAGS}
    if file_format == "AVIF":  # the orientation is told by the file's own property
        del expected[274]
    assert tags_of(found.exif) == expected
    if file_format in ("PNG", "JPEG", "WEBP"):
        assert found.exif == exif_block(1)
    assert dict(found.text) == {"PNG": {"Title": "Schöne Aussicht", "Comment": "c"}, "JPEG": {"Comment": "c"}}.get(
        file_format, {}
    )
    # and others find it too
    pil = PillowImage.open(BytesIO(data))
    if pil.mode != "I;16":
        pil.load()
    assert pil.info["icc_profile"] == srgb()
    assert pil.getexif()[0x010F] == "Kamera"
    assert pil.getexif().get_ifd(0x8769)[0x927C] == MAKER_NOTE
    assert pil.getexif().get(274, 1) == 1
    assert pil.info["xmp"] == XMP % 1


@pytest.mark.parametrize("first", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("second", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_metadata_travels_between_formats(first: str, second: str) -> None:
    given = Image(picture(13, 17, 3), None, metadata())
    halfway = read(BytesIO(encoded(given, first)))
    found = read(BytesIO(encoded(halfway, second))).metadata
    assert found.icc_profile == srgb()
    assert found.xmp == XMP % 1
    assert found.dpi == pytest.approx((240.0, 120.0), abs=0.02)
    for tag, value in tags_of(exif_block(1)).items():
        if tag not in RESOLUTION_TAGS | {274}:
            assert tags_of(found.exif)[tag] == value


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_profile_larger_than_pillow_allows(dtype: str) -> None:
    profile = srgb() + np.random.default_rng(0).bytes(1_300_000)
    usual = PngImagePlugin.MAX_TEXT_CHUNK
    given = Image(picture(13, 17, 3, dtype), None, Metadata(profile))
    found = read(BytesIO(encoded(given, "PNG")))
    assert found.metadata == given.metadata and found.pixels.dtype == dtype
    np.testing.assert_array_equal(found.pixels, given.pixels)
    assert usual == PngImagePlugin.MAX_TEXT_CHUNK


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_is_read_and_written_again_and_again_does_not_drift(file_format: str) -> None:
    image = read(BytesIO(encoded(Image(picture(13, 17, 3), None, metadata()), file_format)))
    again = image
    for _ in range(3):
        again = read(BytesIO(encoded(again, file_format, quality=100)))
    assert again.metadata.dpi == pytest.approx(image.metadata.dpi, abs=1e-9)
    assert replace(again.metadata, dpi=None) == replace(image.metadata, dpi=None)
    assert len(again.metadata.exif or b"") == len(image.metadata.exif or b"")


@pytest.mark.parametrize("file_format", FORMATS)
def test_nothing_is_made_up(file_format: str) -> None:
    found = read(BytesIO(encoded(Image.from_array(picture(13, 17, 3)), file_format)))
    assert found.metadata == Metadata()


@pytest.mark.parametrize("file_format", FORMATS)
def test_strip_keeps_the_profile_only(file_format: str) -> None:
    found = read(BytesIO(encoded(Image(picture(13, 17, 3), None, metadata()), file_format, strip=True)))
    assert found.metadata == Metadata(icc_profile=None if file_format == "BMP" else srgb())


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_goes_into_exif_where_there_is_no_other_place(source: str) -> None:
    given = Image(picture(13, 17, 3), None, Metadata(dpi=(300.0, 150.0)))
    halfway = read(BytesIO(encoded(given, source)))
    assert halfway.metadata.exif is None
    for second in ("WEBP", "AVIF"):
        assert read(BytesIO(encoded(halfway, second))).metadata.dpi == pytest.approx((300.0, 150.0), abs=0.02)


def test_a_camera_jpeg_without_resolution_gets_none() -> None:
    buffer = BytesIO()
    block = PillowImage.Exif()
    block[0x010F] = "Kamera"
    PillowImage.fromarray(picture(16, 16, 3)).save(buffer, "JPEG", exif=block.tobytes())
    data = buffer.getvalue()
    start = data.index(b"\xff\xe0")
    image = read(BytesIO(data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]))
    assert image.metadata.dpi is None
    assert "dpi" not in PillowImage.open(BytesIO(encoded(image, "PNG"))).info


@pytest.mark.parametrize(
    ("mode", "options", "pixels", "alpha"),
    [
        ("1", {}, [[0], [255]], None),
        ("L", {"transparency": 7}, [[7], [200]], [0, 255]),
        ("LA", {}, [[7], [200]], [11, 250]),
        ("P", {}, [[10, 20, 30], [40, 50, 60]], None),
        ("P", {"transparency": b"\x05\xff"}, [[10, 20, 30], [40, 50, 60]], [5, 255]),
        ("P", {"transparency": 1}, [[10, 20, 30], [40, 50, 60]], [255, 0]),
        ("RGB", {"transparency": (40, 50, 60)}, [[10, 20, 30], [40, 50, 60]], [255, 0]),
    ],
)
def test_png_of_every_kind(mode: str, options: dict, pixels: list, alpha: list | None) -> None:
    samples = np.array([pixels], np.uint8)
    if mode == "P":
        pil = PillowImage.fromarray(np.array([[0, 1]], np.uint8), "P")
        pil.putpalette(samples.tobytes())
    elif mode == "1":
        pil = PillowImage.fromarray(samples[:, :, 0] > 0)
    elif mode == "LA":
        pil = PillowImage.fromarray(np.dstack((samples, np.array([alpha], np.uint8))))
    else:
        pil = PillowImage.fromarray(samples.squeeze(2) if samples.shape[2] == 1 else samples)
    buffer = BytesIO()
    pil.save(buffer, "PNG", **options)
    image = read(buffer)
    assert image.mode == mode
    np.testing.assert_array_equal(image.pixels, samples)
    assert (image.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(image.alpha, [alpha])
    again = read(BytesIO(encoded(image, "PNG")))
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.is_grey == image.is_grey


@pytest.mark.parametrize(("bits", "values"), [(2, [0, 85, 170, 255]), (4, [0, 17, 34, 255])])
def test_grey_of_few_bits_is_widened(bits: int, values: list[int]) -> None:
    from tests.images.test_png16 import png_of

    packed = bytes([0, *([0b00011011] if bits == 2 else [0x01, 0x2F])])
    image = read(BytesIO(png_of(4, 1, bits, 0, packed)))
    np.testing.assert_array_equal(image.pixels, [[[v] for v in values]])


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp_of_every_kind(mode: str) -> None:
    pil = PillowImage.fromarray(picture(13, 17, 3)).convert(mode)
    buffer = BytesIO()
    pil.save(buffer, "BMP")
    image = read(buffer)
    np.testing.assert_array_equal(image.pixels.squeeze(), np.asarray(pil.convert("L" if mode in "1L" else "RGB")))


def test_colours_are_converted_where_no_profile_can_be_held() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # exchange the red and green primaries: pixels that say red mean green
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:, :, 0], pixels[:, :, 3] = 255, 77
    for array in (pixels[:, :, :3], pixels):
        image = replace(Image.from_array(np.ascontiguousarray(array)), metadata=Metadata(icc_profile=bytes(swapped)))
        bmp = read(BytesIO(encoded(image, "BMP")))
        assert np.abs(bmp.pixels[0, 0].astype(int) - (0, 255, 0)).max() <= 1
        assert bmp.alpha is None or (bmp.alpha == 77).all()
        assert (read(BytesIO(encoded(image, "PNG"))).pixels == image.pixels).all()
    plain = replace(Image.from_array(picture(8, 8, 3)), metadata=Metadata(icc_profile=profile))
    assert np.abs(read(BytesIO(encoded(plain, "BMP"))).pixels.astype(int) - plain.pixels).max() <= 1


def test_a_profile_of_other_colours_is_not_written() -> None:
    for profile in (cmyk_profile(), b"not a profile", b"acsp" * 40):
        image = Image(picture(13, 17, 3), None, Metadata(icc_profile=profile))
        assert read(BytesIO(encoded(image, "PNG"))).metadata.icc_profile is None
    grey = Image(picture(13, 17, 1), None, Metadata(icc_profile=srgb()))
    assert read(BytesIO(encoded(grey, "JPEG"))).metadata.icc_profile == srgb()


def test_jpeg_takes_what_fits(tmp_path) -> None:
    packet = (XMP % 1).replace(b"<?xpacket end", b" " * 70_000 + b"<?xpacket end")
    huge = Metadata(exif=exif_block(1, _270="x" * 70_000), xmp=packet, text=(("Comment", "y" * 70_000),))
    path = tmp_path / "a.jpg"
    write(Image(picture(16, 16, 3), None, huge), path)
    found = read(path).metadata
    assert tags_of(found.exif) == tags_of(exif_block(1))
    assert found.xmp == (XMP % 1).replace(b"<?xpacket end", b"\n<?xpacket end")
    assert found.text == ()
    write(Image(picture(16, 16, 3), None, huge), tmp_path / "a.png")
    assert read(tmp_path / "a.png").metadata == replace(huge, dpi=(240.0, 120.0))  # which EXIF told


@pytest.mark.parametrize("dpi", [(1e-3, 1e-3), (1e9, 1e9), (65534.6, 1.0), (72.0, 1e30)])
@pytest.mark.parametrize("file_format", FORMATS)
def test_strange_resolutions_do_no_harm(file_format: str, dpi: tuple[float, float]) -> None:
    image = Image(picture(13, 17, 3), None, Metadata(dpi=dpi))
    assert read(BytesIO(encoded(image, file_format))).size == (17, 13)
