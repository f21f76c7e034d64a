"""``restorekit train``: a recipe becomes weights and a card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from restorekit.cli.options import command


@dataclass(frozen=True)
class TrainOptions:
    """What to train, and where to."""

    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help="A recipe's file (.toml), or the name of a shipped one.", show_default=False)
    ]
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe, for example train.steps=2000."),
    ] = None
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run; by default runs/NAME of the recipe.")
    ] = None
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Go on from the checkpoint in the run's folder, if there is one, or start anew."),
    ] = True
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where to train.")] = "auto"
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


def register(app: typer.Typer) -> None:
    """Add ``train``."""
    app.command("train", help="Train a model from a recipe; what it writes can be used with --model at once.")(command(train))


def train(options: TrainOptions) -> None:
    """Train, then say where the card is."""
    from restorekit.cli.console import Console
    from restorekit.training import load_recipe
    from restorekit.training import train as run_training
    from restorekit.training.report import ConsoleReporter, Reporter

    recipe = load_recipe(options.recipe, options.assignments or [])
    run = options.output or Path("runs") / recipe.name
    reporter = Reporter() if options.quiet else ConsoleReporter()
    card = run_training(recipe, run, resume=options.resume, device=options.device, reporter=reporter)
    Console(options.quiet).say(f"The card is written; use it with --model {card}")
