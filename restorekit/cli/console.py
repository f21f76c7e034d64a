"""What the user sees meanwhile. It goes to standard error, so that standard output stays free for images and JSON."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from restorekit import __version__

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress

    from restorekit.inference.folder import Outcome
    from restorekit.inference.inputs import Job


WIDE = 200
"""Columns of a table that goes to a file or program, which has no width of its own."""


def print_tables(*tables: RenderableType) -> None:
    """Tables, or lines, to standard output."""
    from rich.console import Console as RichConsole

    console = RichConsole(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    for table in tables:
        console.print(table)


class Console:
    """Lines and a progress bar on standard error.

    Args:
        quiet: say nothing but errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console as RichConsole

        self.quiet = quiet
        logging.getLogger("restorekit").setLevel(logging.ERROR if quiet else logging.NOTSET)
        self.rich = RichConsole(stderr=True, highlight=False, emoji=False)  # a file may be called :100:.jpg

    def say(self, text: str) -> None:
        """A line, unless quiet."""
        if not self.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """A line, in any case."""
        self.rich.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def batch(self, total: int, verb: str) -> Iterator[BatchView]:
        """Show a batch: on a terminal a bar with rate and time left, elsewhere a line for every file."""
        with self._bar(percent=total == 1) as progress:
            yield BatchView(self, progress, total, verb, show_all=progress.disable or total == 1)

    @contextmanager
    def counting(self, verb: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar on a terminal; gives what takes how many are done and how many there are."""
        with self._bar() as progress:
            task = progress.add_task(verb, total=None, rate="")
            yield lambda done, total: progress.update(task, completed=done, total=total)

    def _bar(self, percent: bool = False) -> Progress:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn() if percent else MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.rich, disable=self.quiet or not self.rich.is_terminal, transient=True)


class BatchView:
    """Hears how a batch goes on, and shows it; see :meth:`Console.batch`."""

    def __init__(self, console: Console, progress: Progress, total: int, verb: str, show_all: bool) -> None:
        self._console = console
        self._show_all = show_all
        self._alone = total == 1
        self._progress = progress
        self._total = total
        self._finished = 0
        self._task = progress.add_task(verb, total=total, rate="")

    def settled(self, outcome: Outcome) -> None:
        """Show what became of an image."""
        if outcome.status == "failed":
            self._console.complain(failure_line(outcome))
        elif self._show_all and (outcome.status == "done" or self._alone):
            self._console.say(success_line(outcome))
        if outcome.status == "skipped":  # was no work, so it must not count for rate and time left
            self._total -= 1
        else:
            self._finished += 1
        speed = self._progress.tasks[0].speed
        rate = "" if not speed or self._total < 2 else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"
        self._progress.update(self._task, completed=self._finished, total=self._total, rate=rate)

    def tiles(self, done: int, total: int) -> None:
        """Show how far the image in hand is."""
        self._progress.update(self._task, completed=min(self._finished + done / total, self._total))

    def note(self, job: Job, text: str) -> None:
        """Say what did not go as asked with an image."""
        self._console.say(f"{name_of_source(job)}: {text}")


def name_of_source(job: Job) -> str:
    """What messages call an input."""
    if job.frame is not None:
        return f"{job.source}, frame {job.frame + 1}"
    return str(job.source) if job.source is not None else "standard input"


def name_of_target(job: Job) -> str:
    """What messages call an output."""
    return str(job.target) if job.target is not None else "standard output"


def success_line(outcome: Outcome) -> str:
    """``photo.jpg -> photo-deblurred.jpg (cpu, fp32, 6 tiles of 512x512 with 64 of context on each side, 3.2 s)``."""
    how = str(outcome.run) if outcome.run else f"{outcome.seconds:.1f} s"
    if outcome.status == "skipped":
        how = "up to date; --overwrite makes it again"
    return f"{name_of_source(outcome.job)} -> {name_of_target(outcome.job)} ({how})"


def failure_line(outcome: Outcome) -> str:
    """``restorekit: photo.jpg: what is wrong. What to do.``, without saying the name twice."""
    name = name_of_source(outcome.job)
    told = name in outcome.error or (outcome.job.source is not None and str(outcome.job.source) in outcome.error)
    return f"restorekit: {outcome.error if told else f'{name}: {outcome.error}'}"


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many jobs ended how."""
    statuses = [outcome.status for outcome in outcomes]
    return {"files": len(statuses), **{status: statuses.count(status) for status in ("done", "skipped", "failed")}}


def summary_line(outcomes: Sequence[Outcome], seconds: float) -> str:
    """``18 done, 1 up to date, 1 failed in 12.0 s``."""
    number = counts(outcomes)
    words = {"done": "done", "skipped": "up to date", "failed": "failed"}
    parts = [f"{number[status]} {word}" for status, word in words.items() if number[status]] or ["nothing done"]
    return f"{', '.join(parts)} in {seconds:.1f} s"


def print_report(command: str, model: str | None, outcomes: Sequence[Outcome], seconds: float) -> None:
    """The JSON report of a batch, to standard output."""
    report = {
        "restorekit": __version__,
        "command": command,
        "model": model,
        "files": [outcome_as_json(outcome) for outcome in outcomes],
        "totals": {**counts(outcomes), "seconds": round(seconds, 3)},
    }
    print_json(report)


def print_json(value: Any) -> None:
    """A value as JSON, to standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """What a report says of an image."""
    job, run = outcome.job, outcome.run
    return {
        "input": str(job.source) if job.source is not None else "-",
        "output": str(job.target) if job.target is not None else "-",
        "also_written": [str(path) for path in outcome.written if path != job.target],
        "status": outcome.status,
        "seconds": round(outcome.seconds, 3),
        "model": run.model if run else None,
        "device": run.device if run else None,
        "precision": run.precision if run else None,
        "tile": list(run.tile) if run and run.tile else None,
        "tiles": run.tiles if run else None,
        "memory": {"budget": run.budget, "estimate": run.memory} if run else None,
        "notes": list(run.notes) if run else [],
        "error": outcome.error or None,
    }
