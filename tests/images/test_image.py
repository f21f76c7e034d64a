from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images import Image, Metadata
from restorekit.images.image import mode_of
from tests.images.samples import XMP, cmyk_profile, exif_block, metadata, picture, srgb, tags_of


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("shape", "channels", "alpha"),
    [((5, 7), 1, False), ((5, 7, 1), 1, False), ((5, 7, 2), 1, True), ((5, 7, 3), 3, False), ((5, 7, 4), 3, True)],
)
def test_arrays_of_every_layout(shape: tuple[int, ...], channels: int, alpha: bool, dtype: str) -> None:
    array = picture(5, 7, 4, dtype)[:, :, : shape[2] if len(shape) == 3 else 1].reshape(shape)
    image = Image.from_array(array)
    assert (image.height, image.width, image.size) == (5, 7, (7, 5))
    assert image.pixels.shape == (5, 7, channels)
    assert image.pixels.dtype == dtype
    assert image.bit_depth == {"uint8": 8, "uint16": 16, "float32": 32}[dtype]
    assert image.is_grey == (channels == 1)
    assert image.pixels.flags.c_contiguous
    assert image.format == "PNG"
    assert image.mode == mode_of(channels, alpha, dtype)
    np.testing.assert_array_equal(image.pixels, array.reshape(5, 7, -1)[:, :, :channels])
    assert (image.alpha is not None) == alpha
    if image.alpha is not None:
        np.testing.assert_array_equal(image.alpha, array[:, :, -1])


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
def test_any_byte_order_will_do(dtype: str) -> None:
    array = picture(5, 7, 4, "uint16" if dtype == ">u2" else "float32")
    image = Image.from_array(array.astype(dtype))
    assert image.pixels.dtype == array.dtype and image.alpha is not None and image.alpha.dtype == array.dtype
    np.testing.assert_array_equal(image.pixels, array[:, :, :3])
    np.testing.assert_array_equal(image.alpha, array[:, :, 3])


def test_no_copy_where_none_is_needed() -> None:
    array = picture(5, 7, 3)
    assert Image.from_array(array).pixels is array
    assert Image.from_array(array / 255).pixels.dtype == np.float32


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((3, 40, 50), np.uint8), "an array of shape (3, 40, 50) is not an image. Move the channels to the end."),
        (np.zeros((2, 2, 5), np.uint8), "an array of shape (2, 2, 5) is not an image. Give it one of (H, W) grey"),
        (np.zeros((2, 2, 3, 1), np.uint8), "an array of shape (2, 2, 3, 1) is not an image."),
        (np.zeros((0, 4), np.uint8), "an image of 4 x 0 has no pixels."),
        (np.zeros((2, 2), np.int64), "samples of type int64 are not supported."),
        (np.zeros((2, 2), bool), "samples of type bool are not supported."),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        Image.from_array(array)
    assert str(caught.value).startswith(said)


def test_alpha_must_fit() -> None:
    with pytest.raises(
        ImageError, match=r"alpha of shape \(5, 6\) and type uint8 .*Give it the shape \(5, 7\) and the type uint16"
    ):
        Image(picture(5, 7, 3, "uint16"), np.zeros((5, 6), np.uint8))


def test_new_pixels_take_the_place_of_old_ones() -> None:
    image = Image(picture(5, 7, 3), picture(5, 7, 1)[:, :, 0], metadata(), "TIFF", "P")
    brighter = image.replace_pixels(image.pixels + np.uint8(1))
    assert brighter.metadata == image.metadata
    assert (brighter.format, brighter.mode) == ("TIFF", "P")
    assert brighter.alpha is image.alpha
    assert (brighter.pixels == image.pixels + 1).all()
    deeper = image.replace_pixels(np.zeros((5, 7), np.uint16))
    np.testing.assert_array_equal(deeper.alpha, image.alpha.astype(np.uint16) * 257)
    with pytest.raises(ImageError, match="pixels of 5 x 7 cannot replace those of 7 x 5"):
        image.replace_pixels(np.zeros((7, 5, 3), np.uint8))


@pytest.mark.parametrize(
    ("mode", "channels", "alpha", "dtype"),
    [
        ("1", 1, False, "uint8"),
        ("L", 1, False, "uint8"),
        ("LA", 1, True, "uint8"),
        ("La", 1, True, "uint8"),
        ("P", 3, False, "uint8"),
        ("PA", 3, True, "uint8"),
        ("RGB", 3, False, "uint8"),
        ("RGBX", 3, False, "uint8"),
        ("RGBA", 3, True, "uint8"),
        ("RGBa", 3, True, "uint8"),
        ("CMYK", 3, False, "uint8"),
        ("YCbCr", 3, False, "uint8"),
        ("HSV", 3, False, "uint8"),
        ("LAB", 3, False, "uint8"),
        ("I;16", 1, False, "uint16"),
        ("I", 1, False, "uint16"),
        ("F", 1, False, "float32"),
    ],
)
def test_pillow_images_of_every_mode(mode: str, channels: int, alpha: bool, dtype: str) -> None:
    source = PillowImage.fromarray(picture(15, 17, 4 if alpha else 3))
    steps = {
        "I;16": ["L", "I;16"],
        "PA": ["RGB", "P", "PA"],
        "La": ["LA", "La"],
        "LAB": ["RGB"],
        "HSV": ["RGB", "HSV"],
        "RGBX": ["RGB", "RGBX"],
    }
    pil = source
    for step in steps.get(mode, [mode]):
        pil = pil.convert(step)
    if mode == "LAB":
        from PIL import ImageCms

        pil = ImageCms.profileToProfile(pil, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB")
    if mode == "F":
        pil = PillowImage.fromarray(np.asarray(pil) / np.float32(255))
    image = Image.from_pil(pil)
    assert image.pixels.shape == (15, 17, channels)
    assert image.pixels.dtype == dtype
    assert (image.alpha is not None) == alpha
    assert (image.mode, image.format) == (mode, "PNG")
    if dtype == "uint8":
        expected = np.asarray(pil.convert(("L" if channels == 1 else "RGB") + ("A" if alpha else ""))).reshape(15, 17, -1)[
            :, :, :channels
        ]
        tolerance = 0 if mode not in ("La", "RGBa") else 2
        assert np.abs(image.pixels.astype(int) - expected).max() <= tolerance
    else:
        np.testing.assert_array_equal(image.pixels[:, :, 0], np.asarray(pil))


def test_integers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ImageError, match="do not fit into 16 bits"):
        Image.from_pil(PillowImage.fromarray(np.full((2, 2), 70000, np.int32)))


def test_transparent_colours_become_alpha() -> None:
    pil = PillowImage.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    pil.info["transparency"] = (4, 5, 6)
    image = Image.from_pil(pil)
    np.testing.assert_array_equal(image.alpha, [[255, 0]])
    np.testing.assert_array_equal(image.pixels, [[[1, 2, 3], [4, 5, 6]]])


def test_metadata_comes_along_from_pillow_and_back() -> None:
    buffer = BytesIO()
    PillowImage.fromarray(picture(5, 7, 3)).save(
        buffer, "JPEG", exif=exif_block(6), icc_profile=srgb(), dpi=(200, 100), xmp=XMP % 6
    )
    image = Image.from_pil(PillowImage.open(buffer))
    assert (image.format, image.size) == ("JPEG", (5, 7))
    assert image.metadata.icc_profile == srgb()
    assert image.metadata.dpi == (100, 200)
    assert tags_of(image.metadata.exif)[274] == 1
    assert image.metadata.xmp == XMP % 1
    pil = image.to_pil()
    assert pil.size == (5, 7)
    np.testing.assert_array_equal(np.asarray(pil), image.pixels)
    assert pil.info["exif"] == image.metadata.exif
    assert pil.getexif()[0x010F] == "Kamera"
    assert pil.info["icc_profile"] == srgb()


def test_an_orientation_set_in_memory_counts() -> None:
    pil = PillowImage.fromarray(picture(5, 7, 3))
    pil.getexif()[274] = 8
    image = Image.from_pil(pil)
    np.testing.assert_array_equal(image.pixels, np.rot90(picture(5, 7, 3)))
    assert tags_of(image.metadata.exif)[274] == 1
    assert pil.size == (7, 5)
    assert "exif" not in pil.info


@pytest.mark.parametrize(
    ("channels", "dtype", "mode"),
    [
        (1, "uint8", "L"),
        (2, "uint8", "LA"),
        (3, "uint8", "RGB"),
        (4, "uint8", "RGBA"),
        (1, "uint16", "I;16"),
        (2, "uint16", "LA"),
        (4, "uint16", "RGBA"),
        (3, "float32", "RGB"),
    ],
)
def test_pillow_images_from_ours(channels: int, dtype: str, mode: str) -> None:
    array = picture(5, 7, channels, dtype)
    pil = Image.from_array(array).to_pil()
    assert pil.mode == mode
    scale = {"uint8": 1, "uint16": 257 if mode != "I;16" else 1, "float32": 1 / 255}[dtype]
    np.testing.assert_array_equal(np.asarray(pil).reshape(array.shape), np.rint(array / np.float64(scale)))


def test_a_cmyk_profile_does_not_go_with_rgb_pixels() -> None:
    image = Image(picture(5, 7, 3), None, Metadata(icc_profile=cmyk_profile()), "JPEG", "CMYK")
    assert "icc_profile" not in image.to_pil().info


def test_a_damaged_pillow_image_is_an_image_error() -> None:
    buffer = BytesIO()
    PillowImage.fromarray(picture(64, 64, 3)).save(buffer, "PNG")
    pil = PillowImage.open(BytesIO(buffer.getvalue()[:-300]))
    with pytest.raises(ImageError, match="the Pillow image is cut short"):
        Image.from_pil(pil)
