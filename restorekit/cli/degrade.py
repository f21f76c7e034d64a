"""``restorekit degrade``: clean photographs in, the same with something gone wrong out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.options import InputOptions, OutputOptions, ReportOptions, command

if TYPE_CHECKING:
    from restorekit.images import Image
    from restorekit.inference.folder import Compute
    from restorekit.inference.inputs import Job

PANEL = "Degradation"


@dataclass(frozen=True)
class DegradationOptions:
    """What shall go wrong."""

    kind: Annotated[str, typer.Option(metavar="KIND", help="What goes wrong: motion or lowlight.", rich_help_panel=PANEL)] = (
        "motion"
    )
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
            "--set", metavar="KEY=VALUE", help="A setting of the degradation, for example length=[5,20].", rich_help_panel=PANEL
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Add ``degrade``."""
    app.command("degrade", help="Make degraded photographs of clean ones, to try a model or to measure it.")(command(degrade))


def degrade(inputs: InputOptions, outputs: OutputOptions, choice: DegradationOptions, report: ReportOptions) -> None:
    """Degrade the inputs."""
    from restorekit.cli.batches import Work, run_batch
    from restorekit.inference.inputs import plan
    from restorekit.settings import override

    table = override({}, choice.assignments or [])
    jobs = plan(inputs.inputs, suffix="degraded", output=outputs.output, format=outputs.format, recursive=inputs.recursive)
    settings = {"kind": choice.kind, "seed": choice.seed, "settings": table}
    run_batch(Work("degrade", None, settings, lambda view: _degrader(choice, table)), jobs, inputs, outputs, report)


def _degrader(choice: DegradationOptions, table: dict[str, Any]) -> Compute:
    from restorekit.degradations import degrade_photograph, get_degradation
    from restorekit.inference.folder import Products

    degradation = get_degradation(choice.kind, table, whole=True)

    def compute(image: Image, job: Job) -> Products:
        return Products(degrade_photograph(degradation, image, choice.seed))

    return compute
