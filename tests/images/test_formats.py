from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.errors import ImageError
from restorekit.images import EXTENSIONS, format_of, is_image_path
from restorekit.images.formats import FORMATS, format_named, recognise


def test_every_extension_leads_to_its_format() -> None:
    assert EXTENSIONS[".jpg"] == EXTENSIONS[".jpeg"] == "JPEG"
    assert EXTENSIONS[".tif"] == EXTENSIONS[".tiff"] == "TIFF"
    assert EXTENSIONS[".heic"] == "HEIF"
    assert set(EXTENSIONS.values()) == set(FORMATS)


@pytest.mark.parametrize(
    ("path", "expected"), [("a.JPG", "JPEG"), (Path("b/c.Tiff"), "TIFF"), ("x.y.png", "PNG"), (".a.avif", "AVIF")]
)
def test_format_of_a_path(path: str | Path, expected: str) -> None:
    assert format_of(path) == expected
    assert is_image_path(path)


@pytest.mark.parametrize("path", ["notes.txt", "photo", "photo.jpg.part", ".png", "x.restorekit-tmp"])
def test_other_paths_are_no_images(path: str) -> None:
    assert not is_image_path(path)
    with pytest.raises(ImageError):
        format_of(path)


def test_an_unknown_extension_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ImageError, match=r"photo\.jpgg has the unknown extension '\.jpgg'\. Use \.png, .*did you mean '\.jpg'\?$"
    ):
        format_of("photo.jpgg")


@pytest.mark.parametrize(
    ("name", "expected"), [("jpg", "JPEG"), (".TIF", "TIFF"), ("Png", "PNG"), ("webp", "WEBP"), ("heic", "HEIF")]
)
def test_a_format_by_any_of_its_names(name: str, expected: str) -> None:
    assert format_named(name) == expected


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ImageError, match=r"^'gif' is not a format RestoreKit writes\. Use one of PNG, JPEG, TIFF, WEBP, BMP, AVIF, HEIF\.$"
    ):
        format_named("gif")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"MM\0*\0\0\0\x08", "TIFF"),
        (b"MM\0+\0\x08\0\0", "TIFF"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WEBP"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
    ],
)
def test_a_file_is_recognised_by_its_first_bytes(head: bytes, expected: str) -> None:
    assert recognise(head, "x") == expected


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "x is empty. Copy or download the file again."),
        (b"GIF89a", "x is a GIF, which RestoreKit does not read. Convert it to one of PNG, JPEG, TIFF, WEBP, BMP, AVIF, HEIF."),
        (b"8BPS\0\1", "x is a Photoshop file, which"),
        (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2", "x is a video, which"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "x is a camera raw file. Develop it"),
        (b"II*\0\x10\0\0\0CR\2\0", "x is a camera raw file. Develop it"),
        (b"BMW is a make of car, not a bitmap", "x is not an image of a kind RestoreKit reads. Known kinds are PNG,"),
        (b"hello", "x is not an image of a kind RestoreKit reads. Known kinds are PNG,"),
    ],
)
def test_other_files_are_named_for_what_they_are(head: bytes, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        recognise(head, "x")
    assert str(caught.value).startswith(said)
