from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restorekit import images
from restorekit.errors import DataError, UsageError
from restorekit.evaluation import evaluate
from restorekit.evaluation.comparison import (
    Versions,
    exhibits_of,
    label_paths,
    make_sheet,
    parse_crop,
    read_versions,
)
from restorekit.images.colour import display_p3

Pixels = NDArray[np.uint8]


def flat(level: int, height: int = 60, width: int = 80) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Image.from_array(pixels), path)
    return path


def grey_profile(gamma: float) -> bytes:
    """A grey profile (ICC version 2) with a curve that is a power."""
    curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
    white = struct.pack(">3i", *(round(65536 * value) for value in (0.9642, 1.0, 0.8249)))
    table = struct.pack(">I4sII4sII", 2, b"kTRC", 156, 14, b"wtpt", 172, 20)
    head = struct.pack(">I4xI4s4s4s12x4s28x", 192, 0x02400000, b"mntr", b"GRAY", b"XYZ ", b"acsp") + white
    return head.ljust(128, b"\0") + table + curve + b"XYZ " + bytes(4) + white


def test_labels_are_as_short_as_tells_them_apart(tmp_path: Path) -> None:
    names = ["a/photo.png", "b/photo.jpg", "b/other.png", "x/b/last.v2.png"]
    paths = [save(tmp_path / name, flat(9)) for name in names]
    assert label_paths(paths) == ("a/photo", "b/photo", "other", "last.v2")
    save(tmp_path / "b/photo.png", flat(9))
    assert label_paths([tmp_path / "b/photo.png", tmp_path / "b/photo.jpg", paths[2]]) == ("photo.png", "photo.jpg", "other")
    assert label_paths([tmp_path / "a", tmp_path / "b", tmp_path / "x" / "b"]) == ("a", f"{tmp_path.name}/b", "x/b")


def test_folders_pair_by_name(tmp_path: Path) -> None:
    for folder, level in {"a": 10, "b": 20, "c": 30}.items():
        for name in ("one", "two"):
            save(tmp_path / folder / f"{name}.png", flat(level))
    found = read_versions([tmp_path / folder for folder in "abc"], ["in", "out", "truth"])
    assert [entry.name for entry in found] == ["one", "two"]
    assert {label: int(array[0, 0, 0]) for label, array in found[1].pictures.items()} == {"in": 10, "out": 20, "truth": 30}
    assert found[1].files == tuple(tmp_path / folder / "two.png" for folder in "abc")
    (tmp_path / "c" / "two.png").unlink()
    with pytest.raises(DataError, match=r"two.png has no partner in"):
        read_versions([tmp_path / folder for folder in "abc"])


def test_results_of_two_runs_inside_the_folder_of_inputs(tmp_path: Path) -> None:
    for folder, level in {"in": 10, "in/one": 20, "in/two": 30}.items():
        save(tmp_path / folder / "a.png", flat(level))
    (found,) = read_versions([tmp_path / folder for folder in ("in", "in/one", "in/two")])
    assert {label: int(array[0, 0, 0]) for label, array in found.pictures.items()} == {"in": 10, "one": 20, "two": 30}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_versions_are_shown_in_srgb_and_scored_as_they_are(tmp_path: Path, dtype: str) -> None:
    # The primaries of sRGB as Display P3 has them, by the matrices of the two standards; grey is the same in both.
    wide = np.array([[[234, 51, 35], [117, 251, 76], [0, 0, 245], [100, 100, 100]]], np.uint8)
    srgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [100, 100, 100]]], np.uint8)
    held = wide if dtype == "uint8" else wide.astype(np.uint16) * 257
    metadata = images.Metadata(icc_profile=display_p3())
    images.write(images.Image(np.repeat(held, 12, 0).repeat(12, 1), metadata=metadata), tmp_path / "wide.png")
    save(tmp_path / "srgb.png", np.repeat(srgb, 12, 0).repeat(12, 1))
    (found,) = read_versions([tmp_path / "wide.png", tmp_path / "srgb.png"])
    a, b = (array[0, ::12].astype(int) for array in found.pictures.values())
    assert np.abs(a - b).max() <= 3
    assert a.tolist()[3] == [100, 100, 100]
    sheet = np.asarray(make_sheet(found, [(0, 0, 12, 12)], column=100))
    assert np.abs(sheet[15 + 24 + 4, 12 + 6].astype(int) - (255, 0, 0)).max() <= 3
    assert evaluate(tmp_path / "wide.png", tmp_path / "srgb.png").scores[0].psnr < 20


def test_grey_is_shown_in_srgb_too(tmp_path: Path) -> None:
    levels = np.array([0, 20, 100, 180, 255])
    light = (levels / 255) ** 1.8
    srgb = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    metadata = images.Metadata(icc_profile=grey_profile(1.8))
    grey = np.tile(levels.astype(np.uint8)[None, :, None], (12, 1, 1))
    images.write(images.Image(grey, metadata=metadata), tmp_path / "mac.png")
    images.write(images.Image(grey), tmp_path / "plain.png")
    (found,) = read_versions([tmp_path / "mac.png", tmp_path / "plain.png"])
    assert np.abs(found.pictures["mac"][0] - srgb[:, None]).max() <= 1
    assert found.pictures["mac"].shape == (12, 5, 3)
    assert found.pictures["plain"][0, :, 0].tolist() == levels.tolist()


@pytest.mark.parametrize("profile", [b"damaged", b"x" * 36 + b"acsp" + b"x" * 200])
def test_a_profile_that_is_none_changes_nothing(tmp_path: Path, profile: bytes) -> None:
    path = save(tmp_path / "plain.png", flat(77))
    PillowImage.open(path).save(tmp_path / "odd.png", icc_profile=profile)
    (found,) = read_versions([path, tmp_path / "odd.png"])
    assert all((array == 77).all() for array in found.pictures.values())


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a, b = save(tmp_path / "a.png", flat(1)), save(tmp_path / "b.png", flat(1, 60, 81))
    with pytest.raises(DataError, match=r"must have one size: .*a.png 80 x 60, .*b.png 81 x 60"):
        read_versions([a, b])
    with pytest.raises(UsageError, match="one picture cannot be compared"):
        read_versions([a])
    with pytest.raises(UsageError, match="there are 1 labels for 2 versions"):
        read_versions([a, a], ["x"])
    with pytest.raises(UsageError, match="same label"):
        read_versions([a, a], ["x", "x"])


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "1,2,0,4", "-1,2,3,4", "1 2 3 4", ""])
def test_crops_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="crop"):
        parse_crop(text)


def test_a_sheet_shows_crops_enlarged_by_whole_pixels() -> None:
    marked = flat(100)
    marked[20:24, 30:36] = (200, 10, 10)
    sheet = np.asarray(make_sheet(Versions("x", {"a": flat(100), "b": marked}), [(30, 20, 6, 4)], column=100))
    assert sheet.shape[1] == 2 * (100 + 12) + 12
    # 6 pixels become 16 each: 96 wide and 64 high, with a frame of 2; below a row of 60 that is not enlarged.
    top, left = 15 + 24 + 60 + 12 + 2, 12 + 100 + 12 + 2
    assert (sheet[top : top + 64, left : left + 96] == (200, 10, 10)).all()
    assert (sheet[top : top + 64, 14 : 14 + 96] == 100).all()
    assert (sheet[top : top + 64, left + 97 + 2 :] == 255).all()


def test_a_sheet_finds_the_place_by_itself() -> None:
    marked = flat(100)
    marked[40:44, 60:66] = 250
    sheet = np.asarray(make_sheet(Versions("x", {"a": flat(100), "b": marked}), column=200))
    assert (sheet[15 + 24 + 60 + 12 :, 200 + 24 :] == 250).all(2).sum() > 4 * 6 * 50


def test_a_sheet_reduces_what_is_wider_than_a_column() -> None:
    sheet = make_sheet(
        Versions("x", {"a": flat(0, 300, 400), "a very long label indeed": flat(9, 300, 400)}), [(0, 0, 300, 90)], column=80
    )
    assert sheet.size == (2 * 92 + 12, 39 + 60 + 12 + (round(90 * 76 / 300) + 4) + 12)


def test_crops_beyond_the_picture() -> None:
    with pytest.raises(UsageError, match="the crop 70,0,20,5 reaches beyond x, which is 80 x 60"):
        make_sheet(Versions("x", {"a": flat(0), "b": flat(1)}), [(70, 0, 20, 5)])


def test_a_page_shows_the_whole_and_each_crop() -> None:
    shown = exhibits_of(Versions("x", {"a": flat(0), "b": flat(1)}), [(10, 20, 30, 5)], 1 << 20)
    assert [(entry.name, entry.window) for entry in shown] == [("x", (0, 0, 80, 60)), ("x at 10,20", (10, 20, 30, 5))]
    assert shown[1].pictures["b"].shape == (5, 30, 3)
