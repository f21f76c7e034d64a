"""Curves of a run: CSV always, TensorBoard where it is installed."""

from __future__ import annotations

import csv
from pathlib import Path


class CurveLog:
    """Rows of numbers by step, in ``<folder>/<name>.csv``; continued after a resume as if nothing had happened.

    Args:
        folder: the run folder.
        name: name of the file and prefix of the TensorBoard tags.
        start: the step the run continues at; rows of later steps, written before a kill, are dropped.
        silent: write nothing, in processes that only help.
    """

    def __init__(self, folder: Path, name: str, start: int = 0, *, silent: bool = False) -> None:
        self.path = folder / f"{name}.csv"
        self.name = name
        self.silent = silent
        if silent:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._keep_before(start)
        self._board = _tensorboard(folder)

    def _keep_before(self, start: int) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        lines = text[: text.rfind("\n") + 1].splitlines()  # a power cut leaves NUL bytes, or a part of a line
        rows = list(csv.DictReader(line for line in lines if "\0" not in line))
        rows = [row for row in rows if (row.get("step") or "").isdecimal() and int(row["step"]) <= start and None not in row]
        self.path.unlink()
        if start and rows:
            self._write("w", list(rows[-1]), rows, header=True)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add the values after ``step`` steps."""
        if self.silent:
            return
        self._append({"step": str(step), **{key: f"{value:.6g}" for key, value in values.items()}})
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
                self._write("a", columns, rows, header=False)
                return
        self._write("w", columns, rows, header=True)

    def _write(self, mode: str, columns: list[str], rows: list[dict[str, str]], *, header: bool) -> None:
        with self.path.open(mode, newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            if header:
                writer.writeheader()
            writer.writerows(rows)


def _tensorboard(folder: Path):  # type: ignore[no-untyped-def]
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
