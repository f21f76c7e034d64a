"""``restorekit train``: a recipe becomes weights and a card."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import command

if TYPE_CHECKING:
    from restorekit.training import Outlook, Recipe

_STOPPED = 130
"""What shells take a command for that Ctrl-C ended."""


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the data, take a few steps, say what the training will take, and stop.")
    ] = False
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where to train.")] = "auto"
    devices: Annotated[int, typer.Option(min=1, metavar="N", help="Processes, with a device each, on this machine.")] = 1
    nodes: Annotated[int, typer.Option(min=1, metavar="N", help="Machines; start the command on each, or use torchrun.")] = 1
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


def register(app: typer.Typer) -> None:
    """Add ``train``."""
    app.command("train", help="Train a model from a recipe; what it writes can be used with --model at once.")(command(train))


def train(options: TrainOptions) -> None:
    """Train, then say where the card is."""
    from restorekit.cli.console import Console
    from restorekit.training import Hardware, load_recipe, rehearse
    from restorekit.training import train as run_training
    from restorekit.training.report import ConsoleReporter, Reporter

    console = Console(options.quiet)
    _quiet_libraries()
    recipe = load_recipe(options.recipe, options.assignments or [])
    hardware = Hardware(options.device, options.devices, options.nodes)
    if options.dry_run:
        outlook = rehearse(recipe, hardware=hardware)
        for line in _describe(recipe, outlook) if outlook is not None else ():
            console.say(line)
        return
    run = options.output or Path("runs") / recipe.name
    reporter = Reporter() if options.quiet else ConsoleReporter()
    card = run_training(recipe, run, resume=options.resume, hardware=hardware, reporter=reporter)
    if card is None:
        raise typer.Exit(_STOPPED)


def _quiet_libraries() -> None:
    """Keep from users what Fabric and PyTorch's compiler log for programmers; ``TORCH_LOGS`` brings the compiler's back."""
    import torch

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if "TORCH_LOGS" not in os.environ:
        torch._logging.set_logs(all=logging.ERROR)  # type: ignore[attr-defined]  # documented, though not exported


def _describe(recipe: Recipe, outlook: Outlook) -> Iterator[str]:
    """What the training will be, line by line."""
    settings = recipe.train
    yield f"{recipe.name}: {recipe.method}, {outlook.parameters / 1e6:.2f} M parameters, {outlook.precision} on {outlook.device}"
    yield f"Data: {outlook.photographs} to train on, {outlook.validated} to validate on"
    sizes = [f"{stage.batch} x {stage.patch}² until step {stage.until}" for stage in settings.stages]
    last = settings.stages[-1].until if settings.stages else 0
    if last < settings.steps:
        sizes.append(f"{settings.batch} x {settings.patch}²")
    yield f"Work: {settings.steps} steps of {', then '.join(sizes)}; {outlook.pairs} pairs in all"
    pixels = sum(size[0] * size[1] ** 2 for size in map(settings.size_at, range(settings.steps)))
    first = settings.size_at(0)[0] * settings.size_at(0)[1] ** 2
    hours = outlook.seconds_per_step * pixels / first / 3600
    yield f"Time: {outlook.seconds_per_step:.2f} s a step at first, about {hours:.1f} h in all"
    yield f"Memory: {outlook.memory / 2**30:.1f} GiB"
