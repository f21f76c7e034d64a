"""``restorekit auto``: look at photographs, say which verb they need and why, and do it if told to."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit import __version__
from restorekit.cli.options import (
    FILES,
    MODEL,
    EngineOptions,
    InputOptions,
    OutputOptions,
    QualityOption,
    ReportOptions,
    command,
)
from restorekit.cli.shell import quoted
from restorekit.cli.verbs import VERBS, choose_cards, suffix_of
from restorekit.errors import RestoreKitError, UsageError

if TYPE_CHECKING:
    from restorekit.cli.console import Console
    from restorekit.diagnosis import Diagnosis, Finding
    from restorekit.images import Image
    from restorekit.inference.folder import Outcome
    from restorekit.inference.inputs import Job, Plan

_HEAD = {"restorekit": __version__, "command": "auto"}
_DROPS, _REFLECTION = "deraindrop", "dereflect"
"""The verbs whose models are asked whether there is anything for them to do."""


@dataclass(frozen=True)
class PhotographOptions(InputOptions):
    """What to look at."""

    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT", help="Files, folders or patterns such as '*.jpg'.", show_default=False)
    ]


@dataclass(frozen=True)
class PlaceOptions(OutputOptions):
    """Where results go: to files, which is all that is looked at."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file, for one input, or a folder, which is made and gets the inputs' names. Without it results lie beside "
            "their inputs.",
            rich_help_panel=FILES,
        ),
    ] = None


@dataclass(frozen=True)
class AutoOptions:
    """What comes of the verdict."""

    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Restore them, instead of saying what to type.", rich_help_panel=MODEL)
    ] = False
    quality: QualityOption = None


@dataclass(frozen=True)
class Verdict:
    """What there is to say of a photograph.

    Attributes:
        source: its file.
        diagnosis: what was found; None if it could not be read.
        task: the verb that is to be used; empty if nothing is wrong, or there is no model for what is.
        error: why it could not be read.
        other: if there is no model for what is wrong, what else is and has one: the finding, and its verb.
    """

    source: Path
    diagnosis: Diagnosis | None
    task: str = ""
    error: str = ""
    other: tuple[Finding, str] | None = None

    @property
    def finding(self) -> Finding | None:
        """What is wrong first of all."""
        findings = self.diagnosis.findings if self.diagnosis else ()
        return findings[0] if findings else None

    def __str__(self) -> str:
        """The verdict as one line."""
        if self.diagnosis is None or self.error:
            return self.error
        if not self.diagnosis.judged:
            return "too small to say anything"
        if self.finding is None:
            return "nothing wrong is seen"
        if self.task:
            return f"{self.finding.reason} -> {self.task}"
        line = f"{self.finding.reason} -> {self.finding.tasks[0]}, for which no model is included"
        return f"{line}; next best: {self.other[0].reason} -> {self.other[1]}" if self.other else line


def register(app: typer.Typer) -> None:
    """Add ``auto``."""
    app.command("auto", help="See what is wrong with photographs and which command is for that; with --yes, do it.")(
        command(auto)
    )


def auto(
    inputs: PhotographOptions, outputs: PlaceOptions, choice: AutoOptions, engine: EngineOptions, report: ReportOptions
) -> None:
    """Look at the inputs, tell, and restore them if asked to."""
    from restorekit.cli.console import Console, print_json, print_tables
    from restorekit.inference import taken_off_by
    from restorekit.zoo import list_cards

    _check(engine)
    console = Console(report.quiet)
    sources = _sources(inputs, outputs)
    served = {task for card in list_cards() for task in card.default_for}
    # the windows are small whatever tiles there will be
    asked: dict[str, Any] = {"device": engine.device, "precision": engine.precision.value}
    drops = taken_off_by(_DROPS, **asked) if _DROPS in served else None
    reflection = taken_off_by(_REFLECTION, whole=True, **asked) if _REFLECTION in served else None
    with console.counting("looking") as progress:
        verdicts = []
        for number, source in enumerate(sources):
            progress(number, len(sources))
            verdicts.append(_look(source, inputs.max_pixels, served, drops, reflection))
    for verdict in verdicts:
        if verdict.error:
            console.complain(f"restorekit: {verdict.error}")
    failed = any(verdict.error for verdict in verdicts)
    if choice.yes:
        _restore(verdicts, inputs, outputs, choice, engine, report, console)
    elif report.json:
        commands = list(_commands(verdicts, inputs, outputs, choice, engine))
        print_json({**_HEAD, "files": [_as_json(verdict) for verdict in verdicts], "commands": commands})
    else:
        if not report.quiet:
            for verdict in verdicts:
                print_tables(*_tables(verdict))
        for line in _commands(verdicts, inputs, outputs, choice, engine):
            print(line)
    raise typer.Exit(int(failed))


def _check(engine: EngineOptions) -> None:
    """Refuse now what no verb would take."""
    from restorekit.inference.ensemble import check_views

    check_views(engine.views or 1)
    if engine.device != "auto":
        from restorekit.devices import resolve_device

        resolve_device(engine.device)


def _sources(inputs: InputOptions, outputs: OutputOptions) -> list[Path]:
    """The photographs that are meant: not what a verb has made of one of them."""
    from restorekit.inference.inputs import STREAM

    if STREAM in inputs.inputs:
        raise UsageError("auto looks at files, not at standard input", "Name a photograph")
    if outputs.output == STREAM:
        raise UsageError("auto looks at files, and gives files", "Name a file or a folder with -o, or leave it out")
    suffixes = {suffix_of(task) for task in VERBS} | {"restored", "degraded"}
    plans = [_plan(suffix, inputs, outputs) for suffix in sorted(suffixes)]
    common = set.intersection(*({job.source for job in plan.jobs} for plan in plans))
    return [job.source for job in plans[0].jobs if job.source is not None and job.source in common]


def _plan(suffix: str, inputs: InputOptions, outputs: OutputOptions) -> Plan:
    from restorekit.inference.inputs import plan

    return plan(
        inputs.inputs,
        suffix=suffix,
        output=outputs.output,
        format=outputs.format,
        recursive=inputs.recursive,
    )


def _look(source: Path, max_pixels: int | None, served: Collection[str], *asked: Callable[[Image], float] | None) -> Verdict:
    """The verdict on a photograph, where the verbs in ``served`` have a model; see :func:`restorekit.diagnosis.diagnose`."""
    from restorekit import images
    from restorekit.diagnosis import diagnose

    try:
        limit = images.DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels or None
        diagnosis = diagnose(images.read(source, max_pixels=limit), *asked)
    except UsageError:  # of the engine's options, not of this photograph
        raise
    except RestoreKitError as error:
        return Verdict(source, None, error=str(error))
    findings = diagnosis.findings
    able = [(finding, task) for finding in findings for task in finding.tasks if task in served]
    if able and able[0][0] is findings[0]:
        return Verdict(source, diagnosis, able[0][1])
    return Verdict(source, diagnosis, other=able[0] if able else None)


def _tables(verdict: Verdict) -> Iterator[Any]:
    from rich.table import Table

    if verdict.error or verdict.diagnosis is None:
        return
    yield f"{verdict.source}: {verdict}"
    if verdict.diagnosis.measures:
        table = Table("", "measured", "wrong above", "", box=None, pad_edge=False, header_style="bold")
        for measure in verdict.diagnosis.measures:
            table.add_row(f"  {measure.name}", measure.value, measure.limit, "<" if measure.over else "")
        yield table
        yield ""


def _groups(verdicts: Sequence[Verdict]) -> dict[str, list[Path]]:
    """The photographs for each verb, in the order of ``restorekit --help``."""
    groups = {task: [verdict.source for verdict in verdicts if verdict.task == task] for task in VERBS}
    return {task: sources for task, sources in groups.items() if sources}


def _commands(
    verdicts: Sequence[Verdict], inputs: InputOptions, outputs: OutputOptions, choice: AutoOptions, engine: EngineOptions
) -> Iterator[str]:
    """What to type, for each verb; for each folder of a tree, if there is another that the results go to."""
    options = [word for group in (inputs, choice, engine) for word in _typed(group)]
    for task, sources in _groups(verdicts).items():
        for folder, named in _by_folder(task, sources, inputs, outputs).items():
            files = (f"./{source}" if str(source).startswith("-") else str(source) for source in named)
            yield quoted(["restorekit", task, *files, *_typed(replace(outputs, output=folder)), *options])


def _by_folder(task: str, sources: Sequence[Path], inputs: InputOptions, outputs: OutputOptions) -> dict[str | None, list[Path]]:
    """The photographs by what their output is to be called, so that each one named alone gets where it would in its tree."""
    if outputs.output is None or (len(inputs.inputs) == 1 and os.path.isfile(inputs.inputs[0])):
        return {outputs.output: list(sources)}
    folders: dict[str | None, list[Path]] = {}
    for job in _plan(suffix_of(task), inputs, outputs).jobs:
        if job.source is not None and job.source in sources and job.target is not None:
            folders.setdefault(os.path.join(job.target.parent, ""), []).append(job.source)
    return folders


def _typed(options: InputOptions | OutputOptions | AutoOptions | EngineOptions) -> Iterator[str]:
    """Options as they are typed, those that were; photographs are named one by one."""
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default and field.name not in ("inputs", "recursive"):
            yield f"--{field.name.replace('_', '-')}"
            if value is not True:
                yield str(value.value if isinstance(value, Enum) else value)


def _restore(
    verdicts: Sequence[Verdict],
    inputs: InputOptions,
    outputs: OutputOptions,
    choice: AutoOptions,
    engine: EngineOptions,
    report: ReportOptions,
    console: Console,
) -> None:
    """Do what the verdicts say, verb by verb, and leave."""
    from restorekit.cli.adapt import AdaptOptions
    from restorekit.cli.console import outcome_as_json, print_json
    from restorekit.cli.restore import ModelOptions, restore_some
    from restorekit.inference import Contest
    from restorekit.inference.folder import exit_code

    for verdict in verdicts:
        if not verdict.error:
            console.say(f"{verdict.source}: {verdict}")
    outcomes: list[Outcome] = []
    groups = _groups(verdicts)
    if len(groups) > 1:  # what cannot be right is to be refused before the first of them begins
        for task in groups:
            Contest.from_cards(choose_cards(task, None, choice.quality), **engine.as_arguments())
    for task, sources in groups.items():
        model = ModelOptions(quality=choice.quality)
        done = restore_some(task, inputs, outputs, model, AdaptOptions(), engine, report, _among(sources))
        outcomes.extend(done.outcomes)
    if report.json:
        results = {outcome.job.source: outcome_as_json(outcome) for outcome in outcomes}
        print_json({**_HEAD, "files": [{**_as_json(v), "result": results.get(v.source)} for v in verdicts]})
    undone = any(verdict.error or (verdict.finding and not verdict.task) for verdict in verdicts)
    raise typer.Exit(max(int(undone), exit_code(outcomes)))


def _among(sources: Collection[Path]) -> Callable[[Job], bool]:
    return lambda job: job.source in sources


def _as_json(verdict: Verdict) -> dict[str, Any]:
    diagnosis = verdict.diagnosis
    measures = {}
    if diagnosis is not None and diagnosis.judged:
        fall = diagnosis.falling
        measures = {
            "noise": diagnosis.noise,
            "blur": diagnosis.blur,
            "darkest": diagnosis.veil,
            "darkest_far_away": diagnosis.distant,
            "contrast": fall.contrast,
            "upright": fall.upright,
            "bright": fall.bright,
            "drops": diagnosis.drops,
            "reflection": diagnosis.reflection,
        }
    return {
        "input": str(verdict.source),
        "measures": {name: None if value is None else round(value, 4) for name, value in measures.items()},
        "findings": [
            {"kind": finding.kind, "reason": finding.reason, "verbs": list(finding.tasks)}
            for finding in (diagnosis.findings if diagnosis else ())
        ],
        "verb": verdict.task or None,
        "verdict": None if verdict.error else str(verdict),
        "error": verdict.error or None,
    }
