"""Scores while training: what photographs go through, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.errors import SettingError
from restorekit.training import Recipe, load_recipe, train
from restorekit.zoo import load_card
from tests.training.conftest import columns


def scores(tmp_path: Path, name: str, *changes: str) -> dict[str, float]:
    train(load_recipe(tmp_path / "tiny.toml", ["train.steps=1", *changes]), tmp_path / name)
    row = columns(tmp_path / name / "validation.csv", "hours")[-1]
    return {key: float(value) for key, value in row.items()}


def test_tiles_as_large_as_the_photographs_change_nothing(recipe: Recipe, tmp_path: Path) -> None:
    assert "best_overall" in scores(tmp_path, "whole")
    whole, tiled = scores(tmp_path, "whole"), scores(tmp_path, "tiled", "report.validation_tile=96")
    assert tiled == pytest.approx(whole, abs=2e-3)  # heads are kept as images are, in [0, 1]


def test_photographs_are_cut_into_tiles(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.inference import engine

    counts: list[int] = []
    plan = engine.plan_tiles

    def noted(*given: object, **more: object) -> object:
        made = plan(*given, **more)  # type: ignore[arg-type]
        counts.append(made.tiles)
        return made

    monkeypatch.setattr(engine, "plan_tiles", noted)
    tiled = scores(tmp_path, "tiled", "report.validation_tile=64")
    assert counts == [4, 4] and tiled["psnr"] == pytest.approx(scores(tmp_path, "whole")["psnr"], abs=0.05)
    assert load_card(tmp_path / "tiled" / "tiny.toml").scores[0].protocol.startswith("RGB, whole photographs in tiles of 64")


def test_tiles_that_are_too_small_are_refused_before_the_first_step(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="tile must be at least"):
        train(load_recipe(tmp_path / "tiny.toml", ["report.validation_tile=5"]), tmp_path / "run")
    assert not (tmp_path / "run" / "train.csv").exists()
