"""Curves of a run that goes on."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from restorekit.training.log import CurveLog, forget_boards
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


@pytest.mark.parametrize(("start", "purged"), [(0, None), (2, 3)])
def test_tensorboard_forgets_too_what_came_after_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, purged: int | None
) -> None:
    begun: list[tuple[str, int | None]] = []
    board = ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = lambda folder, purge_step: begun.append((folder, purge_step))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    CurveLog(tmp_path, "train", start=start)
    assert begun == [(str(tmp_path / "tensorboard"), purged)]


def test_what_tensorboard_showed_of_runs_before_is_forgotten(tmp_path: Path) -> None:
    forget_boards(tmp_path)
    (tmp_path / "tensorboard").mkdir()
    for name in ("events.out.tfevents.1.host.2.0", "mine.txt"):
        (tmp_path / "tensorboard" / name).touch()
    forget_boards(tmp_path)
    assert [path.name for path in (tmp_path / "tensorboard").iterdir()] == ["mine.txt"]


def test_rows_wait_while_a_spreadsheet_on_windows_has_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = CurveLog(tmp_path, "train")
    log.write(1, {"loss": 0.1})
    append, denied = CurveLog._append, PermissionError(13, "Permission denied")

    def held(self: CurveLog, row: dict[str, str]) -> None:
        raise denied

    monkeypatch.setattr(CurveLog, "_append", held)
    with pytest.raises(PermissionError):
        log.write(2, {"loss": 0.2})
    monkeypatch.setattr("restorekit.training.log._WINDOWS", True)
    log.write(3, {"loss": 0.3})
    monkeypatch.setattr(CurveLog, "_append", append)
    log.write(4, {"loss": 0.4})
    assert [row["step"] for row in columns(log.path)] == ["1", "2", "3", "4"]
