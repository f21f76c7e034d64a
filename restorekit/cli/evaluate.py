"""``restorekit evaluate``: how near images come to what they should be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import typer

from restorekit.cli.console import Console, print_json
from restorekit.cli.evaluate_options import DepthOptions, ProtocolOptions, ResultOptions, SubjectOptions
from restorekit.cli.options import EngineOptions, ReportOptions, command, split
from restorekit.cli.scores import print_scores
from restorekit.cli.shell import command_line

if TYPE_CHECKING:
    from pathlib import Path

    from restorekit.evaluation import Gallery, Pair, Report, Score, Subject

_OF_IMAGES = ("layout", "candidates", "psf", "metric", "colour", "border", "round", "align", "shift_search")
DEPTH_REMEDY = "Write the maps with restorekit depth --npy, then score them with --protocol depth, without a model"


def register(app: typer.Typer) -> None:
    """Add ``evaluate``."""
    app.command("evaluate", help="Measure restored images, models or classical methods against what images should be.")(
        command(evaluate)
    )


def evaluate(
    subject: SubjectOptions,
    compared: ProtocolOptions,
    depth: DepthOptions,
    result: ResultOptions,
    engine: EngineOptions,
    report: ReportOptions,
) -> None:
    """Score the images, or depth maps, and print a table, or JSON."""
    from restorekit.errors import UsageError
    from restorekit.evaluation import DEPTH_PROTOCOLS

    if report.json and result.csv_to_stdout:
        raise UsageError("JSON and CSV cannot both go to standard output", "Name a file for one of them")
    if result.csv is not None and not result.csv_to_stdout and result.csv.suffix.lower() not in (".csv", ".txt", ".tsv"):
        raise UsageError(f"{result.csv} is not a name for a table", "Give it one that ends in .csv, or - for standard output")
    _check_writable(result)
    subject = _expanded(subject)
    gallery = _gallery(result)
    console = Console(report.quiet)
    with console.counting("evaluate") as counted:
        if compared.protocol in DEPTH_PROTOCOLS:
            scores = _score_depth(subject, compared, depth, engine, counted)
        else:
            scores = _score_images(subject, compared, depth, engine, gallery, counted)
    for note in scores.notes:
        console.say(note)
    try:
        _write_files(scores, gallery, result, subject)  # first, as whoever reads the output may leave
    finally:
        if report.json:
            print_json(scores.to_dict())
        elif result.csv_to_stdout:
            print(scores.to_csv(), end="")
        else:
            print_scores(scores, compared.protocol)


def _expanded(subject: SubjectOptions) -> SubjectOptions:
    """What patterns stand for, as if a shell had said it."""
    from restorekit.errors import UsageError
    from restorekit.inference.inputs import expand

    places = expand([path for path in (subject.images, subject.targets) if path is not None])
    if len(places) > 2:
        raise UsageError(f"{len(places)} files match, and one is scored against one", "Name the folders they lie in")
    return replace(subject, images=places[0], targets=places[1] if len(places) > 1 else None)


def _score_images(
    subject: SubjectOptions,
    compared: ProtocolOptions,
    depth: DepthOptions,
    engine: EngineOptions,
    gallery: Gallery | None,
    counted: Callable[[int, int], None],
) -> Report:
    from restorekit.evaluation import INPUT, RESTORED, Alignment, as_it_is, evaluate_files

    _refuse(depth, ("inverse", "depth_scale"), "is about depth maps", "Name a protocol of depth, or leave it out")
    bundle = compared.bundle()
    problems: list[str] = []
    _refuse_idle(subject, engine)
    pairs = _pairs(subject, compared, problems)
    subjects = _subjects(subject, engine, exact=not bundle.protocol.eight_bit or bundle.protocol.truncate)
    subjects = subjects or [as_it_is(INPUT if subject.layout else RESTORED)]

    def progress(number: int, total: int, newest: Score) -> None:
        counted(number if newest.subject == subjects[-1].name else number - 1, total)

    return evaluate_files(
        pairs,
        bundle.protocol,
        subjects=subjects,
        metrics=bundle.metrics,
        alignment=Alignment(compared.align.value, compared.shift_search),
        psf=subject.psf,
        gallery=gallery,
        progress=progress,
        problems=problems,
    )


def _pairs(subject: SubjectOptions, compared: ProtocolOptions, problems: list[str]) -> list[Pair]:
    from restorekit.evaluation import find_layout_pairs, find_pairs

    if subject.layout is not None and subject.targets is None:
        return find_layout_pairs(subject.images, subject.layout, subject.split)
    apart = [] if subject.psf is None else [subject.psf]
    if subject.targets is None and not compared.needs_targets:
        _refuse(compared, ("align", "shift_search"), "lays images over their targets", "Name the targets, or leave it out")
        return find_pairs(subject.images, None, problems=problems, apart=apart)
    remedy = "Name the targets too, say with --layout how the data set lies, or take only --metric brisque, which needs none"
    return find_pairs(subject.images, _targets(subject, remedy), problems=problems, apart=apart)


def _targets(subject: SubjectOptions, remedy: str) -> Path:
    from restorekit.errors import UsageError

    if subject.targets is None:
        raise UsageError("there is nothing to compare with", remedy)
    if subject.layout is not None:
        raise UsageError("a layout says already where the targets are", "Leave out TARGETS or --layout")
    return subject.targets


def _score_depth(
    subject: SubjectOptions,
    compared: ProtocolOptions,
    depth: DepthOptions,
    engine: EngineOptions,
    counted: Callable[[int, int], None],
) -> Report:
    from restorekit.errors import UsageError
    from restorekit.evaluation import evaluate_depth, get_depth_protocol

    if subject.model or subject.baseline:
        raise UsageError("depth is scored from maps on disk, not with a model", DEPTH_REMEDY)
    for options in (subject, compared):
        _refuse(options, _OF_IMAGES, "is about images, not depth maps", "Leave it out")
    _refuse_idle(subject, engine)
    return evaluate_depth(
        subject.images,
        _targets(subject, "Name the true depths too"),
        get_depth_protocol(compared.protocol),
        inverse=depth.inverse,
        scale=depth.depth_scale,
        progress=lambda number, total, newest: counted(number, total),
    )


def _refuse(options: object, names: Iterable[str], why: str, remedy: str) -> None:
    """Raise ``UsageError`` if one of these options was given, for it would change nothing."""
    from restorekit.errors import UsageError

    for option in fields(options):  # type: ignore[arg-type]
        if option.name in names and getattr(options, option.name) != option.default:
            raise UsageError(f"--{option.name.replace('_', '-')} {why}", remedy)


def _refuse_idle(subject: SubjectOptions, engine: EngineOptions) -> None:
    """Raise ``UsageError`` for options of what is not there."""
    if subject.layout is None:
        _refuse(subject, ("split",), "is a part of a data set with a layout", "Name the layout, or leave it out")
    if not subject.model:
        remedy = "Name one with --model, or leave it out"
        _refuse(subject, ("candidates",), "is about a model", remedy)
        _refuse(engine, [option.name for option in fields(engine)], "is about a model", remedy)
        if not subject.baseline:
            _refuse(subject, ("psf",), "is about a model or a baseline", "Name one, or leave it out")


def _subjects(options: SubjectOptions, engine: EngineOptions, exact: bool) -> list[Subject]:
    from restorekit.errors import UsageError
    from restorekit.evaluation import INPUT, check_subjects, from_baseline, from_restorer

    found = []
    for name in split(options.model):
        from restorekit.inference import Restorer

        restorer = Restorer.from_card(name, **engine.as_arguments())
        if restorer.method.tasks == ("depth",):
            raise UsageError(f"{name} answers with depth, not with a photograph", DEPTH_REMEDY)
        found.append(from_restorer(restorer, candidates=options.candidates, exact=exact))
    found += [from_baseline(name) for name in split(options.baseline)]
    found.sort(key=lambda subject: subject.name != INPUT)
    if found:
        check_subjects(found)
    return found


def _gallery(result: ResultOptions) -> Gallery | None:
    from restorekit.errors import UsageError
    from restorekit.evaluation import Gallery, Policy

    if result.report is None:
        _refuse(result, ("pictures",), "is about a page", "Name one with --report, or leave it out")
        return None
    if result.report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"the report {result.report} is a page", "Give it a name that ends in .html")
    return Gallery(Policy(count=result.pictures)) if result.pictures else None


def _check_writable(result: ResultOptions) -> None:
    """Better refused now than after the work."""
    from restorekit.errors import DataError
    from restorekit.images.folders import nearest

    for path in (None if result.csv_to_stdout else result.csv, result.report):
        if path is None:
            continue
        there = nearest(path.parent)
        if path.is_dir() or not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            raise DataError(f"{path} cannot be written", "Name a file in a folder that you may write to")


def _write_files(scores: Report, gallery: Gallery | None, result: ResultOptions, subject: SubjectOptions) -> None:
    from restorekit.evaluation import report_page, write_text

    if result.csv is not None and not result.csv_to_stdout:
        write_text(scores.to_csv(), result.csv)
    if result.report is not None:
        title = subject.images.name or str(subject.images)
        if subject.targets is not None:
            title = f"{title} against {subject.targets.name or subject.targets}"
        page = report_page(scores, gallery.show() if gallery else None, title=title, command=command_line())
        write_text(page, result.report)
