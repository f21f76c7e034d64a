"""``restorekit deblur`` and ``restorekit infer``: images in, better images out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.options import (
    MODEL,
    EngineOptions,
    InputOptions,
    OutputOptions,
    ReportOptions,
    command,
    complete_model,
)
from restorekit.errors import UsageError

if TYPE_CHECKING:
    from restorekit.cli.console import BatchView
    from restorekit.images import Image
    from restorekit.inference.extras import Extras
    from restorekit.inference.folder import Compute
    from restorekit.inference.inputs import Job
    from restorekit.zoo import Card

VERBS = {"deblur": "Sharpen photographs blurred by a moving camera or moving things."}
"""The verbs that choose a model by themselves, each a task of the zoo, and their help."""

SUFFIXES = {"deblur": "deblurred"}
"""What a result is called beside its input, by task; ``restored`` for the others."""


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and what it is asked for."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model of `restorekit models`, or the path of a card of your own.",
            rich_help_panel=MODEL,
            autocompletion=complete_model,
        ),
    ] = None
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="S", help="How much of the result to blend with the input.", rich_help_panel=MODEL),
    ] = 1.0
    kernel: Annotated[
        Path | None,
        typer.Option(
            metavar="PSF.png",
            help="The blur kernel of the photographs, for models that need it: an image, .npy, or numbers as .txt or .csv.",
            rich_help_panel=MODEL,
        ),
    ] = None
    candidates: Annotated[
        bool,
        typer.Option(
            "--candidates", help="Write every candidate as well, numbered: photo-deblurred-1.jpg.", rich_help_panel=MODEL
        ),
    ] = False
    spread: Annotated[
        str | None,
        typer.Option(
            metavar="MAP.png",
            help="Write where the candidates differ, bright for much; a folder if there are several inputs.",
            rich_help_panel=MODEL,
        ),
    ] = None


def register(app: typer.Typer) -> None:
    """Add a command for every verb, and ``infer``."""
    for verb, text in VERBS.items():
        app.command(verb, help=text)(command(_restoring(verb)))
    app.command("infer", help="Restore with a model you name, whatever it is for.")(command(_restoring(None)))


def _restoring(task: str | None) -> Callable[..., None]:
    """The function behind a verb, or behind ``infer`` for None: one for all, so that they cannot drift apart."""

    def run(
        inputs: InputOptions, outputs: OutputOptions, choice: ModelOptions, engine: EngineOptions, report: ReportOptions
    ) -> None:
        restore(task, inputs, outputs, choice, engine, report)

    return run


def restore(
    task: str | None,
    inputs: InputOptions,
    outputs: OutputOptions,
    choice: ModelOptions,
    engine: EngineOptions,
    report: ReportOptions,
) -> None:
    """Restore the inputs with the task's default model, or with the one that was named."""
    from restorekit.cli.batches import Work, run_batch
    from restorekit.inference.inputs import plan

    card = _choose_card(task, choice.model)
    suffix = SUFFIXES.get(task or card.tasks[0], "restored")
    jobs = plan(
        inputs.inputs,
        suffix=suffix,
        output=outputs.output,
        format=outputs.format,
        recursive=inputs.recursive,
        candidates=choice.candidates,
        spread=choice.spread,
    )
    extras = _read_extras(card, choice)
    work = Work(
        task or "infer",
        card.name,
        _fingerprint(card, choice, extras, engine),
        lambda view: _restorer(card, choice, extras, engine, view),
    )
    run_batch(work, jobs, inputs, outputs, report)


def _choose_card(task: str | None, name: str | None) -> Card:
    from restorekit.zoo import default_card, load_card

    if name is None:
        if task is None:
            raise UsageError("infer does not know which model to use", "Add --model NAME; `restorekit models` lists them")
        return default_card(task)
    card = load_card(name)
    if card.is_template:
        card.weights_path()  # says what to do
    if task is not None and task not in card.tasks:
        raise UsageError(
            f"model '{card.name}' is for {' and '.join(card.tasks)}, not {task}", "Use `restorekit infer` to run it all the same"
        )
    return card


def _read_extras(card: Card, choice: ModelOptions) -> Extras:
    """What the model's method needs beside the images; fails before any work if it is missing or no use."""
    from restorekit.inference.extras import read_extras

    return read_extras(card.restoration_method(), {} if choice.kernel is None else {"psf": choice.kernel})


def _fingerprint(card: Card, choice: ModelOptions, extras: Extras, engine: EngineOptions) -> dict[str, Any]:
    """What shapes a result. Where and in how many pieces it is computed does not."""
    return {
        "method": card.method,
        "config": card.config,
        "weights": card.weights and card.weights.sha256,
        "strength": choice.strength,
        "candidates": choice.candidates,
        "spread": choice.spread is not None,
        "precision": engine.precision.value,
        **{name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in extras.items()},
    }


def _restorer(card: Card, choice: ModelOptions, extras: Extras, engine: EngineOptions, view: BatchView) -> Compute:
    from restorekit.inference import Restorer
    from restorekit.inference.folder import Products

    restorer = Restorer.from_card(card, **engine.as_arguments())

    def compute(image: Image, job: Job) -> Products:
        result = restorer(
            image,
            strength=choice.strength,
            candidates=choice.candidates,
            spread=job.spread is not None,
            **extras,
            progress=view.tiles,
            on_note=lambda text: view.note(job, text),
        )
        return Products(result.image, result.candidates, result.spread, result.run)

    return compute
