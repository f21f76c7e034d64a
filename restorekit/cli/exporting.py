"""``restorekit export``: a model as an ONNX file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.console import Console, print_json
from restorekit.cli.options import command, complete_model, is_size, rows_and_columns


class ExportPrecision(str, Enum):
    """Precisions a graph can compute in."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"


def parse_any_size(text: str) -> str:
    """``"dynamic"``, or rows and columns like ``"512x768"``, unchanged."""
    if text != "dynamic" and not is_size(text):
        raise typer.BadParameter(f"'{text}' is not a size. Write rows x columns, for example 512x768, or dynamic.")
    return text


@dataclass(frozen=True)
class ExportOptions:
    """Which model, and what is made of it."""

    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A model, or the path of a card of your own.", autocompletion=complete_model, show_default=False
        ),
    ]
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.onnx", help="The file to write.", show_default=False)]
    size: Annotated[
        str, typer.Option(metavar="HxW|dynamic", callback=parse_any_size, help="Rows and columns of the image, or any.")
    ] = "dynamic"
    opset: Annotated[int, typer.Option(min=18, metavar="N", help="ONNX operator set.")] = 20
    precision: Annotated[ExportPrecision, typer.Option(help="What the graph computes in.")] = ExportPrecision.fp32
    calibrate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For int8: photographs like those to be restored.", show_default=False),
    ] = None
    part: Annotated[
        str, typer.Option(metavar="NAME", help="A part of the network by itself: pose, of dcpi-depth.", show_default=False)
    ] = ""
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that stands there.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


def register(app: typer.Typer) -> None:
    """Add ``export``."""
    app.command("export", help="Write a model as an ONNX file, proven against PyTorch.")(command(export_model))


def export_model(options: ExportOptions) -> None:
    """Export a model and say how exact the file is."""
    from restorekit.export import export
    from restorekit.zoo import load_card

    console = Console()
    card = load_card(options.model)
    size = None if options.size == "dynamic" else rows_and_columns(options.size)
    console.say(f"exporting {card.name}; this can take minutes")
    done = export(
        card,
        options.output,
        size=size,
        opset=options.opset,
        precision=options.precision.value,
        part=options.part,
        calibrate=options.calibrate,
        overwrite=options.overwrite,
    )
    if options.json:
        checks = [{**asdict(check), "psnr": check.psnr if isfinite(check.psnr) else None} for check in done.checks]
        print_json({"file": str(done.path), "bytes": done.bytes, "error": done.error, "checks": checks})
        return
    sizes = ", ".join(dict.fromkeys(f"{check.size[0]}x{check.size[1]}" for check in done.checks))
    how = f"largest error against PyTorch {done.error:.1e}, {done.psnr:.0f} dB"
    console.say(f"{done.path}: {done.bytes / 2**20:.1f} MiB; {how}, at {sizes}")
