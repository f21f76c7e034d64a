from __future__ import annotations

import os
from pathlib import Path

import pytest

from restorekit.images.folders import files_below, visible_below, walk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links to folders need rights on Windows")


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_files_are_sorted_and_only_files(tmp_path: Path) -> None:
    made = [put(tmp_path / name) for name in ("b/2.png", "a.png", "b/1.png", "b-c/0.png")]
    assert files_below(tmp_path) == sorted(made)
    assert files_below(made[0]) == files_below(tmp_path / "nowhere") == []


def test_links_to_folders_are_followed_as_if_they_were_them(tmp_path: Path) -> None:
    put(tmp_path / "store/train/scene/1.png")
    put(tmp_path / "store/test/2.png")
    data = tmp_path / "data"
    data.mkdir()
    for part in ("train", "test"):
        (data / part).symlink_to(tmp_path / "store" / part)
    assert [path.relative_to(data).as_posix() for path in files_below(data)] == ["test/2.png", "train/scene/1.png"]
    whole = tmp_path / "whole"
    whole.symlink_to(data)
    assert [path.relative_to(whole).as_posix() for path in files_below(whole)] == ["test/2.png", "train/scene/1.png"]


def test_circles_end_and_nothing_is_found_twice(tmp_path: Path) -> None:
    inside, outside = put(tmp_path / "data/deep/1.png"), put(tmp_path / "store/2.png")
    put(tmp_path / "beside.png")
    for place, target in (("data/again", "data/deep"), ("data/deep/up", "data"), ("data/deep/top", "."), ("data/x", "store")):
        (tmp_path / place).symlink_to(tmp_path / target)
    (tmp_path / "data/y").symlink_to(tmp_path / "store")
    (tmp_path / "store/self").symlink_to(tmp_path / "store")
    found = files_below(tmp_path / "data")
    assert [path.resolve() for path in found] == [inside, outside] and found[0] == inside
    (tmp_path / "data/gone").symlink_to(tmp_path / "nowhere")
    assert files_below(tmp_path / "data") == found


def test_folders_may_be_left_out(tmp_path: Path) -> None:
    put(tmp_path / "a/1.png")
    put(tmp_path / "b/2.png")
    seen = []
    for place, names, files in walk(tmp_path):
        names[:] = [name for name in names if name != "a"]
        seen += [place / name for name in files]
    assert seen == [tmp_path / "b/2.png"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    told: list[OSError] = []
    assert not list(walk(put(tmp_path / "file"), told.append)) and [type(error) for error in told] == [NotADirectoryError]


def test_what_is_hidden_in_a_folder_is_passed_over_wherever_the_folder_lies(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "data"
    seen = put(folder / "b/1.png")
    for name in ("._1.png", ".ipynb_checkpoints/1.png", "b/.DS_Store"):
        put(folder / name)
    assert visible_below(folder) == [seen] and len(files_below(folder)) == 4
