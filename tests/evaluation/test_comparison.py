from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from restorekit import images
from restorekit.errors import DataError, UsageError
from restorekit.evaluation.comparison import (
    Versions,
    exhibits_of,
    label_paths,
    make_sheet,
    parse_crop,
    read_versions,
)

Pixels = NDArray[np.uint8]


def flat(level: int, height: int = 60, width: int = 80) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Image.from_array(pixels), path)
    return path


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
