"""``restorekit compare``: versions of the same pictures next to each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.console import Console, print_json
from restorekit.cli.options import FILES, ReportOptions, command, split
from restorekit.cli.shell import command_line

SHEET = "Sheet"
COLUMN = 420
"""Width in pixels of a column of a sheet."""


@dataclass(frozen=True)
class ComparisonOptions:
    """What to compare, and on what."""

    versions: Annotated[
        list[Path],
        typer.Argument(metavar="A B...", help="Files of one picture, or folders of the same pictures.", show_default=False),
    ]
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A page, .html, or a labelled sheet of one picture, .png.",
            rich_help_panel=FILES,
        ),
    ] = Path("comparison.html")
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME,...", help="What to call the versions; by default their names.", rich_help_panel=FILES),
    ] = None
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the file that stands where the sheet goes. A page is replaced anyway.",
            rich_help_panel=FILES,
        ),
    ] = False
    crop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="A detail, in pixels from the upper left; repeatable. Without, a sheet takes the place that differs most.",
            rich_help_panel=SHEET,
        ),
    ] = None
    column: Annotated[
        int | None,
        typer.Option(
            min=64,
            max=4096,
            metavar="PIXELS",
            help=f"Width of a column of the sheet, {COLUMN} unless set.",
            rich_help_panel=SHEET,
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Add ``compare``."""
    app.command("compare", help="Lay versions of the same pictures side by side: a page with a slider, or a sheet.")(
        command(compare)
    )


def compare(options: ComparisonOptions, report: ReportOptions) -> None:
    """Write the page or the sheet."""
    from restorekit.errors import ImageError, UsageError
    from restorekit.evaluation import Policy, comparison_page, write_text
    from restorekit.evaluation.comparison import check_crops, exhibits_of, make_sheet, parse_crop, read_versions
    from restorekit.evaluation.gallery import encode
    from restorekit.images import Image, write
    from restorekit.inference.inputs import expand

    kind = options.output.suffix.lower()
    if kind not in (".html", ".htm", ".png"):
        raise UsageError(f"{options.output} is neither a page nor a sheet", "Give it a name that ends in .html or .png")
    if options.column is not None and kind != ".png":
        raise UsageError("--column is about a sheet, and this is a page", "Leave it out, or name a sheet: -o sheet.png")
    crops = [parse_crop(text) for text in options.crop or ()]
    paths = expand(options.versions)
    versions = read_versions(paths, split(options.label))
    for entry in versions:
        check_crops(crops, entry)
        if os.path.exists(options.output) and any(os.path.samefile(options.output, file) for file in entry.files):
            raise UsageError(f"{options.output} is one of the pictures", "Name another output with -o")
    if kind == ".png":
        if len(versions) > 1:
            raise UsageError(f"a sheet shows one picture, not {len(versions)}", "Write a page: -o comparison.html")
        if os.path.lexists(options.output) and not options.overwrite:
            raise ImageError(f"{options.output} exists already", "Add --overwrite to replace it")
        sheet = Image.from_pil(make_sheet(versions[0], crops, options.column or COLUMN))
        write(sheet, options.output, overwrite=options.overwrite)
    else:
        policy = Policy()
        exhibits = [exhibit for entry in versions for exhibit in exhibits_of(entry, crops, policy.pixels)]
        title = " / ".join(versions[0].pictures)
        write_text(comparison_page(encode(exhibits, policy.bytes), title=title, command=command_line()), options.output)
    if report.json:
        print_json({"output": str(options.output), "pictures": [entry.name for entry in versions]})
    else:
        pictures = "1 picture" if len(versions) == 1 else f"{len(versions)} pictures"
        Console(report.quiet).say(f"{len(paths)} versions of {pictures} -> {options.output}")
