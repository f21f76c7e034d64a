"""Several processes that learn what one would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import PIL.Image
import PIL.ImageFilter
import pytest
import torch

from restorekit.training import Recipe, load_recipe, train
from restorekit.training.loop import Hardware
from restorekit.zoo import load_card
from tests.training.conftest import RECIPE, columns, weights


@pytest.fixture
def pairs(recipe: Recipe, tmp_path: Path) -> Path:
    """Photographs and what a mean filter makes of them; a batch of pairs is the same whoever has which part of it."""
    folder, path = tmp_path / "set", tmp_path / "pairs.toml"
    for side, radius in (("input", 1), ("target", 0)):
        (folder / side).mkdir(parents=True)
        for index in range(2):
            photograph = PIL.Image.open(tmp_path / "photos" / f"{index}.png")
            photograph.filter(PIL.ImageFilter.BoxBlur(radius)).save(folder / side / f"{index}.png")
    path.write_text(RECIPE.format(data=f'pairs = ["{folder}"]\nvalidation_pairs = ["{folder}"]'))
    return path


def test_two_processes_say_once_what_will_be(recipe: Recipe, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restorekit", "train", str(tmp_path / "tiny.toml"), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and (done.stdout + done.stderr).count("Time:") == 1, done.stderr


def test_two_processes_learn_what_one_does(pairs: Path, tmp_path: Path) -> None:
    whole = weights(train(load_recipe(pairs), tmp_path / "whole"))
    command = [sys.executable, "-m", "restorekit", "train", str(pairs), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "-o", str(tmp_path / "two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"--model {tmp_path / 'two' / 'pairs.toml'}") == 1
    assert "Warning" not in done.stderr and "RANK" not in done.stderr  # of PyTorch's and Lightning's, which no user can act on
    shared = weights(tmp_path / "two" / "pairs.toml")
    assert all(torch.allclose(whole[key], shared[key], atol=1e-5) for key in whole)
    assert load_card(tmp_path / "two" / "pairs.toml").training["hardware"].startswith("2 processes of ")
    assert columns(tmp_path / "two" / "validation.csv")[-1]["step"] == "8"


STOPPED = """
import signal, sys
from pathlib import Path
from restorekit.training import load_recipe
from restorekit.training.loop import Hardware, train
from restorekit.training.report import Reporter

class StopAt(Reporter):
    def logged(self, step, values):
        if step == 3:
            signal.raise_signal(signal.SIGINT)
    def stopped(self, step):
        print("stopped", step)

train(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), hardware=Hardware("cpu", 2), reporter=StopAt())
"""
"""Ctrl-C for one process of two: as the other's reporter tells nothing, it is not asked."""


def test_two_processes_stop_together_when_one_is_asked_to(pairs: Path, tmp_path: Path) -> None:
    whole = weights(train(load_recipe(pairs), tmp_path / "whole"))
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "stopped.py"), str(pairs), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.split() == ["stopped", "3"], done.stderr
    resumed = weights(train(load_recipe(pairs), tmp_path / "two"))
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-5) for key in whole)


CBSN = """
method = "cbsn"
[config]
filters = 8
num_module = 1
tail_channels = 8
skip = true
[objective]
supervised = true
[data]
pairs = ["{folder}"]
[train]
steps = 2
batch = 2
patch = 40
[report]
log_every = 1
"""


def test_two_processes_share_out_a_network_of_which_a_pass_uses_a_part(pairs: Path, tmp_path: Path) -> None:
    """The blind pass leaves out what only sees the pixel."""
    path = tmp_path / "two-passes.toml"
    path.write_text(CBSN.format(folder=tmp_path / "set"))
    alone = columns_of(train(load_recipe(path), tmp_path / "one", hardware=Hardware("cpu")))
    command = [
        sys.executable,
        "-m",
        "restorekit",
        "train",
        str(path),
        "--device",
        "cpu",
        "--devices",
        "2",
        "-o",
        str(tmp_path / "two"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shared = columns_of(tmp_path / "two" / "two-passes.toml")
    assert [row["step"] for row in shared] == ["1", "2"]
    for one, two in zip(alone, shared, strict=True):  # the curves are of the whole batch, whoever had which part of it
        assert [float(two[name]) for name in one] == pytest.approx([float(value) for value in one.values()], rel=2e-3)


def columns_of(card: Path | None) -> list[dict[str, str]]:
    assert card is not None
    return columns(card.parent / "train.csv")


BLIND = """
import sys
from pathlib import Path
from restorekit.errors import CheckpointError
from restorekit.training import load_recipe, loop
from restorekit.training.loop import Hardware, train

def path(trainer):
    return trainer.folder / ("last.pt" if trainer.leads else "none.pt")

loop.Trainer.checkpoint_path = property(path)
try:
    train(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), hardware=Hardware("cpu", 2))
except CheckpointError as error:
    print(error)
"""
"""As on two machines whose run folders are two: the second one has no checkpoint."""


def test_a_checkpoint_that_one_process_does_not_see_is_told(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "blind.py").write_text(BLIND)
    (tmp_path / "last.pt").touch()
    command = [sys.executable, str(tmp_path / "blind.py"), str(tmp_path / "tiny.toml"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "last.pt is seen by 1 of 2 processes. Put the run into a folder" in done.stdout, done.stderr
