"""Running a batch from a command: the same streams, bars, reports and exit codes for every verb that writes images."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from restorekit.cli.console import BatchView, Console, print_report, summary_line
from restorekit.cli.options import InputOptions, OutputOptions, ReportOptions
from restorekit.errors import UsageError

if TYPE_CHECKING:
    from restorekit.inference.folder import Compute, Outcome
    from restorekit.inference.inputs import Plan


@dataclass(frozen=True)
class Work:
    """What is done to every image.

    Attributes:
        verb: the command's name.
        model: the model's name, if there is one.
        settings: what shapes the results, as plain values; a result made with others is out of date.
        prepare: gives what makes the products of an image and tells the view how far it is; called only if there is work.
        first: done before that, also only if there is work, and may show what it likes.
        strips: whether ``prepare``'s images may stay in their files; see :class:`restorekit.inference.folder.FileOptions`.
    """

    verb: str
    model: str | None
    settings: Mapping[str, Any]
    prepare: Callable[[BatchView], Compute]
    first: Callable[[], None] | None = None
    strips: bool | None = False


@dataclass(frozen=True)
class Done:
    """Work that came to its end.

    Attributes:
        verb: the command's name.
        model: the model's name, if there is one.
        outcomes: what became of every image.
        seconds: how long it took.
    """

    verb: str
    model: str | None
    outcomes: Sequence[Outcome]
    seconds: float


def run_batch(work: Work, plan: Plan, inputs: InputOptions, outputs: OutputOptions, report: ReportOptions) -> None:
    """Do the work, tell about it, and leave with exit code 1 if some of it failed, 130 if it was interrupted."""
    leave(do_batch(work, plan, inputs, outputs, report), report)


def leave(done: Done, report: ReportOptions) -> None:
    """Print the report, if it was asked for, and leave with exit code 1 if some of the work failed."""
    from restorekit.inference.folder import exit_code

    if report.json:
        print_report(done.verb, done.model, done.outcomes, done.seconds)
    raise typer.Exit(exit_code(done.outcomes))


def do_batch(work: Work, plan: Plan, inputs: InputOptions, outputs: OutputOptions, report: ReportOptions) -> Done:
    """Do the work and say how it goes on; leave with exit code 130 if it is interrupted."""
    from restorekit.inference.folder import Batch, FileOptions

    _check_streams(plan, report)
    console = Console(report.quiet)
    begin = time.perf_counter()
    settings = {**work.settings, "quality": outputs.file_quality, "strip": outputs.strip}
    batch = Batch(plan, settings, overwrite=outputs.overwrite)
    files = FileOptions(outputs.file_quality, outputs.strip, inputs.max_pixels, work.strips)
    known: list[Outcome] = []
    if work.first is not None and batch.pending:
        work.first()
    if work.model and batch.pending:
        console.say(f"{work.verb} with {work.model}")
    try:
        with console.batch(len(batch.plan.jobs), work.verb) as view:

            def observe(outcome: Outcome) -> None:
                known.append(outcome)
                view.settled(outcome)

            outcomes = batch.run(lambda: work.prepare(view), files, observe)
    except KeyboardInterrupt:
        console.complain(
            f"restorekit: interrupted; {summary_line(known, time.perf_counter() - begin)}. Run the same again to go on."
        )
        raise typer.Exit(130) from None
    seconds = time.perf_counter() - begin
    if report.debug:
        for outcome in outcomes:
            if outcome.details:
                console.complain(outcome.details)
    for line in batch.sweep(outcomes):
        console.say(line)
    if not plan.single:
        console.say(summary_line(outcomes, seconds))
    return Done(work.verb, work.model, outcomes, seconds)


def _check_streams(plan: Plan, report: ReportOptions) -> None:
    for job in plan.jobs:
        if job.target is None and report.json:
            raise UsageError("the image and the JSON report cannot both go to standard output", "Name an output file with -o")
        if job.target is None and sys.stdout.isatty():
            raise UsageError(
                "an image cannot be shown in a terminal", "Name an output file with -o, or send the output to a file or program"
            )
        if job.source is None and sys.stdin.isatty():
            raise UsageError(
                "nothing comes from standard input", "Send an image to it: restorekit deblur - < photo.jpg > sharp.jpg"
            )
