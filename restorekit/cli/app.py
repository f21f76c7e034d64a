"""The commands in the order of ``restorekit --help``."""

from __future__ import annotations

from typing import Annotated

import typer

from restorekit import __version__
from restorekit.cli import auto, bench, compare, degrade, evaluate, exporting, importing, models, restore, train

app = typer.Typer(
    name="restorekit",
    help="Restore photographs. Models are included; none has to be downloaded.",
    epilog="Exit codes: 0 all done, 1 some work failed, 2 the command cannot be right, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

auto.register(app)
restore.register(app)
models.register(app)
importing.register(app)
exporting.register(app)
bench.register(app)
evaluate.register(app)
compare.register(app)
degrade.register(app)
train.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"restorekit {__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Restore photographs. Models are included; none has to be downloaded."""
