"""What is wrong with the data is said at once, before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.errors import DataError, SettingError
from restorekit.settings import from_table
from restorekit.training import Recipe, train
from restorekit.training.loop import Hardware
from restorekit.training.recipe import SMALLEST
from restorekit.training.sources import load_data


def picture(path: Path, side: int = 64) -> str:
    """A picture, and the folder it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.zeros((side, side), np.uint16)).save(path)
    return str(path.parent)


def broken(path: Path) -> str:
    folder = picture(path)
    path.write_bytes(path.read_bytes()[:60])
    return folder


def refused(**data: object) -> str:
    recipe = from_table(Recipe, {"name": "x", "method": "multi-output", "data": data, "train": {"steps": 1}}, "test")
    with pytest.raises(DataError) as error:
        load_data(recipe, torch.device("cpu"))
    return str(error.value)


def test_of_pairs_on_both_sides_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "input" / "alone.png")
    for folder, side in (("b", 32), ("c", 64)):
        picture(tmp_path / folder / "input" / "1.png")
        picture(tmp_path / folder / "target" / "1.png", side)
    broken(tmp_path / "c" / "target" / "1.png")
    text = refused(pairs=[str(tmp_path / "a"), str(tmp_path / "b")], validation_pairs=[str(tmp_path / "c")])
    assert text.startswith("3 problems") and "alone.png has no partner" in text
    assert "b/input/1.png is 64 x 64 but its target" in text and "c/target/1.png" in text


def test_of_what_is_too_small_to_be_scored(tmp_path: Path) -> None:
    clean = [picture(tmp_path / "clean" / "1.png")]
    for side in (SMALLEST - 1, SMALLEST):
        for folder in ("small", "pairs/input", "pairs/target"):
            picture(tmp_path / folder / f"{side}.png", side)
    assert refused(clean=clean, validation=[str(tmp_path / "small")]).startswith(
        f"{tmp_path}/small/10.png is 10 x 10, too small to be scored"
    )
    broken(tmp_path / "pairs" / "target" / f"{SMALLEST}.png")
    text = refused(clean=clean, validation_pairs=[str(tmp_path / "pairs")])
    assert text.startswith("2 problems") and "input/10.png is 10 x 10, too small to be scored" in text and "target/11.png" in text


def test_of_photographs_and_depths_to_validate_on(tmp_path: Path) -> None:
    clean = [picture(tmp_path / "clean" / "1.png")]
    assert "bad/1.png" in refused(clean=clean, validation=[broken(tmp_path / "bad" / "1.png")])
    for folder, side in (("frames", 64), ("depth", 32)):
        picture(tmp_path / "set" / folder / "1.png", side)
    assert "its target" in refused(clean=clean, validation_depth=[str(tmp_path / "set")])


def test_of_folders_that_are_not_there_with_the_rest(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "input" / "alone.png")
    text = refused(pairs=[str(tmp_path / "a")], validation_pairs=[str(tmp_path / "nowhere")])
    assert text.startswith("2 problems") and "alone.png has no partner" in text and "nowhere does not exist" in text


def test_a_part_that_a_data_set_does_not_have(tmp_path: Path) -> None:
    folder = {"folder": str(tmp_path), "layout": "snow100k", "split": "train"}
    recipe = from_table(
        Recipe, {"name": "x", "method": "multi-output", "data": {"pairs": [folder]}, "train": {"steps": 1}}, "test"
    )
    with pytest.raises(SettingError, match="has no part 'train': nothing in its layout depends on the part"):
        load_data(recipe, torch.device("cpu"))


def test_what_is_trained_on_and_validated_on_is_told(tmp_path: Path) -> None:
    for side in ("input", "target"):
        for number in range(3):
            picture(tmp_path / side / f"{number}.png")
    data = {"pairs": [str(tmp_path)], "validation_pairs": [{"folder": str(tmp_path), "count": 2}]}
    recipe = from_table(Recipe, {"name": "x", "method": "multi-output", "data": data, "train": {"steps": 1}}, "test")
    told: list[str] = []
    load_data(recipe, torch.device("cpu"), told.append)
    assert told == ["2 of the 2 pairs that are validated on are trained on too: scores will be too good"]


def test_clean_photographs_trained_on_and_validated_on_are_told(tmp_path: Path) -> None:
    """By what links point to; those too small to be trained on are not."""
    for number, side in enumerate((64, 64, 64, 32)):
        picture(tmp_path / "clean" / f"{number}.png", side)
    (tmp_path / "val").mkdir()
    for name in ("1", "3"):
        (tmp_path / "val" / f"{name}.png").symlink_to(tmp_path / "clean" / f"{name}.png")
    picture(tmp_path / "val" / "9.png")
    told = noted(clean=[str(tmp_path / "clean")], validation=[str(tmp_path / "val")])
    assert told == ["1 of the 3 photographs that are validated on are trained on too: scores will be too good"]
    picture(tmp_path / "else" / "1.png")
    assert noted(clean=[str(tmp_path / "clean")], validation=[str(tmp_path / "else")]) == []


def test_settings_that_mean_nothing_for_pairs_are_told(tmp_path: Path) -> None:
    for side in ("input", "target"):
        picture(tmp_path / side / "1.png")
    picture(tmp_path / "clean" / "1.png")
    data, iso = {"pairs": [str(tmp_path)], "cloth": 0.1, "degradation": "noise"}, {"iso": [100, 200]}
    assert noted(iso, **data) == [
        "Pairs are taken as they are, and data.cloth, data.degradation and [degradation] mean nothing for them"
    ]
    assert noted(iso, **data, validation=[str(tmp_path / "clean")]) == [
        "Pairs are taken as they are, and data.cloth means nothing for them"
    ]
    assert noted(pairs=[str(tmp_path)]) == []


def noted(settings: Mapping[str, object] | None = None, /, **data: object) -> list[str]:
    table = {"name": "x", "method": "multi-output", "data": data, "degradation": settings or {}, "train": {"steps": 1}}
    told: list[str] = []
    load_data(from_table(Recipe, table, "test"), torch.device("cpu"), told.append)
    return told


def test_pairs_for_a_method_that_needs_kernels_are_refused_before_they_are_read(tmp_path: Path) -> None:
    data = {"pairs": [str(tmp_path / "nowhere")]}
    recipe = from_table(Recipe, {"name": "x", "method": "infwide", "data": data, "train": {"steps": 1}}, "test")
    with pytest.raises(SettingError, match=r"infwide needs the psf of each photograph, and data\.pairs have none"):
        train(recipe, tmp_path / "run", hardware=Hardware("cpu"))
