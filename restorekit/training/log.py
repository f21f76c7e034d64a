"""Curves of a run: CSV always, TensorBoard where it is installed."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from restorekit.images.atomic import replacing

_BOARD = "tensorboard"
_WINDOWS = os.name == "nt"


class CurveLog:
    """Rows of numbers by step, in ``<folder>/<name>.csv``; continued after a resume as if nothing had happened.

    Args:
        folder: the run folder.
        name: name of the file and prefix of the TensorBoard tags.
        start: the step the run continues at; rows of later steps, written before a kill, are dropped, and TensorBoard is told not
            to show them; see :func:`forget_boards` for runs that begin.
        silent: write nothing, in processes that only help.

    While a spreadsheet has the file open, which on Windows keeps others from writing, rows wait for the next one.
    """

    def __init__(self, folder: Path, name: str, start: int = 0, *, silent: bool = False) -> None:
        self.path = folder / f"{name}.csv"
        self.name = name
        self.silent = silent
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._keep_before(start)
        self._board = _tensorboard(folder, start)
        self._waiting: list[dict[str, str]] = []

    def _keep_before(self, start: int) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()  # a power cut leaves NUL bytes, or a part of a line
        rows = list(csv.DictReader(line for line in lines if "\0" not in line))
        rows = [row for row in rows if (row.get("step") or "").isdecimal() and int(row["step"]) <= start and None not in row]
        if start and rows:
            self._rewrite(list(rows[-1]), rows)
        else:
            self.path.unlink()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add the values after ``step`` steps."""
        if self.silent:
            return
        self._waiting.append({"step": str(step), **{key: f"{value:.6g}" for key, value in values.items()}})
        try:
            while self._waiting:
                self._append(self._waiting[0])
                del self._waiting[0]
        except PermissionError:
            if not _WINDOWS:
                raise
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{self.name}/{key}", value, step)

    def _append(self, row: dict[str, str]) -> None:
        rows, columns = [row], list(row)
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                known = list(reader.fieldnames or ())
                added = [name for name in row if name not in known]
                rows = [*reader, row] if added else rows  # a loss that begins late makes the table wider
            columns = known + added
            if not added:
                with self.path.open("a", newline="", encoding="utf-8") as out:
                    csv.DictWriter(out, columns).writerows(rows)
                return
        self._rewrite(columns, rows)

    def _rewrite(self, columns: list[str], rows: list[dict[str, str]]) -> None:
        """The whole table anew; a kill leaves the one before."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns)
        writer.writeheader()
        writer.writerows(rows)
        with replacing(self.path) as file:
            file.write(text.getvalue().encode())


def forget_boards(folder: Path) -> None:
    """Remove what earlier runs in a run folder showed in TensorBoard."""
    for events in (folder / _BOARD).glob("events.out.tfevents.*"):
        events.unlink()


def _tensorboard(folder: Path, start: int):  # type: ignore[no-untyped-def]
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / _BOARD), purge_step=start + 1 if start else None)
