from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images import Image, Metadata, large, open_large, read, tiff_windows, write
from restorekit.images.large import Spool
from tests.images.samples import XMP, exif_block, picture, srgb, tags_of
from tests.images.test_exif import big_endian

STORED: dict[str, dict[str, Any]] = {
    "one plain strip": {},
    "plain strips": {"rowsperstrip": 7},
    "big-endian": {"rowsperstrip": 7, "byteorder": ">"},
    "BigTIFF": {"bigtiff": True, "rowsperstrip": 5, "compression": "lzw"},
    "deflated strips": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "deflated tiles": {"tile": (16, 32), "compression": "zlib", "predictor": True},
    "plain tiles": {"tile": (32, 16)},
}


def opened(path: Path) -> large.LargeImage:
    image = open_large(path, scratch=path.parent)
    assert image is not None
    return image


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("planar", [False, True], ids=["contiguous", "planar"])
@pytest.mark.parametrize("options", STORED.values(), ids=STORED)
def test_windows_are_what_the_whole_is(options: dict[str, Any], planar: bool, dtype: str, tmp_path: Path) -> None:
    samples = picture(61, 83, 4, dtype)
    if planar:
        samples, options = samples.transpose(2, 0, 1).copy(), {**options, "planarconfig": "separate"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, samples, metadata=None, photometric="rgb", extrasamples=["unassalpha"], **options)
    image, whole = opened(path), read(path)
    assert image.size == whole.size and image.mode == whole.mode and not image.is_grey
    assert image.alpha is not None and whole.alpha is not None
    for first, last in ((0, 61), (0, 1), (13, 40), (20, 30), (39, 61)):
        block = slice(first, last), slice(9, 50)
        np.testing.assert_array_equal(image.pixels[block], whole.pixels[block])
        np.testing.assert_array_equal(image.alpha[block][:, :, 0], whole.alpha[block])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_inside(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    PillowImage.fromarray(picture(200, 301, 3)).convert(mode).save(path, compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        assert len(tif.pages[0].dataoffsets) > 1 or mode == "L"
    image, whole = opened(path), read(path)
    assert image.size == whole.size and image.is_grey == whole.is_grey == (mode == "L")
    for first, last in ((0, 200), (13, 40), (60, 190)):
        np.testing.assert_array_equal(image.pixels[first:last, 9:250], whole.pixels[first:last, 9:250])


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_upright(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    turned = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, picture(61, 83, 1)[:, :, 0], metadata=None, rowsperstrip=7, extratags=turned)
    image, whole = opened(path), read(path)
    for first, last in ((0, 61), (13, 40), (50, 61)):
        np.testing.assert_array_equal(image.pixels[first:last, 0:83], whole.pixels[first:last])


def test_what_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(Image(picture(8, 9, 3)), path)
    assert open_large(path, scratch=tmp_path) is None
    for number, options in enumerate(({"extratags": [(274, "H", 1, 6, True)]}, {"photometric": "separated"})):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, picture(8, 9, 4), metadata=None, **{"photometric": "rgb", **options})
        assert open_large(path, scratch=tmp_path) is None


def test_floats_that_do_not_have_white_at_one_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.tif"
    tifffile.imwrite(path, picture(300, 90, 3).astype(np.float32), photometric="rgb", rowsperstrip=16)
    with pytest.raises(ImageError, match=r"photo\.tif are above 1\.0"):
        opened(path)


def test_one_compressed_strip_of_everything_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.images.tiff_windows._MOST_SEGMENT", 60 * 83)
    path = tmp_path / "a.tif"
    for options, whole in (({}, True), ({"rowsperstrip": 50}, False)):
        tifffile.imwrite(path, picture(61, 83, 1)[:, :, 0], compression="zlib", **{"rowsperstrip": 61, **options})
        assert (open_large(path, scratch=tmp_path) is None) == whole


def test_errors_are_those_of_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.raises(ImageError, match="does not exist"):
        open_large(path, scratch=tmp_path)
    tifffile.imwrite(path, picture(61, 83, 3), compression="zlib", rowsperstrip=10, metadata=None)
    with pytest.raises(ImageError, match=r"83 x 61.*--max-pixels 5063"):
        open_large(path, scratch=tmp_path, max_pixels=5000)
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[at : at + 40] = bytes(40)
    path.write_bytes(data)
    image = opened(path)
    with pytest.raises(ImageError, match="damaged"):
        image.pixels[30:40, 0:83]
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError):
        open_large(path, scratch=tmp_path)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_written_as_a_whole_image_is(channels: int, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "TILE", 32)
    profile = None if channels < 3 else srgb()
    metadata = Metadata(profile, big_endian(exif_block(1)) if dtype == "uint16" else exif_block(1), XMP % 1, (240.0, 120.0))
    image = Image.from_array(picture(61, 83, channels, dtype))
    source, by_windows, whole = (tmp_path / f"{name}.tif" for name in "abc")
    write(Image(image.pixels, image.alpha, metadata), source)
    stored = opened(source)
    write(stored.replace_pixels(stored.pixels), by_windows)
    write(read(source), whole)
    one, other = read(by_windows), read(whole)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    if other.alpha is not None:
        np.testing.assert_array_equal(one.alpha, other.alpha)
    assert one.metadata.icc_profile == profile and one.metadata.xmp == XMP % 1 and one.metadata.dpi == (240.0, 120.0)
    assert tags_of(one.metadata.exif) == tags_of(other.metadata.exif) != {}
    write(stored, whole, strip=True)
    assert read(whole).metadata == Metadata(profile)


def test_other_formats_are_written_from_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write(Image.from_array(picture(61, 83, 4)), path)
    write(opened(path), tmp_path / "a.png")
    one, other = read(tmp_path / "a.png"), read(path)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.alpha, other.alpha)


def test_no_array_grows_with_the_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an image of 20 times as many rows, no more are held at a time."""
    monkeypatch.setattr(large, "TILE", 16)
    most: list[int] = []
    real = large.Windows._read

    def counted(self: large.Windows, first: int, last: int) -> Image:
        image = real(self, first, last)
        most[-1] = max(most[-1], image.pixels.size)
        return image

    monkeypatch.setattr(large.Windows, "_read", counted)
    for height in (40, 800):
        path = tmp_path / f"{height}.tif"
        tifffile.imwrite(path, picture(height, 30, 3), compression="zlib", rowsperstrip=8, metadata=None)
        most.append(0)
        write(opened(path), tmp_path / "out.tif")
        np.testing.assert_array_equal(read(tmp_path / "out.tif").pixels, read(path).pixels)
    assert most == [16 * 30 * 3] * 2


def test_a_sample_has_the_statistics(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    samples = picture(120, 240, 3, "float32")
    write(Image(samples), path)
    image = opened(path)
    np.testing.assert_array_equal(image.sample().pixels, samples)
    few = image.sample(120 * 240 // 9).pixels
    np.testing.assert_array_equal(few, samples[::3, ::3])
    np.testing.assert_allclose(few.mean((0, 1)), samples.mean((0, 1)), atol=0.01)


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
@pytest.mark.parametrize("options", STORED.values(), ids=STORED)
def test_a_sample_is_the_same_however_it_is_stored(options: dict[str, Any], orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    turned = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, picture(61, 83, 3), metadata=None, photometric="rgb", extratags=turned, **options)
    image, whole = opened(path), read(path).pixels
    for step in (1, 2, 5, 20):
        np.testing.assert_array_equal(image.sample(round(61 * 83 / step**2)).pixels, whole[::step, ::step])


@pytest.mark.parametrize("orientation", [1, 4])
def test_for_a_sample_each_tile_is_decoded_once_if_at_all(
    orientation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    most: list[int] = []
    real = tiff_windows._segments

    def counted(page: Any, first: int, last: int) -> list[int]:
        most.append(last - first)
        decoded.extend(real(page, first, last))
        return list(real(page, first, last))

    monkeypatch.setattr(tiff_windows, "_segments", counted)
    path = tmp_path / "a.tif"
    turned = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, picture(200, 90, 3), metadata=None, tile=(32, 32), compression="zlib", extratags=turned)
    image = opened(path)
    for step, expected in ((1, 7 * 3), (4, 7 * 3), (50, 4 * 3)):
        decoded.clear()
        image.sample(round(200 * 90 / step**2))
        assert len(decoded) == len(set(decoded)) == expected
    assert max(most) == 32


def test_spool_keeps_blocks_and_leaves_nothing_behind(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    expected = np.zeros((23, 31, 3), np.uint16)
    spool = Spool((23, 31, 3), expected.dtype, tmp_path)
    spool[0:23, 0:31] = expected
    for top, left in ((0, 0), (5, 20), (13, 3)):
        block = slice(top, top + 10), slice(left, left + 11)
        expected[block] = generator.integers(0, 65536, (10, 11, 3))
        spool[block] = expected[block]
    np.testing.assert_array_equal(spool[0:23, 0:31], expected)
    np.testing.assert_array_equal(spool[7:9, 4:30], expected[7:9, 4:30])
    np.testing.assert_array_equal(large._every(spool, 5, 2), expected[::5, ::2])
    del spool
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ImageError, match="temporary file"):
        Spool((2, 2, 1), expected.dtype, tmp_path / "absent")
