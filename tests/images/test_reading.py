"""What can be wrong with a file, each told in one line, and never anything but an ImageError."""

from __future__ import annotations

import errno
import os
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import PngImagePlugin

from restorekit.errors import ImageError
from restorekit.images import DEFAULT_MAX_PIXELS, Image, Metadata, read
from restorekit.images.opening import long_texts
from tests.images.samples import FORMATS, cmyk_profile, encoded, exif_block, metadata, picture, with_preview
from tests.images.test_png16 import chunk, png_of


def said_by(call) -> str:
    with pytest.raises(ImageError) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 300
    return said


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.jpg"
    assert said_by(lambda: read(path)) == f"{path} does not exist. Check the path."
    assert said_by(lambda: read(str(path / "deeper.jpg"))).startswith(f"{path / 'deeper.jpg'} does not exist")


def test_a_folder(tmp_path: Path) -> None:
    assert said_by(lambda: read(tmp_path)) == f"{tmp_path} is a folder, not an image. Name the images in it."


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    assert said_by(lambda: read(path)) == f"{path} is empty. Copy or download the file again."


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("These are not pixels.")
    assert said_by(lambda: read(path)).startswith(
        f"{path} is not an image of a kind RestoreKit reads. Known kinds are PNG, JPEG,"
    )


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(encoded(Image.from_array(picture(5, 7, 3)), "PNG"))
    assert read(path).format == "PNG"


@pytest.mark.parametrize("opens", [True, False])
def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: bool) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.from_array(picture(5, 7, 3)), "JPEG"))

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    if opens:  # the tests may run as a user to whom nothing is forbidden
        monkeypatch.setattr("builtins.open", refuse)
    else:
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    assert said_by(lambda: read(path)).startswith(f"{path} may not be read: permission denied.")


def test_a_disk_that_fails(tmp_path: Path) -> None:
    class Failing(BytesIO):
        name = "card.jpg"

        def read(self, size: int = -1) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    assert said_by(lambda: read(Failing(b"x"))) == "card.jpg cannot be read: Input/output error. Check the path and the disk."


def test_a_path_that_is_none() -> None:
    assert said_by(lambda: read("a\0b.png")) == "'a\\x00b.png' is not a path. Check the path."


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_short(file_format: str, share: float) -> None:
    data = encoded(Image.from_array(picture(64, 48, 3, seed=3)), file_format)
    said = said_by(lambda: read(BytesIO(data[: int(len(data) * share)])))
    assert said.startswith("the input is cut short: the ") or file_format in ("AVIF", "TIFF", "WEBP")
    assert "Copy or download the file again." in said


@pytest.mark.parametrize("file_format", ["TIFF", "AVIF", "WEBP"])
def test_a_file_cut_short_a_little(file_format: str) -> None:
    data = encoded(Image.from_array(np.tile(picture(64, 48, 3, seed=3), (4, 4, 1))), file_format)
    said = said_by(lambda: read(BytesIO(data[:-50])))
    assert "is cut short" in said or file_format != "TIFF"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (lambda: png_of(0, 5, 8, 0, b""), "the input has no pixels: it is 0 x 5."),
        (lambda: png_of(5, 0, 16, 0, b""), "the input has no pixels: it is 5 x 0."),
        (lambda: _bmp(0, 3), "the input has no pixels: it is 0 x 3."),
        (lambda: _jpeg(8, 0), "the input has no pixels."),
        (lambda: _tiff(0, 8), "the input has no pixels: it is 0 x 8."),
    ],
)
def test_no_pixels(data, said: str) -> None:
    assert said_by(lambda: read(BytesIO(data()))).startswith(said)


@pytest.mark.parametrize("file_format", FORMATS)
def test_too_many_pixels(file_format: str) -> None:
    data = encoded(Image.from_array(picture(50, 40, 3)), file_format)
    said = said_by(lambda: read(BytesIO(data), max_pixels=1999))
    assert said.startswith(
        "the input is 40 x 50, 0.002 Mpixel; the limit is 0.002. If you trust the file, raise the limit with --max-pixels 2000"
    )
    assert read(BytesIO(data), max_pixels=2000).size == (40, 50)
    assert read(BytesIO(data), max_pixels=None).size == (40, 50)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_bomb_is_refused_from_its_header(depth: int) -> None:
    bomb = png_of(60_000, 60_000, depth, 2, b"")
    said = said_by(lambda: read(BytesIO(bomb)))
    assert said.startswith("the input is 60000 x 60000, 3600 Mpixel; the limit is 500.")
    webp = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\x5f\xea\0" * 2
    assert "3600 Mpixel" in said_by(lambda: read(BytesIO(webp)))
    assert "3600 Mpixel" in said_by(lambda: read(BytesIO(_tiff(60_000, 60_000))))
    assert "3600 Mpixel" in said_by(lambda: read(BytesIO(_bmp(60_000, -60_000))))
    assert DEFAULT_MAX_PIXELS == 500_000_000


def test_pillows_own_limit_is_no_hindrance_and_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 100)
    for file_format in FORMATS:
        assert read(BytesIO(encoded(Image.from_array(picture(50, 40, 3)), file_format))).size == (40, 50)
        assert PillowImage.MAX_IMAGE_PIXELS == 100
    buffer = BytesIO()
    PillowImage.fromarray(picture(48, 40, 3)).convert("YCbCr").save(buffer, "TIFF")
    assert read(buffer).size == (40, 48)
    assert PillowImage.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("depth", [8, 16])
def test_pillows_limit_of_texts_stays_as_it_was_after_an_error(depth: int) -> None:
    usual = PngImagePlugin.MAX_TEXT_CHUNK
    damaged = png_of(5, 4, depth, 2, b"", chunk(b"tEXt", b"Title\0x"))
    assert "is cut short" in said_by(lambda: read(BytesIO(damaged))) or depth == 16
    assert usual == PngImagePlugin.MAX_TEXT_CHUNK


def test_pillows_limit_of_texts_is_raised_until_the_last_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 100)
    with long_texts("PNG"):
        with pytest.raises(ZeroDivisionError), long_texts("PNG"):
            raise ZeroDivisionError
        assert PngImagePlugin.MAX_TEXT_CHUNK > 2**20
        with long_texts("JPEG"):
            assert PngImagePlugin.MAX_TEXT_CHUNK > 2**20
    assert PngImagePlugin.MAX_TEXT_CHUNK == 100
    with long_texts("JPEG"):
        assert PngImagePlugin.MAX_TEXT_CHUNK == 100


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "AVIF", "TIFF"])
def test_several_pictures(file_format: str) -> None:
    frames = [PillowImage.fromarray(picture(16, 16, 3, seed=i)) for i in range(3)]
    buffer = BytesIO()
    frames[0].save(buffer, file_format, save_all=True, append_images=frames[1:])
    assert said_by(lambda: read(buffer)) == "the input holds 3 pictures. Split it into single images first."


def test_previews_beside_a_jpeg_are_passed_over() -> None:
    frames = [PillowImage.fromarray(picture(16, 16, 3, seed=i)) for i in range(2)]
    buffer = BytesIO()
    frames[0].save(buffer, "MPO", save_all=True, append_images=frames[1:], quality=100, subsampling=0)
    image = read(buffer)
    assert image.format == "JPEG"
    assert np.abs(image.pixels.astype(int) - picture(16, 16, 3)).max() <= 5


def test_metadata_that_make_no_sense_do_no_harm() -> None:
    plain = encoded(Image.from_array(picture(8, 8, 3)), "PNG")
    for strange in (
        b"dpi\0nonsense",
        b"exif\0nonsense",
        b"icc_profile\0nonsense",
        b"xmp\0nonsense",
        b"Raw profile type exif\0\nexif\n9\nzz",
    ):
        image = read(BytesIO(plain[:33] + chunk(b"tEXt", strange) + plain[33:]))
        assert image.metadata in (Metadata(), Metadata(text=(("Raw", "x"),)))
    imagemagick = "\nexif\n  10\n" + "\n".join(exif_block(6).hex()[i : i + 72] for i in range(0, 2 * len(exif_block(6)), 72))
    image = read(
        BytesIO(plain[:33] + chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(imagemagick.encode())) + plain[33:])
    )
    assert image.metadata.exif is not None
    assert image.metadata.text == ()


def test_open_files(tmp_path: Path) -> None:
    data = encoded(Image.from_array(picture(5, 7, 3)), "TIFF")
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.read(3)
        assert read(file).size == (7, 5)
        assert not file.closed
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as file:
        file.write(data)
    with os.fdopen(read_end, "rb") as pipe:
        assert read(pipe).size == (7, 5)
    closed = path.open("rb")
    closed.close()
    assert said_by(lambda: read(closed)).startswith(f"{path} cannot be read: ")


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
def test_a_pipe_with_a_name(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    given = Image.from_array(picture(50, 70, 3))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(path.write_bytes, encoded(given, file_format))
        found = read(path)
    assert (found.format, found.size) == (file_format, (70, 50))
    assert np.abs(found.pixels.astype(int) - given.pixels).max() <= (12 if file_format == "JPEG" else 0)


def test_memory_beside_the_pixels_is_small() -> None:
    buffer = BytesIO()
    PillowImage.new("RGB", (4000, 3000), (10, 200, 30)).save(buffer, "JPEG", exif=exif_block(6))
    read(BytesIO(encoded(Image.from_array(picture(8, 8, 3)), "JPEG")))  # imports
    tracemalloc.start()  # it sees arrays and bytes, not Pillow's own picture, of which there is one
    try:
        image = read(buffer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert image.size == (3000, 4000)
    assert peak < image.pixels.nbytes + 12 * 2**20


def test_importing_is_light() -> None:
    code = (
        "import sys, restorekit.images as i; i.is_image_path('a.jpg'); "
        "sys.exit(', '.join(m for m in ('PIL', 'cv2', 'tifffile', 'imagecodecs', 'torch', 'kornia') if m in sys.modules) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("installed", [False, True])
def test_heic_asks_for_its_extra(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    if installed:
        pytest.importorskip("pillow_heif")
        assert "Copy or download the file again." in said_by(lambda: read(BytesIO(heic)))
        found = read(BytesIO(encoded(Image(picture(64, 48, 3), None, metadata()), "HEIF", quality=100)))
        assert (found.format, found.size) == ("HEIF", (48, 64))
        assert np.abs(found.pixels.astype(int) - picture(64, 48, 3)).max() <= 6
        assert found.metadata.icc_profile == metadata().icc_profile
        return
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    expected = "the input is a HEIC file, which needs pillow-heif. Install it with pip install pillow-heif."
    assert said_by(lambda: read(BytesIO(heic))) == expected
    assert "pip install pillow-heif" in said_by(lambda: encoded(Image.from_array(picture(8, 8, 3)), "HEIF"))


def _bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)


def _jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.from_array(picture(8, 8, 3)), "JPEG"))
    at = data.index(b"\xff\xc0")
    struct.pack_into(">HH", data, at + 5, height, width)
    return bytes(data)


def _tiff(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.from_array(picture(8, 8, 3)), "TIFF"))
    with tifffile.TiffFile(BytesIO(data)) as tif:
        for tag, value in ((256, width), (257, height)):
            struct.pack_into("<I", data, tif.pages[0].tags[tag].valueoffset, value)
    return bytes(data)


@cache
def _intact() -> dict[str, bytes]:
    """A small file of every kind, with as much in it as there can be."""
    files = {name: encoded(Image(picture(13, 17, 3), None, metadata(6)), name) for name in FORMATS}
    files |= {f"{name} with alpha": encoded(Image.from_array(picture(13, 17, 4)), name) for name in FORMATS if name != "JPEG"}
    files["16-bit PNG"] = encoded(Image(picture(13, 17, 3, "uint16"), None, metadata(3)), "PNG")
    files["16-bit grey PNG with alpha"] = encoded(Image.from_array(picture(13, 17, 2, "uint16")), "PNG")
    rgb = PillowImage.fromarray(picture(13, 17, 3))
    pillow = {
        "palette PNG": (rgb.quantize(16), "PNG", {"transparency": 3}),
        "CMYK JPEG": (rgb.convert("CMYK"), "JPEG", {"icc_profile": cmyk_profile()}),
        "progressive JPEG": (rgb, "JPEG", {"progressive": True, "exif": with_preview(exif_block(8))}),
        "palette BMP": (rgb.quantize(16), "BMP", {}),
        "YCbCr TIFF": (rgb.convert("YCbCr"), "TIFF", {}),
        "fax TIFF": (rgb.convert("1"), "TIFF", {"compression": "group4"}),
        "palette TIFF": (rgb.quantize(16), "TIFF", {}),
    }
    for name, (pil, file_format, options) in pillow.items():
        buffer = BytesIO()
        pil.save(buffer, file_format, **options)
        files[name] = buffer.getvalue()
    samples = picture(40, 48, 3)
    tiffs = {
        "LZW": {"compression": "lzw", "predictor": True},
        "tiled": {"tile": (16, 16), "compression": "zlib"},
        "JPEG": {"compression": "jpeg"},
        "Big": {"bigtiff": True},
        "PackBits": {"compression": "packbits", "byteorder": ">"},
    }
    for name, options in tiffs.items():
        buffer = BytesIO()
        tifffile.imwrite(buffer, samples, photometric="rgb", metadata=None, **options)
        files[f"{name} TIFF"] = buffer.getvalue()
    return files


KINDS = (
    *FORMATS,
    *(f"{name} with alpha" for name in FORMATS if name != "JPEG"),
    *("16-bit PNG", "16-bit grey PNG with alpha", "palette PNG", "CMYK JPEG", "progressive JPEG", "palette BMP"),
    *("YCbCr TIFF", "fax TIFF", "palette TIFF", "LZW TIFF", "tiled TIFF", "JPEG TIFF", "Big TIFF", "PackBits TIFF"),
)


def test_the_files_to_be_damaged_are_intact() -> None:
    assert tuple(_intact()) == KINDS
    for data in _intact().values():
        assert read(BytesIO(data)).pixels.size


def _damaged(data: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(rng.choice((len(damaged), min(len(damaged), 200))))
        match rng.randrange(6):
            case 0:
                damaged[at] ^= 1 << rng.randrange(8)
            case 1:
                damaged[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                damaged[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"))
            case 3:
                del damaged[at : at + rng.randrange(1, 20)]
            case 4:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 20))
            case _:
                damaged[at:] = damaged[at : at + rng.randrange(len(damaged))]
        damaged = damaged or bytearray(1)
    return bytes(damaged)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_damage_is_an_image_error_or_no_matter(kind: str, seed: int) -> None:
    data = _damaged(_intact()[kind], random.Random(seed))
    try:
        image = read(BytesIO(data), max_pixels=1_000_000)
    except ImageError as error:
        assert "\n" not in str(error)
        return
    assert image.pixels.ndim == 3
    if image.pixels.size < 10_000:
        for file_format in ("PNG", "JPEG", "TIFF", "WEBP"):  # what was read can be written, whatever its metadata are
            encoded(image, file_format)
