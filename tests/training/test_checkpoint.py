"""Checkpoints: whole or not at all, continued by the recipe that made them, and by no other."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from restorekit.errors import CheckpointError
from restorekit.training import Recipe, load_recipe, train
from restorekit.training.checkpoint import Progress, keep, load, save
from restorekit.training.log import CurveLog
from restorekit.zoo import load_card
from tests.training.conftest import KillAt, KilledError, weights


def test_another_recipe_is_not_continued_unless_it_only_reports_otherwise(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", reporter=KillAt(3))
    path = tmp_path / "tiny.toml"
    with pytest.raises(CheckpointError, match=r"differs in train\.learning_rate"):
        train(load_recipe(path, ["train.learning_rate=0.5"]), tmp_path / "run")
    train(load_recipe(path, ["report.validate_every=8", "data.memory=1", "data.validation=[]"]), tmp_path / "run")
    train(load_recipe(path, ["train.learning_rate=0.5"]), tmp_path / "run", resume=False)


def test_a_run_that_starts_afresh_leaves_nothing_of_the_one_before(recipe: Recipe, tmp_path: Path) -> None:
    keeping = load_recipe(tmp_path / "tiny.toml", ["report.keep=2", "train.learning_rate=0.01"])
    train(keeping, tmp_path / "run")
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", resume=False, reporter=KillAt(1))
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    resumed, whole = weights(train(recipe, tmp_path / "run")), weights(train(recipe, tmp_path / "whole"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize(
    ("change", "best"),
    [
        ("report.validation_crop=24", False),
        ("report.validation_seed=1", False),
        ("data.validation=[]", False),
        ("data.validation_depth=[]", True),
        ("report.validate_every=2", True),
        ("data.memory=1", True),
    ],
)
def test_what_was_best_by_other_validations_is_no_more(recipe: Recipe, tmp_path: Path, change: str, best: bool) -> None:
    save(tmp_path / "last.pt", recipe, Progress(3, 1.5, 20.0, 2), {})
    assert load(tmp_path / "last.pt", recipe)[0] == Progress(3, 1.5, 20.0, 2)
    progress, _ = load(tmp_path / "last.pt", load_recipe(tmp_path / "tiny.toml", [change]))
    assert progress == (Progress(3, 1.5, 20.0, 2) if best else Progress(3, 1.5))


def test_what_was_best_of_other_crops_held_back_is_no_more(recipe: Recipe, tmp_path: Path) -> None:
    one, two = (
        load_recipe(
            tmp_path / "tiny.toml", ["data.clean=[]", 'data.noisy=["x"]', "data.validation=[]", f"data.held_back={count}"]
        )
        for count in (1, 2)
    )
    save(tmp_path / "last.pt", one, Progress(3, 1.5, 20.0, 2), {})
    assert load(tmp_path / "last.pt", one)[0] == Progress(3, 1.5, 20.0, 2)
    assert load(tmp_path / "last.pt", two)[0] == Progress(3, 1.5)


def test_the_best_of_other_validations_is_beaten_by_the_first(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", reporter=KillAt(7))
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    states = torch.load(path, weights_only=True)
    states["progress"]["best"] = 1e3
    torch.save(states, path)
    card = train(load_recipe(tmp_path / "tiny.toml", ["report.validation_crop=40"]), tmp_path / "run")
    assert card is not None and load_card(card).training["steps"] == 8


def test_damaged_checkpoints_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save(path, recipe, Progress(3, 1.5, 20.0), {"network": {"w": torch.ones(2)}})
    progress, states = load(path, recipe)
    assert progress == Progress(3, 1.5, 20.0) and torch.equal(states["network"]["w"], torch.ones(2))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load(path, recipe)


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (b"", "cannot be read as a checkpoint: it is empty"),
        (b"PK" * 200, "cannot be read as a checkpoint: "),
        (b"nothing of the kind", "cannot be read as a checkpoint: "),
        ({"a": 1}, "is not a checkpoint of a training"),
        ([1], "is not a checkpoint of a training"),
        ({"recipe": 5, "progress": {}}, "is not a checkpoint of a training"),
        ({"recipe": {}, "progress": {"stp": 5}}, "is not a checkpoint of a training"),
    ],
)
def test_what_is_no_checkpoint_is_told_in_a_line_that_names_the_newest_kept(
    recipe: Recipe, tmp_path: Path, made: object, problem: str
) -> None:
    path = tmp_path / "last.pt"
    if isinstance(made, bytes):
        path.write_bytes(made)
    else:
        torch.save(made, path)
    with pytest.raises(CheckpointError) as error:
        load(path, recipe)
    assert error.value.problem.startswith(f"{path} {problem}") and error.value.remedy == "Start again with --fresh"
    assert "\n" not in str(error.value) and len(error.value.problem) < len(str(path)) + 200
    for step in (6, 10):
        (tmp_path / f"step-{step:08}.pt").touch()
    with pytest.raises(CheckpointError, match=r"Copy .*step-00000010\.pt over it, or start again with --fresh"):
        load(path, recipe)


def test_states_of_another_kind_are_told_in_a_line(recipe: Recipe, tmp_path: Path) -> None:
    for states in ({"network": 3}, {"network": {"w": torch.ones(2)}}, {}):
        save(tmp_path / "run" / "checkpoints" / "last.pt", recipe, Progress(3), states)
        with pytest.raises(CheckpointError, match=r"last\.pt does not fit the recipe: .*--fresh") as error:
            train(recipe, tmp_path / "run")
        assert "\n" not in str(error.value)


def test_two_that_write_one_checkpoint_do_not_mix(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, whole = tmp_path / "last.pt", torch.save

    def in_between(states: dict[str, object], file: BinaryIO) -> None:
        monkeypatch.setattr(torch, "save", whole)
        file.write(b"half")
        save(path, recipe, Progress(4), {"w": torch.zeros(3)})
        file.seek(0)
        whole(states, file)

    monkeypatch.setattr(torch, "save", in_between)
    save(path, recipe, Progress(3), {"w": torch.ones(3)})
    progress, states = load(path, recipe)
    assert progress.step == 3 and torch.equal(states["w"], torch.ones(3))
    assert [file.name for file in tmp_path.glob("*last*")] == ["last.pt"]


def fail_as_torch(*_: object) -> None:
    raise RuntimeError("basic_ios::clear: iostream error")


def fail_when_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fail", "reason"), [(fail_as_torch, "the disk may be full"), (fail_when_full, os.strerror(errno.ENOSPC))]
)
@pytest.mark.parametrize("where", ["save", "fsync"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None], reason: str, where: str
) -> None:
    path = tmp_path / "checkpoints" / "last.pt"
    save(path, recipe, Progress(3), {"network": {"w": torch.ones(2)}})
    monkeypatch.setattr(*((torch, "save") if where == "save" else (os, "fsync")), fail)
    with pytest.raises(CheckpointError, match=rf"last\.pt cannot be written: {reason}\. Make room and start it again"):
        save(path, recipe, Progress(4), {"network": {"w": torch.zeros(2)}})
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]
    progress, states = load(path, recipe)
    assert progress.step == 3 and torch.equal(states["network"]["w"], torch.ones(2))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("numbers", [2, 3_000_000])
def test_a_full_disk_is_told(recipe: Recipe, tmp_path: Path, numbers: int) -> None:
    (tmp_path / "last.pt").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be written: .*\. Make room and start it again"):
        save(tmp_path / "last.pt", recipe, Progress(4), {"w": torch.zeros(numbers)})


def test_a_disk_that_fills_up_elsewhere_is_told(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CurveLog, "write", fail_when_full)
    with pytest.raises(CheckpointError, match=rf"run cannot be written: {os.strerror(errno.ENOSPC)}\. Make room"):
        train(recipe, tmp_path / "run")

    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(CurveLog, "write", fail)
    with pytest.raises(PermissionError):
        train(recipe, tmp_path / "run")


def test_a_kept_checkpoint_is_whole_or_not_there(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save(path, recipe, Progress(3), {"w": torch.ones(3)})
    keep(path, 3, 2)
    whole = path.read_bytes()

    def in_the_midst(source: BinaryIO, target: BinaryIO, *_: object) -> None:
        target.write(source.read(10))
        target.flush()
        assert [file.name for file in tmp_path.glob("step-*.pt")] == ["step-00000003.pt"]
        raise KilledError

    def nowhere_else(*_: object) -> None:
        pytest.fail("it would be there by its name before it is whole")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", in_the_midst)
        patch.setattr(shutil, "copyfile", nowhere_else)
        with pytest.raises(KilledError):
            keep(path, 6, 2)
    assert sorted(file.name for file in tmp_path.glob("*.pt")) == ["last.pt", "step-00000003.pt"]
    path.write_bytes(b"an older one, copied over it")
    assert (tmp_path / "step-00000003.pt").read_bytes() == whole


def test_old_checkpoints_are_kept_as_asked(recipe: Recipe, tmp_path: Path) -> None:
    train(load_recipe(tmp_path / "tiny.toml", ["report.keep=2"]), tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["last.pt", "step-00000006.pt", "step-00000008.pt"]
