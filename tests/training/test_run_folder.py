"""The folder of a run: one that cannot be, one that another run is in, and what a fresh run leaves of the one before."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric

from restorekit.errors import CheckpointError, NumericalError, RestoreKitError, SettingError
from restorekit.images import locks
from restorekit.images.atomic import TEMPORARY_SUFFIX
from restorekit.training import Recipe, load_recipe, loop, train
from restorekit.training.log import CurveLog
from restorekit.training.loop import Hardware
from restorekit.training.run_folder import as_told, clear, holding
from restorekit.zoo import load_card
from tests.training.conftest import KillAt, KilledError, columns, weights


@pytest.fixture
def fabric() -> Fabric:
    return Hardware("cpu").fabric("fp32")


@pytest.mark.skipif(not locks.AVAILABLE, reason="no locks here")
def test_one_run_at_a_time_is_in_a_folder(tmp_path: Path, fabric: Fabric) -> None:
    run = tmp_path / "run"
    with holding(run, fabric):
        (run / "checkpoints" / f".0{TEMPORARY_SUFFIX}").touch()
        with pytest.raises(RestoreKitError, match=r"run is being trained by another process\. Wait") as error:
            holding(run, fabric).__enter__()
        assert error.value.exit_code == 1 and run.exists()
    with holding(run, fabric):
        assert list((run / "checkpoints").iterdir()) == []  # what a killed run left half-written


@pytest.mark.skipif(not locks.AVAILABLE, reason="no locks here")
def test_a_run_holds_its_folder_and_lets_go_of_it(recipe: Recipe, tmp_path: Path, fabric: Fabric) -> None:
    with holding(tmp_path / "run", fabric), pytest.raises(RestoreKitError, match="is being trained by another process"):
        train(recipe, tmp_path / "run")
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", reporter=KillAt(1))
    with holding(tmp_path / "run", fabric):
        pass


def test_where_nothing_can_be_locked_runs_go_on(tmp_path: Path, fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "AVAILABLE", False)
    with holding(tmp_path, fabric), holding(tmp_path, fabric):
        pass


@pytest.mark.parametrize("name", ["file", "file/run", "/proc/nope/run"])
def test_a_folder_that_cannot_be_is_refused_before_data_are_read(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc")

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(loop, "load_data", fail)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"is not a folder|cannot be the folder of a run: .*\. Check") as error:
        train(recipe, tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_run_that_fails_at_once_leaves_no_folder(tmp_path: Path, fabric: Fabric) -> None:
    with pytest.raises(ValueError, match="data"), holding(tmp_path / "runs" / "mine", fabric):
        raise ValueError("data")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="late"), holding(tmp_path / "runs" / "mine", fabric):
        (tmp_path / "runs" / "mine" / "train.csv").touch()
        raise ValueError("late")
    assert {path.name for path in (tmp_path / "runs" / "mine").iterdir()} >= {"train.csv"}


def test_errors_of_the_system_are_told_if_they_are_about_the_run(tmp_path: Path) -> None:
    inside = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "train.csv"))
    told = as_told(tmp_path, inside)
    assert told is not None and f"{tmp_path}/train.csv cannot be written: {os.strerror(errno.EACCES)}. Check" in str(told)
    half = as_told(tmp_path, OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / f".1{TEMPORARY_SUFFIX}")))
    assert half is not None and half.problem.startswith(f"{tmp_path} cannot")
    assert as_told(tmp_path, OSError(errno.EROFS, "read-only")) is not None
    assert as_told(tmp_path, PermissionError(errno.EACCES, "no", "/elsewhere/photo.png")) is None
    assert as_told(tmp_path, OSError(errno.EACCES, "no")) is None


def test_curves_that_cannot_be_written_are_told(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "run" / "train.csv").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"train\.csv cannot be written"):
        train(recipe, tmp_path / "run")


def test_a_fresh_run_clears_what_the_one_before_left(tmp_path: Path) -> None:
    gone = ["t.toml", "t.safetensors", "t.recipe.toml", "samples/step-0000004/0.png", "checkpoints/last.pt"]
    stays = ["other.toml", "notes.txt", "samples/mine.png"]
    for name in (*gone, *stays):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    clear(tmp_path, "t")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(stays)


def diverging(path: Path, *changes: str) -> Recipe:
    return load_recipe(path, ["train.learning_rate=1e38", "train.clip=0", "train.steps=1", "train.optimiser=adam", *changes])


@pytest.mark.parametrize("validated", [True, False])
def test_a_run_without_a_number_gives_no_card(recipe: Recipe, tmp_path: Path, validated: bool) -> None:
    run, path = tmp_path / "run", tmp_path / "tiny.toml"
    train(recipe, run)
    wild = diverging(path, *([] if validated else ["data.validation=[]"]))
    with pytest.raises(NumericalError, match=r"tiny has diverged, .*\. Lower train\.learning_rate, .* --fresh"):
        train(wild, run, resume=False)
    assert not list(run.glob("tiny.*"))
    with pytest.raises(NumericalError, match="has diverged"):  # started again it has no steps to take, and no card yet
        train(wild, run)
    assert not list(run.glob("tiny.*"))


def test_a_diverged_run_does_not_give_back_a_card_that_was_there(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    card = train(recipe, run)
    before = weights(card)
    (run / "checkpoints" / "last.pt").unlink()
    with pytest.raises(NumericalError, match="has diverged"):
        train(diverging(tmp_path / "tiny.toml"), run)
    assert all(torch.equal(before[key], value) for key, value in weights(card).items())


def test_a_fresh_run_does_not_begin_with_the_card_it_removes(recipe: Recipe, tmp_path: Path) -> None:
    again = load_recipe(tmp_path / "tiny.toml", [f"train.init={tmp_path}/run/../run/tiny.toml"])
    with pytest.raises(SettingError, match=r"tiny\.toml, which --fresh removes"):
        train(again, tmp_path / "run", resume=False)
    assert not (tmp_path / "run").exists()


def test_a_run_may_be_called_otherwise_and_keeps_its_best_weights(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = train(recipe, run)
    other = load_recipe(tmp_path / "tiny.toml", ["name=other"])
    card = train(other, run, reporter=KillAt(1))
    assert card == run / "other.toml" and load_card(card).name == load_card(card).training["recipe"] == "other"
    assert load_card(card).scores == load_card(first or "").scores and load_recipe(run / "other.recipe.toml") == other
    before = weights(first)
    assert all(torch.equal(before[key], value) for key, value in weights(card).items())


def test_a_run_that_lost_its_card_counts_no_best_under_another_name(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(KilledError):
        train(recipe, run, reporter=KillAt(7))
    (run / "tiny.toml").unlink()
    card = train(load_recipe(tmp_path / "tiny.toml", ["name=other"]), run)
    assert card is not None and load_card(card).training["steps"] == 8 and load_card(card).scores


def test_curves_are_kept_whole_while_they_are_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CurveLog(tmp_path, "train")
    for step in (1, 2, 3):
        log.write(step, {"loss": step / 10})
    before = columns(log.path)

    def fail(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(KilledError):
        CurveLog(tmp_path, "train", start=2)
    assert columns(log.path) == before
