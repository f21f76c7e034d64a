"""``restorekit degrade``: clean photographs in, the same with something gone wrong out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.options import InputOptions, OutputOptions, ReportOptions, command
from restorekit.errors import UsageError

if TYPE_CHECKING:
    from restorekit.images import Image
    from restorekit.inference.folder import Compute
    from restorekit.inference.inputs import Job, Plan

PANEL = "Degradation"
WITH_PSF = ("lowlight",)
"""Kinds that know the blur kernel of each photograph."""
KINDS = "haze, lowlight, motion, noise, rain, raindrop, reflection, snow or untouched"


@dataclass(frozen=True)
class DegradationOptions:
    """What shall go wrong."""

    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help=f"What goes wrong: {KINDS}; or several: 'rain+haze' one after the other, 'rain | snow' either, 'motion > rain' "
            "rain in photographs that are blurred already.",
            rich_help_panel=PANEL,
        ),
    ] = "motion"
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Fixes what happens to each photograph. It depends on the seed and the photograph alone, not on the others.",
            rich_help_panel=PANEL,
        ),
    ] = 0
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the degradation, for example length=[5,20], or rain.length=[5,20] of one among several.",
            rich_help_panel=PANEL,
        ),
    ] = None
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs",
            help="Write pairs to learn from, as PNG: the degraded photographs to OUT/input, the clean ones to OUT/target, "
            "and of lowlight the blur kernels to OUT/kernel.",
            rich_help_panel=PANEL,
        ),
    ] = False


def register(app: typer.Typer) -> None:
    """Add ``degrade``."""
    app.command("degrade", help="Make degraded photographs of clean ones, to try a model, to teach it or to measure it.")(
        command(degrade)
    )


def degrade(inputs: InputOptions, outputs: OutputOptions, choice: DegradationOptions, report: ReportOptions) -> None:
    """Degrade the inputs."""
    from restorekit.cli.batches import Work, run_batch
    from restorekit.cli.console import Console
    from restorekit.degradations import get_degradation
    from restorekit.settings import override

    table = override({}, choice.assignments or [])
    get_degradation(choice.kind, table, whole=True)  # better refused before anything is said
    if ">" in choice.kind and not choice.pairs:
        note = f"'{choice.kind}' is to be undone to what the photographs were before the last of it: --pairs writes that too"
        Console(report.quiet).say(note)
    settings = {"kind": choice.kind, "seed": choice.seed, "settings": table}
    work = Work("degrade", None, settings, lambda view: _degrader(choice, table))
    run_batch(work, _plan(inputs, outputs, choice), inputs, outputs, report)


def _plan(inputs: InputOptions, outputs: OutputOptions, choice: DegradationOptions) -> Plan:
    from restorekit.inference.inputs import STREAM, plan

    if not choice.pairs:
        return plan(inputs.inputs, suffix="degraded", output=outputs.output, format=outputs.format, recursive=inputs.recursive)
    if STREAM in inputs.inputs or outputs.output in (None, STREAM) or outputs.format not in (None, "png"):
        raise UsageError("--pairs writes PNG files to two folders", "Name images and, with -o, one folder for both")
    degraded, clean, kernel = (os.path.join(str(outputs.output), name, "") for name in ("input", "target", "kernel"))
    maps = {"clean": clean, **({"psf": kernel} if choice.kind.rpartition(">")[2].strip() in WITH_PSF else {})}
    return plan(inputs.inputs, suffix="degraded", output=degraded, format="png", recursive=inputs.recursive, maps=maps)


def _degrader(choice: DegradationOptions, table: dict[str, Any]) -> Compute:
    from restorekit.degradations import get_degradation, make_pair
    from restorekit.inference.folder import Products

    degradation = get_degradation(choice.kind, table, whole=True)

    def compute(image: Image, job: Job) -> Products:
        made = make_pair(degradation, image, choice.seed)
        beside = {"clean": made.clean, "psf": made.psf}
        return Products(made.degraded, maps={name: picture for name, _ in job.maps if (picture := beside[name]) is not None})

    return compute
