from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms

from restorekit.images import read
from restorekit.images.colour import CMYKConverter, space_of
from tests.images.samples import cmyk_profile, encoded, metadata, picture, srgb


def inks(height: int = 16, width: int = 24) -> PillowImage.Image:
    return PillowImage.frombytes("CMYK", (width, height), (picture(height, width, 4) // 2).tobytes())


def cmyk_file(file_format: str, profile: bytes | None, **options) -> bytes:
    buffer = BytesIO()
    inks().save(
        buffer,
        file_format,
        icc_profile=profile,
        **({"quality": 100, "subsampling": 0} if file_format == "JPEG" else {}),
        **options,
    )
    return buffer.getvalue()


def through(profile: bytes, pil: PillowImage.Image) -> np.ndarray:
    """The reference: colour management done with Pillow's one-call function."""
    converted = ImageCms.profileToProfile(
        pil,
        ImageCms.ImageCmsProfile(BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return np.asarray(converted)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_colours_come_through_the_profile(file_format: str) -> None:
    data = cmyk_file(file_format, cmyk_profile())
    image = read(BytesIO(data))
    assert (image.mode, image.format, image.pixels.dtype) == ("CMYK", file_format, np.uint8)
    np.testing.assert_array_equal(image.pixels, through(cmyk_profile(), PillowImage.open(BytesIO(data))))
    naive = np.asarray(PillowImage.open(BytesIO(data)).convert("RGB"))
    assert np.abs(image.pixels.astype(int) - naive).max() >= 15
    assert image.metadata.icc_profile == cmyk_profile()


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("profile", [None, b"damaged", b"x" * 36 + b"acsp" + b"x" * 200])
def test_without_a_usable_profile_they_come_naively(file_format: str, profile: bytes | None) -> None:
    data = cmyk_file(file_format, profile)
    image = read(BytesIO(data))
    np.testing.assert_array_equal(image.pixels, np.asarray(PillowImage.open(BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("source", ["JPEG", "TIFF"])
@pytest.mark.parametrize("target", ["JPEG", "TIFF"])
@pytest.mark.parametrize("profile", [None, "cmyk"])
def test_cmyk_goes_back_to_cmyk(source: str, target: str, profile: str | None) -> None:
    icc = cmyk_profile() if profile else None
    image = read(BytesIO(cmyk_file(source, icc)))
    data = encoded(image, target, quality=100)
    pil = PillowImage.open(BytesIO(data))
    assert pil.mode == "CMYK"
    assert pil.info.get("icc_profile") == icc
    again = read(BytesIO(data))
    assert again.mode == "CMYK"
    difference = np.abs(again.pixels.astype(int) - image.pixels)
    assert difference.mean() < 2.5
    assert difference.max() <= 12
    if target == "TIFF" and profile is None:
        assert difference.max() == 0


@pytest.mark.parametrize("target", ["PNG", "WEBP", "BMP", "AVIF"])
def test_elsewhere_it_becomes_srgb(target: str) -> None:
    image = read(BytesIO(cmyk_file("JPEG", cmyk_profile())))
    found = read(BytesIO(encoded(image, target, quality=100)))
    assert found.metadata.icc_profile is None
    assert np.abs(found.pixels.astype(int) - image.pixels).max() <= 4


def test_ycck_is_understood() -> None:
    """Pillow writes no YCCK, so the inks are turned to YCbCr by hand and the marker is told."""
    ink = np.asarray(inks())
    luma = np.asarray(PillowImage.fromarray(ink[:, :, :3]).convert("YCbCr"))
    stored = np.dstack((255 - luma, ink[:, :, 3]))  # Pillow inverts what it writes
    buffer = BytesIO()
    PillowImage.frombytes("CMYK", (24, 16), stored.tobytes()).save(buffer, "JPEG", quality=100, subsampling=0)
    data = buffer.getvalue()
    at = data.index(b"Adobe") + 11
    assert data[at] == 0
    image = read(BytesIO(data[:at] + b"\2" + data[at + 1 :]))
    assert image.mode == "CMYK"
    assert np.abs(image.pixels.astype(int) - np.asarray(inks().convert("RGB"))).max() <= 6


def test_alpha_of_cmyk_in_tiff_comes_back() -> None:
    samples = picture(16, 24, 5) // 2
    buffer = BytesIO()
    tifffile.imwrite(buffer, samples, photometric="separated", extrasamples=["unassalpha"], metadata=None)
    image = read(buffer)
    np.testing.assert_array_equal(image.alpha, samples[:, :, 4])
    data = encoded(image, "TIFF")
    with tifffile.TiffFile(BytesIO(data)) as tif:
        assert tif.pages[0].samplesperpixel == 5
        np.testing.assert_array_equal(tif.pages[0].asarray()[:, :, 4], samples[:, :, 4])
    assert read(BytesIO(encoded(image, "JPEG"))).alpha is None


def test_sixteen_bit_cmyk_is_converted_at_eight() -> None:
    buffer = BytesIO()
    samples = picture(16, 24, 4) // 2
    tifffile.imwrite(buffer, samples.astype(np.uint16) * 257, photometric="separated", metadata=None)
    image = read(buffer)
    expected = PillowImage.frombytes("CMYK", (24, 16), samples.tobytes()).convert("RGB")
    np.testing.assert_array_equal(image.pixels, np.asarray(expected))


def test_new_pixels_of_another_depth_still_go_back_to_cmyk() -> None:
    image = read(BytesIO(cmyk_file("TIFF", None)))
    deeper = image.replace_pixels(image.pixels.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read(BytesIO(encoded(deeper, "TIFF"))).pixels, image.pixels)
    grey = image.replace_pixels(image.pixels[:, :, :1])
    assert read(BytesIO(encoded(grey, "JPEG"))).mode == "L"


def test_the_space_of_a_profile() -> None:
    assert space_of(cmyk_profile()) == "CMYK"
    assert space_of(srgb()) == "RGB"
    assert space_of(None) == space_of(b"") == space_of(bytes(200)) == ""
    assert CMYKConverter(srgb()).profile is None


def test_metadata_stays_with_cmyk() -> None:
    image = read(BytesIO(cmyk_file("JPEG", cmyk_profile(), exif=metadata().exif, dpi=(300, 300))))
    found = read(BytesIO(encoded(image, "JPEG"))).metadata
    assert found.exif == metadata().exif
    assert found.dpi == (300, 300)
