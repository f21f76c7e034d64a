from __future__ import annotations

import errno
import os
import struct
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import IptcImagePlugin, JpegImagePlugin

from restorekit.errors import ImageError, SettingError
from restorekit.images import Image, Metadata, encoding, png16, read, tiff, write
from tests.images.samples import FORMATS, encoded, picture

IMAGE = Image.from_array(picture(64, 48, 3))
EXTENSION = {"PNG": "png", "JPEG": "jpg", "TIFF": "tif", "WEBP": "webp", "BMP": "bmp", "AVIF": "avif"}


def said_by(call) -> str:
    with pytest.raises(ImageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_extension_decides(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / f"a.{EXTENSION[file_format]}"
    write(IMAGE, path)
    write(IMAGE, str(path))
    assert read(path).format == PillowImage.open(BytesIO(path.read_bytes())).format == file_format
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_format_given_outranks_the_extension(tmp_path: Path) -> None:
    write(IMAGE, tmp_path / "a.dat", format="tif")
    assert read(tmp_path / "a.dat").format == "TIFF"


def test_open_files_get_the_format_that_was_read() -> None:
    for file_format in ("JPEG", "TIFF"):
        buffer = BytesIO()
        write(read(BytesIO(encoded(IMAGE, file_format))), buffer)
        assert read(buffer).format == file_format


@pytest.mark.parametrize("file_format", [*FORMATS, "PNG of 16 bits"])
def test_a_pipe_will_do(file_format: str) -> None:
    small = Image.from_array(picture(8, 8, 3, "uint16" if "16" in file_format else "uint8"))
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as pipe:
        write(small, pipe, format=file_format[:4].strip())
    with os.fdopen(read_end, "rb") as pipe:
        assert read(pipe).size == (8, 8)


def test_an_unknown_extension_or_none(tmp_path: Path) -> None:
    assert "unknown extension '.jpgg'" in said_by(lambda: write(IMAGE, tmp_path / "a.jpgg"))
    assert "has no extension" in said_by(lambda: write(IMAGE, tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", FORMATS)
def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_format: str) -> None:
    path = tmp_path / f"a.{EXTENSION[file_format]}"
    path.write_bytes(b"old")

    class Full:
        """A file on a disk that is full after a few bytes."""

        def __init__(self, file) -> None:
            self._file = file

        def __getattr__(self, name: str):
            return getattr(self._file, name)

        def write(self, data) -> int:
            self._file.write(bytes(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args: Full(original(self, *args)))
    assert (
        said_by(lambda: write(IMAGE, path))
        == f"{path} cannot be written: the disk is full. Free some space or write to another disk."
    )
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.ENOSPC, "cannot be written: the disk is full. Free some space"),
        (errno.EDQUOT, "cannot be written: the disk is full. Free some space"),
        (errno.EACCES, "may not be written: permission denied. Change the folder's permissions"),
        (errno.EROFS, "may not be written: permission denied. Change the folder's permissions"),
        (errno.ENAMETOOLONG, "cannot be written: File name too long. Check the path"),
    ],
)
def test_what_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.png"
    monkeypatch.setattr(Path, "open", refuse)
    assert said_by(lambda: write(IMAGE, path)).startswith(f"{path} {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert "may not be written: permission denied" in said_by(lambda: write(IMAGE, folder / "a.png"))


def test_a_folder_that_is_not_there_and_a_folder_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "none" / "a.png"
    assert said_by(lambda: write(IMAGE, path)) == f"{path} cannot be written: its folder does not exist. Create the folder first."
    (tmp_path / "b.png").mkdir()
    assert "a folder and a file are mixed up" in said_by(lambda: write(IMAGE, tmp_path / "b.png"))
    (tmp_path / "c").write_bytes(b"")
    assert "a folder and a file are mixed up" in said_by(lambda: write(IMAGE, tmp_path / "c" / "d.png"))


def test_nothing_is_overwritten_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(IMAGE, path, overwrite=False)
    before = path.read_bytes()
    expected = f"{path} exists already. Choose another name, or allow it with --overwrite."
    assert said_by(lambda: write(IMAGE, path, overwrite=False)) == expected
    assert path.read_bytes() == before


@pytest.mark.parametrize(("extension", "most"), [("jpg", 65500), ("webp", 16383), ("avif", 65536)])
def test_a_side_that_is_too_long(tmp_path: Path, extension: str, most: int) -> None:
    long = Image.from_array(np.zeros((1, most + 1), np.uint8))
    said = said_by(lambda: write(long, tmp_path / f"a.{extension}"))
    assert f"cannot be {most + 1} x 1: " in said
    assert said.endswith(f"holds at most {most} pixels a side. Write PNG or TIFF instead.")
    assert list(tmp_path.iterdir()) == []
    if extension != "avif":  # the encoder takes seconds over a row that long
        write(Image.from_array(np.zeros((1, most), np.uint8)), tmp_path / f"a.{extension}")


@pytest.mark.parametrize("error", [ValueError("bad\nvalue"), OSError("encoder error -2"), RuntimeError("x"), MemoryError()])
def test_an_encoder_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(encoding, "encode", fail)
    monkeypatch.setattr(tiff, "write", fail)
    for name in ("a.png", "a.tif"):
        assert f"{name} cannot be encoded as " in said_by(lambda name=name: write(IMAGE, tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"subsampling": "4:1:1"}])
def test_settings_that_do_not_exist(tmp_path: Path, options: dict) -> None:
    with pytest.raises(SettingError):
        write(IMAGE, tmp_path / "a.jpg", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("subsampling", "expected"), [(None, 0), ("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_jpeg_keeps_every_colour_unless_told(subsampling: str | None, expected: int) -> None:
    data = encoded(IMAGE, "JPEG", **({"subsampling": subsampling} if subsampling else {}))
    assert JpegImagePlugin.get_sampling(PillowImage.open(BytesIO(data))) == expected


def test_jpeg_has_quality_95_unless_told() -> None:
    buffer = BytesIO()
    PillowImage.fromarray(IMAGE.pixels).save(buffer, "JPEG", quality=95)
    expected = PillowImage.open(buffer).quantization
    assert PillowImage.open(BytesIO(encoded(IMAGE, "JPEG"))).quantization == expected
    assert PillowImage.open(BytesIO(encoded(IMAGE, "JPEG", quality=50))).quantization != expected


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "AVIF"])
def test_less_quality_takes_less_space(file_format: str) -> None:
    sizes = [len(encoded(IMAGE, file_format, quality=quality)) for quality in (30, 95)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_image_gives_the_same_bytes(file_format: str) -> None:
    assert encoded(IMAGE, file_format) == encoded(IMAGE, file_format)


def test_what_is_written_stays_as_it_was() -> None:
    pixels, alpha = IMAGE.pixels.copy(), picture(64, 48, 1)[:, :, 0]
    image = Image(pixels, alpha.copy())
    for file_format in FORMATS:
        encoded(image, file_format)
    np.testing.assert_array_equal(pixels, IMAGE.pixels)
    np.testing.assert_array_equal(image.alpha, alpha)


def test_colours_under_full_transparency_survive() -> None:
    image = Image(picture(16, 16, 3), np.zeros((16, 16), np.uint8))
    for file_format in ("PNG", "TIFF", "WEBP", "BMP"):
        np.testing.assert_array_equal(read(BytesIO(encoded(image, file_format, quality=100))).pixels, image.pixels)


def test_heic_gets_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the plugin is called with; whether it understands is tested where it is installed."""
    from types import SimpleNamespace

    from tests.images.samples import metadata

    calls: list[dict] = []

    def save(pil: PillowImage.Image, file: BytesIO, _: str) -> None:
        calls.append({"mode": pil.mode, **pil.encoderinfo})
        file.write(b"heic")

    register = SimpleNamespace(register_heif_opener=lambda: monkeypatch.setitem(PillowImage.SAVE, "HEIF", save))
    monkeypatch.setitem(sys.modules, "pillow_heif", register)
    assert encoded(Image(picture(8, 8, 3), None, metadata()), "HEIF") == b"heic"
    encoded(Image.from_array(picture(8, 8, 2, "uint16")), "HEIF", quality=100, subsampling="4:2:0")
    expected = metadata()
    assert calls == [
        {
            "mode": "RGB",
            "quality": 95,
            "chroma": 444,
            "exif": expected.exif,
            "xmp": expected.xmp,
            "icc_profile": expected.icc_profile,
        },
        {"mode": "RGBA", "quality": -1, "chroma": 420},
    ]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_what_a_png_says_of_its_colours_travels(dtype: str) -> None:
    chunks = {b"gAMA": struct.pack(">I", 100_000), b"cHRM": struct.pack(">8I", *range(30_000, 38_000, 1000)), b"sRGB": b"\1"}
    data = encoded(Image(picture(8, 8, 3, dtype), None, Metadata(colour=tuple(chunks.items()))), "PNG")
    for again in (data, encoded(read(BytesIO(data)), "PNG"), encoded(read(BytesIO(data)), "PNG", strip=True)):
        found = {name: bytes(chunk[8:-4]) for name, chunk in png16.chunks(again)}
        assert {name: found[name] for name in chunks} == chunks
        assert list(found).index(b"gAMA") < list(found).index(b"IDAT")
        info = PillowImage.open(BytesIO(again)).info
        assert info["gamma"] == 1 and info["srgb"] == 1


def test_a_comment_that_is_no_utf8_keeps_its_letters() -> None:
    buffer = BytesIO()
    PillowImage.new("RGB", (8, 8)).save(buffer, "JPEG", comment="Grüße".encode("latin-1"))
    image = read(BytesIO(buffer.getvalue()))
    assert image.metadata.text == (("Comment", "Grüße"),)
    assert PillowImage.open(BytesIO(encoded(image, "JPEG"))).info["comment"] == "Grüße".encode()


RECORDS = b"\x1c\x02\x74\x00\x0c(c) J. Smith\x1c\x02\x78\x00\x03cat"


@pytest.mark.parametrize("first", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("second", ["JPEG", "TIFF", "PNG"])
def test_iptc_records_travel(first: str, second: str) -> None:
    data = encoded(Image(picture(8, 8, 3), None, Metadata(iptc=RECORDS), "JPEG"), first)
    again = read(BytesIO(data))
    assert again.metadata.iptc == RECORDS
    assert again.metadata.text == ()
    assert read(BytesIO(encoded(again.replace_pixels(again.pixels // 2), second))).metadata.iptc == RECORDS
    assert read(BytesIO(encoded(again, second, strip=True))).metadata.iptc is None


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_pillow_reads_the_iptc_records(file_format: str) -> None:
    data = encoded(Image(picture(8, 8, 3), None, Metadata(iptc=RECORDS), "JPEG"), file_format)
    assert IptcImagePlugin.getiptcinfo(PillowImage.open(BytesIO(data))) == {(2, 116): b"(c) J. Smith", (2, 120): b"cat"}
