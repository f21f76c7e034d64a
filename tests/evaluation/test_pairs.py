from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from restorekit import images
from restorekit.errors import DataError
from restorekit.evaluation import Alignment, Answer, Pair, Protocol, Sample, Subject, check_pairs, evaluate, find_pairs

QUALITY = Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"


def save(path: Path, height: int = 16, width: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Image.from_array(np.full((height, width, 3), 90, np.uint8)), path)
    return path


def problems_of(call: object) -> str:
    with pytest.raises(DataError) as caught:
        call()  # type: ignore[operator]
    return caught.value.problem


def test_names_pair_across_extensions_and_folders(tmp_path: Path) -> None:
    restored, targets = tmp_path / "r", tmp_path / "t"
    for name in ("a.png", "sub/a.png", "photo.v2.png"):
        save(restored / name)
        save(targets / Path(name).with_suffix(".bmp"))
    (restored / "notes.txt").write_text("not an image")
    save(restored / ".hidden" / "x.png")
    save(targets / "._a.png")
    assert find_pairs(restored, targets) == [
        Pair("a", restored / "a.png", targets / "a.bmp"),
        Pair("photo.v2", restored / "photo.v2.png", targets / "photo.v2.bmp"),
        Pair("sub/a", restored / "sub/a.png", targets / "sub/a.bmp"),
    ]


def test_a_folder_inside_the_other_is_no_part_of_it(tmp_path: Path) -> None:
    for name in ("in/a.png", "in/sub/b.png", "in/made/out/a.png", "in/made/out/sub/b.png"):
        save(tmp_path / name)
    outer, inner = tmp_path / "in", tmp_path / "in" / "made" / "out"
    pairs = [Pair("a", outer / "a.png", inner / "a.png"), Pair("sub/b", outer / "sub" / "b.png", inner / "sub" / "b.png")]
    assert find_pairs(outer, inner) == pairs
    assert find_pairs(inner, outer) == [Pair(pair.name, pair.target, pair.image) for pair in pairs if pair.target]
    (tmp_path / "link").symlink_to(inner)
    assert [pair.name for pair in find_pairs(outer, tmp_path / "link")] == ["a", "sub/b"]
    assert [pair.name for pair in find_pairs(outer, outer)] == ["a", "made/out/a", "made/out/sub/b", "sub/b"]
    save(outer / "other" / "a.png")
    assert problems_of(lambda: find_pairs(outer, inner)) == f"{outer / 'other' / 'a.png'} has no partner in {inner}"
    assert find_pairs(outer, inner, apart=[outer / "other"]) == pairs


def test_the_caller_says_what_comes_of_problems(tmp_path: Path) -> None:
    save(tmp_path / "r" / "a.png"), save(tmp_path / "t" / "b.png")
    assert problems_of(lambda: find_pairs(tmp_path / "r", tmp_path / "t")).endswith("\nNothing was scored")
    text = problems_of(lambda: find_pairs(tmp_path / "r", tmp_path / "t", verdict="Nothing was compared"))
    assert text.endswith("\nNothing was compared")


def test_all_missing_partners_are_named_at_once(tmp_path: Path) -> None:
    restored, targets = tmp_path / "r", tmp_path / "t"
    for name in ("r/a.png", "r/b.png", "r/b.bmp", "t/b.png", "t/c.png", "t/d.png"):
        save(tmp_path / name)
    text = problems_of(lambda: find_pairs(restored, targets))
    assert text.startswith("4 problems:\n")
    assert f"{restored / 'b.bmp'} and b.png have the same name" in text
    assert f"{restored / 'a.png'} has no partner in {targets}" in text
    assert f"{targets / 'c.png'} has no partner in {restored}" in text
    assert f"{targets / 'd.png'} has no partner in {restored}" in text


def test_what_does_not_pair_is_told_with_what_cannot_be_compared(tmp_path: Path) -> None:
    for name in ("r/a.png", "r/b.png", "r/c.png", "t/b.png", "t/c.png", "t/d.png"):
        save(tmp_path / name, *((12, 20) if name == "r/b.png" else (16, 20)))
    (tmp_path / "t" / "c.png").write_bytes(b"no picture")
    text = problems_of(lambda: evaluate(tmp_path / "r", tmp_path / "t"))
    assert text.startswith("4 problems:\n")
    for told in ("a.png has no partner", "d.png has no partner", "b.png is 20 x 12 but", f"{tmp_path / 't' / 'c.png'}"):
        assert told in text


def test_images_without_targets(tmp_path: Path) -> None:
    assert find_pairs(save(tmp_path / "sub" / "a.png"), None) == [Pair("a", tmp_path / "sub" / "a.png")]
    assert [pair.name for pair in find_pairs(tmp_path, None)] == ["sub/a"]
    save(tmp_path / "sub" / "a.bmp")
    assert "have the same name" in problems_of(lambda: find_pairs(tmp_path, None))


def test_long_lists_are_cut(tmp_path: Path) -> None:
    save(tmp_path / "r" / "a.png")
    save(tmp_path / "t" / "a.png")
    for number in range(60):
        (tmp_path / "r" / f"{number:02}.png").touch()
    text = problems_of(lambda: find_pairs(tmp_path / "r", tmp_path / "t"))
    assert text.startswith("60 problems:")
    assert "49.png" in text
    assert "50.png" not in text
    assert "and 10 more" in text


def test_unreadable_and_unequal_files_are_named_before_any_work(tmp_path: Path) -> None:
    restored, targets = tmp_path / "r", tmp_path / "t"
    for name in ("good", "small", "other", "broken"):
        save(targets / f"{name}.png", *((12, 12) if name == "small" else (16, 20)))
    save(restored / "good.png")
    save(restored / "small.png", 12, 12)
    save(restored / "other.png", 20, 16)
    (restored / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    worked_on: list[str] = []

    def restore(sample: Sample) -> Answer:
        worked_on.append(sample.name)
        return Answer(sample.image)

    text = problems_of(lambda: evaluate(restored, targets, Protocol(border=1), subjects=[Subject("x", restore)]))
    assert worked_on == []
    assert text.startswith("3 problems:\n")
    assert "broken.png" in text
    assert f"{restored / 'other.png'} is 16 x 20 but its target {targets / 'other.png'} is 20 x 16" in text
    assert f"{restored / 'small.png'} is 12 x 12, too small for SSIM with a border of 1" in text
    assert "good" not in text


def test_one_problem_is_one_line(tmp_path: Path) -> None:
    pair = Pair("x", save(tmp_path / "a.png"), save(tmp_path / "b.png", 16, 21))
    problem = problems_of(lambda: check_pairs([pair], Protocol()))
    assert problem == f"{pair.image} is 20 x 16 but its target {pair.target} is 21 x 16"


def test_cropping_forgives_sizes_but_not_what_is_too_small(tmp_path: Path) -> None:
    pair = Pair("x", save(tmp_path / "a.png", 20, 30), save(tmp_path / "b.png", 24, 14))
    crop = Alignment("crop")
    check_pairs([pair], Protocol(), alignment=crop)
    problem = problems_of(lambda: check_pairs([pair], Protocol(), metrics=["psnr", "ms-ssim"], alignment=crop))
    assert problem == f"{pair.image} is 30 x 20, too small for MS-SSIM"
    problem = problems_of(lambda: check_pairs([pair], Protocol(), alignment=Alignment("crop", shift=2)))
    assert problem == f"{pair.image} is 30 x 20, too small for SSIM with a border of 2"


def test_large_images_need_leave(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    assert "a.png" in problems_of(lambda: evaluate(path, path, max_pixels=100))
    assert len(evaluate(path, path, max_pixels=None).scores) == 1


def test_folders_that_are_none(tmp_path: Path) -> None:
    path, empty = save(tmp_path / "a.png"), tmp_path / "empty"
    empty.mkdir()
    assert problems_of(lambda: find_pairs(tmp_path / "no", tmp_path)) == f"{tmp_path / 'no'} does not exist"
    assert problems_of(lambda: find_pairs(path, tmp_path)) == f"{path} is not a folder"
    assert problems_of(lambda: find_pairs(tmp_path, empty)) == f"{empty} holds no images"


def test_the_benchmark_of_quality_names_what_does_not_pair(tmp_path: Path) -> None:
    for name in ("r/a.png", "r/b.png", "t/a.jpg"):
        save(tmp_path / name)
    quality = runpy.run_path(str(QUALITY), run_name="quality")
    problem = problems_of(lambda: list(quality["pairs"](tmp_path / "r", tmp_path / "t")))
    assert problem == f"{tmp_path / 'r' / 'b.png'} has no partner in {tmp_path / 't'}"
    (tmp_path / "r" / "b.png").unlink()
    (sample,) = quality["pairs"](tmp_path / "r", tmp_path / "t")
    assert (sample.name, sample.image.shape, sample.target.shape) == ("a", (16, 20, 3), (16, 20, 3))
    assert quality["TASKS"]["dereflect"].baselines == ("tv",)
