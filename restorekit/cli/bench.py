"""``restorekit bench``: how fast models are here, and what memory they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit import __version__
from restorekit.cli.console import Console, print_json, print_tables
from restorekit.cli.options import (
    ENGINE,
    Backend,
    ReportOptions,
    TileOptions,
    command,
    complete_model,
    parse_size,
    rows_and_columns,
    split,
)

if TYPE_CHECKING:
    from restorekit.errors import RestoreKitError
    from restorekit.inference.measuring import Figures

MIB = 2**20


@dataclass(frozen=True)
class BenchOptions:
    """Which models, and on what."""

    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Models, configurations without weights too, or paths of cards or ONNX files of your own.",
            autocompletion=complete_model,
            show_default=False,
        ),
    ]
    size: Annotated[str, typer.Option(metavar="HxW", callback=parse_size, help="Rows and columns of the picture.")] = "1024x1024"
    backend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="auto|torch|compiled|onnx,...",
            help="What runs the network, one after the other; auto takes ONNX Runtime for .onnx files, else PyTorch.",
            show_default=False,
            rich_help_panel=ENGINE,
        ),
    ] = None
    passes: Annotated[int, typer.Option(min=1, metavar="N", help="Timed passes after the first; slow models do fewer.")] = 5

    def backends(self) -> list[str]:
        """The backends asked for, ``auto`` where none is; UnknownNameError for another name."""
        from restorekit.errors import UnknownNameError

        names, known = split(self.backend) or [Backend.auto.value], [each.value for each in Backend]
        for name in names:
            if name not in known:
                raise UnknownNameError("backend", name, known)
        return list(dict.fromkeys(names))


@dataclass(frozen=True)
class Row:
    """One model with one backend: what it cost, or why it did not run."""

    model: str
    backend: str
    outcome: Figures | RestoreKitError


def register(app: typer.Typer) -> None:
    """Add ``bench``."""
    app.command("bench", help="Measure how fast models are on this machine, and how much memory they take.")(command(bench))


def bench(options: BenchOptions, engine: TileOptions, report: ReportOptions) -> None:
    """Measure every model with every backend, each in a process of its own."""
    from restorekit.errors import RestoreKitError
    from restorekit.inference.measuring import bench as measure
    from restorekit.zoo import load_card

    console = Console(report.quiet)
    size, backends = rows_and_columns(options.size), options.backends()
    cards = [load_card(name) for name in options.models]
    engines = [_engine(backend, engine) for backend in backends]
    rows = []
    for card in cards:
        console.say(f"measuring {card.name} on {size[0]}x{size[1]} pixels; this can take minutes")
        for backend, outcome in zip(backends, measure(card, engines, size, options.passes), strict=True):
            rows.append(Row(card.name, backend, outcome))
            if isinstance(outcome, RestoreKitError):
                console.complain(f"restorekit: {card.name} with {backend}: {outcome}")
    if report.json:
        print_json(
            {"restorekit": __version__, "command": "bench", "size": list(size), "results": [_as_json(row) for row in rows]}
        )
    else:
        _print_table(rows)
    failed = [row.outcome.exit_code for row in rows if isinstance(row.outcome, RestoreKitError)]
    if failed:
        raise typer.Exit(2 if len(failed) == len(rows) and set(failed) == {2} else 1)


def _engine(backend: str, engine: TileOptions) -> dict[str, Any]:
    """What the restorer is told: ONNX Runtime has providers for devices, and PyTorch has no providers."""
    arguments = {**engine.as_arguments(), "backend": backend}
    if backend == "onnx" and engine.provider == "auto" and engine.device != "auto":
        arguments["provider"] = engine.device.partition(":")[0]
    if backend in ("torch", "compiled"):
        arguments["provider"] = "auto"
    return arguments


def _print_table(rows: Sequence[Row]) -> None:
    from rich.table import Table

    from restorekit.inference.measuring import Figures

    table = Table("Model", "Backend", "On", "Precision", "Tiles", box=None, pad_edge=False, header_style="bold")
    columns = ["Mpixel/s", "Median, s", "Best, s", "First, s", "Peak, MiB"]
    on_device = any(isinstance(row.outcome, Figures) and row.outcome.device_memory is not None for row in rows)
    for title in [*columns, "On device, MiB"] if on_device else columns:
        table.add_column(title, justify="right")
    for row in rows:
        found = row.outcome
        if not isinstance(found, Figures):
            table.add_row(row.model, row.backend, "-")
            continue
        cut = "whole" if found.tile is None else f"{found.tiles} of {found.tile[1]}x{found.tile[0]}"
        held = "-" if found.device_memory is None else f"{found.device_memory / MIB:.0f}"
        numbers = [f"{found.megapixels:.3g}", *(f"{value:.3f}" for value in (found.median, found.best, found.first))]
        cells = [row.model, row.backend, found.device, found.precision, cut, *numbers, f"{found.memory / MIB:.0f}"]
        table.add_row(*cells, *([held] if on_device else []))
    print_tables(table)


def _as_json(row: Row) -> dict[str, Any]:
    from restorekit.inference.measuring import Figures

    named = {"model": row.model, "backend": row.backend}
    if not isinstance(row.outcome, Figures):
        return {**named, "error": str(row.outcome)}
    found = row.outcome
    told = {"megapixels_per_second": found.megapixels, "median": found.median, "best": found.best}
    return {**named, **asdict(found), **told, "error": None}
