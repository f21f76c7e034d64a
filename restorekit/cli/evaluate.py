"""``restorekit evaluate``: how near images come to what they should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.console import Console, print_tables
from restorekit.cli.options import MODEL, EngineOptions, ReportOptions, command, complete_model

if TYPE_CHECKING:
    from restorekit.evaluation import Picture, Report

PROTOCOL = "Protocol"


class Colour(str, Enum):
    """What is compared."""

    rgb = "rgb"
    y = "y"


@dataclass(frozen=True)
class EvaluationOptions:
    """What to compare, and how."""

    images: Annotated[
        Path,
        typer.Argument(metavar="IMAGES", help="Folder of restored images, or of inputs if a model is named; or one file."),
    ]
    targets: Annotated[
        Path, typer.Argument(metavar="TARGETS", help="Folder of what they should be, paired by name; or one file.")
    ]
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="Restore IMAGES with this model first; scores of the inputs are given too.",
            rich_help_panel=MODEL,
            autocompletion=complete_model,
        ),
    ] = None
    colour: Annotated[Colour, typer.Option(help="All channels, or luma of BT.601 (16 to 235).", rich_help_panel=PROTOCOL)] = (
        Colour.rgb
    )
    border: Annotated[
        int, typer.Option(min=0, metavar="PIXELS", help="Leave out this much on every side.", rich_help_panel=PROTOCOL)
    ] = 0
    round: Annotated[
        bool, typer.Option("--round/--no-round", help="Round to 8 bits first, as a saved PNG is.", rich_help_panel=PROTOCOL)
    ] = True


def register(app: typer.Typer) -> None:
    """Add ``evaluate``."""
    app.command("evaluate", help="Measure restored images, or a model, against what they should be.")(command(evaluate))


def evaluate(options: EvaluationOptions, engine: EngineOptions, report: ReportOptions) -> None:
    """Score the images and print a table, or JSON."""
    from restorekit.evaluation import Protocol, Score
    from restorekit.evaluation import evaluate as score

    protocol = Protocol(options.colour.value, options.border, options.round)
    restore = _restorer(options.model, engine) if options.model else None
    console = Console(report.quiet)
    with console.counting("evaluate") as counted:

        def progress(done: int, total: int, newest: Score) -> None:
            counted(done, total)

        result = score(options.images, options.targets, protocol, restore=restore, progress=progress)
    if report.json:
        print(result.to_json())
    else:
        _print_table(result, options.model)


def _restorer(model: str, engine: EngineOptions) -> Callable[[Path], Picture]:
    from restorekit.inference import Restorer

    restorer = Restorer.from_card(model, **engine.as_arguments())
    return lambda path: restorer(path).image


def _print_table(result: Report, model: str | None) -> None:
    from rich.table import Table

    content = result.to_table()
    title = f"{model}, {result.protocol.name}" if model else result.protocol.name
    table = Table(*content.columns, box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in content.images:
        table.add_row(*row)
    table.add_section()
    for row in content.summary:
        table.add_row(*row, style="bold")
    print_tables(title, table)
