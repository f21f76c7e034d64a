"""Several processes that learn what one would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from restorekit.training import Recipe, train
from tests.training.conftest import columns, weights


def test_two_processes_say_once_what_will_be(recipe: Recipe, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restorekit", "train", str(tmp_path / "tiny.toml"), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and (done.stdout + done.stderr).count("Time:") == 1, done.stderr


def test_two_processes_learn_what_one_does(recipe: Recipe, tmp_path: Path) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    command = [sys.executable, "-m", "restorekit", "train", str(tmp_path / "tiny.toml"), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "-o", str(tmp_path / "two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shared = weights(tmp_path / "two" / "tiny.toml")
    assert all(torch.allclose(whole[key], shared[key], atol=1e-5) for key in whole)
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


def test_two_processes_stop_together_when_one_is_asked_to(recipe: Recipe, tmp_path: Path) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "stopped.py"), str(tmp_path / "tiny.toml"), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.split() == ["stopped", "3"], done.stderr
    resumed = weights(train(recipe, tmp_path / "two"))
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-5) for key in whole)
