"""Curves of a run that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.training.log import CurveLog
from tests.training.conftest import columns


def test_curves_forget_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = CurveLog(tmp_path, "train")
    for step in (1, 2, 3):
        log.write(step, {"loss": step / 10})
    CurveLog(tmp_path, "train", start=2).write(3, {"loss": 9})
    assert columns(tmp_path / "train.csv") == [
        {"step": "1", "loss": "0.1"},
        {"step": "2", "loss": "0.2"},
        {"step": "3", "loss": "9"},
    ]


@pytest.mark.parametrize("left", [b"", b"12", b"1", b"12,0.", b"12,0.5,1.2", b"\0" * 40, b"12,0\0\0\r\n", b"\0\0\r\n13,0\0\xff"])
def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path, left: bytes) -> None:
    log = CurveLog(tmp_path, "train")
    for step in (10, 11):
        log.write(step, {"mse": step / 10, "ssim": 0.5})
    before = columns(log.path)
    log.path.write_bytes(log.path.read_bytes() + left)
    CurveLog(tmp_path, "train", start=20).write(12, {"mse": 3, "ssim": 4})
    assert columns(tmp_path / "train.csv") == [*before, {"step": "12", "mse": "3", "ssim": "4"}]
    log.path.write_bytes(b"\0" * 50)
    CurveLog(tmp_path, "train", start=20).write(13, {"mse": 3})
    assert columns(tmp_path / "train.csv") == [{"step": "13", "mse": "3"}]


def test_losses_that_begin_late_widen_the_table(tmp_path: Path) -> None:
    log = CurveLog(tmp_path, "train")
    log.write(1, {"mse": 0.5})
    log.write(2, {"mse": 0.25, "gan": 1.0})
    log.write(3, {"mse": 0.125})
    assert columns(tmp_path / "train.csv") == [
        {"step": "1", "mse": "0.5", "gan": ""},
        {"step": "2", "mse": "0.25", "gan": "1"},
        {"step": "3", "mse": "0.125", "gan": ""},
    ]
