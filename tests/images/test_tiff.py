from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images import Image, Metadata, read, to_float
from restorekit.images.exif import from_entries
from restorekit.images.ifd import Entry
from tests.images.samples import XMP, encoded, exif_block, picture, srgb, tags_of
from tests.images.test_exif import big_endian


def tiff_of(samples: np.ndarray, **options) -> BytesIO:
    buffer = BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "zlib", "predictor": True},
        {"compression": "zstd"},
        {"compression": "packbits"},
        {"tile": (16, 16)},
        {"tile": (32, 16), "compression": "zlib"},
        {"rowsperstrip": 3},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"bigtiff": True, "byteorder": ">", "compression": "lzw"},
    ],
    ids=str,
)
def test_every_way_to_store_pixels(options: dict, dtype: str) -> None:
    if options.get("compression") == "packbits" and dtype != "uint8":
        options = {"compression": "lzma"}
    samples = picture(37, 41, 4, dtype)
    image = read(tiff_of(samples, photometric="rgb", extrasamples=["unassalpha"], **options))
    np.testing.assert_array_equal(image.pixels, samples[:, :, :3])
    np.testing.assert_array_equal(image.alpha, samples[:, :, 3])
    assert image.pixels.dtype == dtype
    planar = read(
        tiff_of(
            samples.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"], **options
        )
    )
    np.testing.assert_array_equal(planar.pixels, samples[:, :, :3])
    np.testing.assert_array_equal(planar.alpha, samples[:, :, 3])
    grey = read(tiff_of(samples[:, :, 0].copy(), photometric="minisblack", **options))
    np.testing.assert_array_equal(grey.pixels, samples[:, :, :1])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_white_is_zero(dtype: str) -> None:
    samples = picture(5, 7, 1, dtype)
    image = read(tiff_of(samples[:, :, 0], photometric="miniswhite"))
    np.testing.assert_allclose(to_float(image.pixels), 1 - to_float(samples), atol=1e-6)


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
def test_odd_bit_depths_fill_the_range(bits: int) -> None:
    values = np.arange(2**bits, dtype=np.uint8 if bits < 8 else np.uint16).reshape(4, -1)
    image = read(tiff_of(values, photometric="minisblack", bitspersample=bits))
    top = 255 if bits < 8 else 65535
    assert image.pixels.dtype == (np.uint8 if bits < 8 else np.uint16)
    np.testing.assert_array_equal(image.pixels[:, :, 0], np.rint(values / (2**bits - 1) * top))


@pytest.mark.parametrize("compression", [None, "group4", "tiff_lzw"])
def test_one_bit(compression: str | None) -> None:
    pil = PillowImage.fromarray(picture(13, 17, 3)).convert("1")
    buffer = BytesIO()
    pil.save(buffer, "TIFF", compression=compression)
    image = read(buffer)
    assert image.mode == "1"
    np.testing.assert_array_equal(image.pixels[:, :, 0], np.asarray(pil.convert("L")))


@pytest.mark.parametrize("mode", ["P", "LAB", "YCbCr"])
def test_colours_that_are_not_rgb(mode: str) -> None:
    rgb = PillowImage.fromarray(picture(16, 24, 3))
    pil = rgb.convert(mode)
    buffer = BytesIO()
    pil.save(buffer, "TIFF")
    image = read(buffer)
    assert image.mode == mode
    np.testing.assert_array_equal(image.pixels, np.asarray(pil.convert("RGB")))


def test_jpeg_inside() -> None:
    samples = picture(32, 48, 3)
    image = read(tiff_of(samples, photometric="rgb", compression="jpeg", compressionargs={"level": 98}))
    assert np.abs(image.pixels.astype(int) - samples).max() <= 12


def test_other_floats_become_float32() -> None:
    samples = picture(5, 7, 3, "float32")
    np.testing.assert_array_equal(read(tiff_of(samples.astype(np.float64), photometric="rgb")).pixels, samples)
    half = read(tiff_of(samples.astype(np.float16), photometric="rgb")).pixels
    np.testing.assert_array_equal(half, samples.astype(np.float16).astype(np.float32))


def test_floats_beyond_white_are_kept() -> None:
    samples = picture(5, 7, 3, "float32") * 2 - 0.3
    samples[0, 0] = np.inf, np.nan, 700
    image = read(tiff_of(samples, photometric="rgb"))
    np.testing.assert_array_equal(image.pixels, samples)
    np.testing.assert_array_equal(read(BytesIO(encoded(image, "TIFF"))).pixels, samples)


def test_floats_that_do_not_have_white_at_one_are_refused_or_read_as_numbers() -> None:
    samples = picture(50, 70, 3).astype(np.float32)
    with pytest.raises(ImageError, match=r"above 1\.0, which is white .* greatest are 2\d\d\. Divide them by what"):
        read(tiff_of(samples, photometric="rgb"))
    np.testing.assert_array_equal(read(tiff_of(samples, photometric="rgb"), any_floats=True).pixels, samples)
    with pytest.raises(ImageError, match=r"most samples of the array are above 1\.0"):
        Image.from_array(samples)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_alpha_multiplied_in_is_taken_out(dtype: str) -> None:
    straight = picture(9, 9, 3, dtype)
    cover = np.linspace(0.5, 1, 81).reshape(9, 9)
    cover[0, 0] = 0
    top = 255 if dtype == "uint8" else 1.0
    alpha = (np.rint(cover * top) if dtype == "uint8" else cover).astype(dtype)
    product = straight * (alpha[:, :, None] / np.float64(top))
    samples = np.dstack(((np.rint(product) if dtype == "uint8" else product).astype(dtype), alpha))
    image = read(tiff_of(samples, photometric="rgb", extrasamples=["assocalpha"]))
    np.testing.assert_array_equal(image.alpha, alpha)
    difference = np.abs(image.pixels.astype(float) - straight)
    difference[0, 0] = 0
    assert difference.max() <= (1 if dtype == "uint8" else 1e-6)
    assert (image.pixels[0, 0] == 0).all()


@pytest.mark.parametrize("dtype", ["int16", "uint32", "int8", "complex64"])
def test_samples_of_other_types_are_refused(dtype: str) -> None:
    with pytest.raises(ImageError, match="the input: samples of type"):
        read(tiff_of(np.ones((4, 4), dtype), photometric="minisblack"))


@pytest.mark.parametrize(("channels", "said"), [(5, "has 5 channels"), (7, "has 7 channels")])
def test_more_channels_are_refused(channels: int, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        read(tiff_of(picture(4, 4, channels), photometric="rgb", planarconfig="contig"))


def test_several_pages_are_refused() -> None:
    with pytest.raises(ImageError, match=r"the input holds 3 pictures. Split it into single images first\."):
        read(tiff_of(np.zeros((3, 8, 8), np.uint8), photometric="minisblack"))


def test_a_preview_and_a_mask_beside_the_picture_are_passed_over() -> None:
    samples = picture(16, 24, 3)
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(samples[::4, ::4], photometric="rgb", subfiletype=1, metadata=None)
        writer.write(samples, photometric="rgb", metadata=None)
        writer.write(samples[:, :, 0], photometric="minisblack", subfiletype=1, metadata=None)
    buffer.seek(0)
    with tifffile.TiffFile(buffer, mode="r+b") as tif:
        tif.pages[2].tags[254].overwrite(4)  # a mask
    np.testing.assert_array_equal(read(buffer).pixels, samples)


def test_raw_data_are_refused() -> None:
    with pytest.raises(ImageError, match=r"is a camera raw file\. Develop it"):
        read(tiff_of(picture(16, 24, 1)[:, :, 0], photometric="cfa"))
    with pytest.raises(ImageError, match=r"is a camera raw file\. Develop it"):
        read(tiff_of(picture(16, 24, 3), photometric="rgb", extratags=[(50706, 1, 4, b"\1\4\0\0", True)]))


@pytest.mark.parametrize("turn", [lambda block: block, big_endian], ids=["one byte order", "the other"])
@pytest.mark.parametrize("channels", [1, 4])
def test_exif_moves_in_and_out(channels: int, turn) -> None:
    from dataclasses import replace

    block = turn(exif_block(1))
    image = replace(Image.from_array(picture(5, 7, channels, "uint16")), metadata=Metadata(exif=block))
    data = encoded(image, "TIFF")
    assert data[:2] == block[6:8]
    found = read(BytesIO(data)).metadata.exif
    assert found[6:8] == block[6:8]
    resolution = {282, 283, 296}
    assert tags_of(found) == {tag: value for tag, value in tags_of(block).items() if tag not in resolution}
    with tifffile.TiffFile(BytesIO(data)) as tif:
        page = tif.pages[0]
        assert page.tags["Make"].value == "Kamera"
        assert page.tags["ExifTag"].value["ExposureTime"] == 0.004
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        np.testing.assert_array_equal(page.asarray().reshape(5, 7, -1)[:, :, : image.pixels.shape[2]], image.pixels)


def test_what_pillow_writes_is_found() -> None:
    buffer = BytesIO()
    pil = PillowImage.fromarray(picture(5, 7, 3))
    exif = PillowImage.Exif()
    exif.load(exif_block(1))
    exif[700] = XMP % 1
    pil.save(buffer, "TIFF", exif=exif, icc_profile=srgb(), dpi=(200, 100))
    image = read(buffer)
    assert image.metadata.icc_profile == srgb()
    assert image.metadata.dpi == (200, 100)
    assert image.metadata.xmp == XMP % 1
    assert tags_of(image.metadata.exif)[0x010F] == "Kamera"
    assert tags_of(image.metadata.exif)[0x8769 * 65536 + 0x829A] == 0.004


def test_dots_per_centimetre() -> None:
    image = read(tiff_of(picture(5, 7, 3), photometric="rgb", resolution=(100, 50), resolutionunit="CENTIMETER"))
    assert image.metadata.dpi == (254.0, 127.0)
    image = read(tiff_of(picture(5, 7, 3), photometric="rgb", resolution=(2, 1), resolutionunit="NONE"))
    assert image.metadata.dpi is None


def test_unknown_tags_come_along() -> None:
    extra = [(65000, 12, 2, (1.5, -2.5), True), (33723, 7, 6, b"iptc!!", True)]
    image = read(tiff_of(picture(5, 7, 3), photometric="rgb", software="scanner 1", extratags=extra))
    with tifffile.TiffFile(BytesIO(encoded(image, "TIFF"))) as tif:
        tags = tif.pages[0].tags
        assert tags[65000].value == (1.5, -2.5)
        assert tags[33723].value == b"iptc!!"
        assert tags["Software"].value == "scanner 1"
    with tifffile.TiffFile(BytesIO(encoded(image, "TIFF", strip=True))) as tif:
        assert 65000 not in tif.pages[0].tags


def test_a_chain_of_pages_in_a_circle_comes_to_an_end() -> None:
    data = bytearray(encoded(Image.from_array(picture(5, 7, 3)), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    np.testing.assert_array_equal(read(BytesIO(data)).pixels, picture(5, 7, 3))


def test_exif_that_only_says_upright_is_no_metadata() -> None:
    upright = Metadata(exif=from_entries({274: Entry(3, 1, b"\1\0")}, "<"))
    assert read(BytesIO(encoded(Image(picture(5, 7, 3), None, upright), "TIFF"))).metadata == Metadata()


def test_big_files_become_bigtiff(monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.images import tiff

    monkeypatch.setattr(tiff, "_MOST_CLASSIC", 100)
    block = exif_block(1)
    given = Image(
        picture(13, 17, 3), None, Metadata(exif=block if block[6:8] == b"II" else big_endian(block), dpi=(240.0, 120.0))
    )
    data = encoded(given, "TIFF")
    assert data[:4] == b"II+\0"
    found = read(BytesIO(data))
    np.testing.assert_array_equal(found.pixels, given.pixels)
    assert tags_of(found.metadata.exif)[0x8769 * 65536 + 0x829A] == 0.004
    assert found.metadata.dpi == (240.0, 120.0)
    assert PillowImage.open(BytesIO(data)).getexif().get_ifd(0x8769)[0x829A] == 0.004
