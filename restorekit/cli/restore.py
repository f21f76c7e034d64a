"""``restorekit deblur``, ``denoise`` and their like, and ``restorekit infer``: images in, better images out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.adapt import AdaptOptions, adapting
from restorekit.cli.depth import depth
from restorekit.cli.options import (
    ENGINE,
    MODEL,
    EngineOptions,
    InputOptions,
    OutputOptions,
    QualityOption,
    ReportOptions,
    command,
    complete_model,
)
from restorekit.cli.verbs import VERBS, choose_cards, suffix_of, views_for
from restorekit.errors import UsageError

if TYPE_CHECKING:
    from restorekit.cli.batches import Done
    from restorekit.cli.console import BatchView
    from restorekit.images import Image, LargeImage
    from restorekit.inference.extras import Extras
    from restorekit.inference.folder import Compute
    from restorekit.inference.inputs import Job, Plan
    from restorekit.training.recipe import Recipe
    from restorekit.zoo import Card

ADAPT_STEPS = 200
"""Steps of ``denoise --adapt`` by default."""


@dataclass(frozen=True)
class ModelOptions:
    """Which model, and what it is asked for."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A model of `restorekit models`, or the path of a card of your own; infer has no other way to know.",
            rich_help_panel=MODEL,
            autocompletion=complete_model,
        ),
    ] = None
    quality: QualityOption = None
    strength: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="S", help="How much of the result to blend with the input.", rich_help_panel=MODEL),
    ] = 1.0
    kernel: Annotated[
        Path | None,
        typer.Option(
            metavar="PSF.png",
            help="The blur kernel of the photographs, for which deblur takes infwide: an image, .npy, .txt or .csv.",
            rich_help_panel=MODEL,
        ),
    ] = None
    candidates: Annotated[
        bool,
        typer.Option(
            "--candidates",
            help="Write every candidate of multi-output models as well, numbered: photo-deblurred-1.jpg.",
            rich_help_panel=MODEL,
        ),
    ] = False
    spread: Annotated[
        str | None,
        typer.Option(
            metavar="MAP.png",
            help="Write where candidates of multi-output models differ, bright for much; a folder if there are several inputs.",
            rich_help_panel=MODEL,
        ),
    ] = None
    reflection: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png",
            help="Write what was taken away, of models for dereflect; a folder if there are several inputs.",
            rich_help_panel=MODEL,
        ),
    ] = None
    show_kernel: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.png",
            help="Write the deblurring kernels of deeprft models (--model deeprft-compact), mid-grey for 0; a folder if there "
            "are several inputs.",
            rich_help_panel=MODEL,
        ),
    ] = None

    strips: Annotated[
        bool | None,
        typer.Option(
            "--strips/--no-strips",
            help="Leave images in their files and restore them strip by strip, TIFF to TIFF; by default those that are too large "
            "for memory.",
            show_default=False,
            rich_help_panel=ENGINE,
        ),
    ] = None

    def maps(self) -> dict[str, str]:
        """What is to be written besides the image, by the names of the fields of predictions, and where."""
        places = {"spread": self.spread, "reflection": self.reflection, "kernels": self.show_kernel}
        return {name: place for name, place in places.items() if place is not None}

    def given(self) -> dict[str, Path]:
        """What there is beside the images, by the names of methods' ``extra_inputs``."""
        return {} if self.kernel is None else {"psf": self.kernel}


def register(app: typer.Typer) -> None:
    """Add a command for every verb, and ``infer``."""
    for name, verb in VERBS.items():
        app.command(name, help=verb.help)(command(depth if name == "depth" else _restoring(name)))
    app.command("infer", help="Restore with a model you name, whatever it is for.")(command(_restoring(None)))


def _restoring(task: str | None) -> Callable[..., None]:
    """The function behind a verb, or behind ``infer`` for None: one for all, so that they cannot drift apart."""

    def run(
        inputs: InputOptions, outputs: OutputOptions, choice: ModelOptions, engine: EngineOptions, report: ReportOptions
    ) -> None:
        restore(task, inputs, outputs, choice, AdaptOptions(), engine, report)

    def run_adaptable(
        inputs: InputOptions,
        outputs: OutputOptions,
        choice: ModelOptions,
        adapt: AdaptOptions,
        engine: EngineOptions,
        report: ReportOptions,
    ) -> None:
        restore(task, inputs, outputs, choice, adapt, engine, report)

    return run_adaptable if task is not None and VERBS[task].adapts else run


def restore(
    task: str | None,
    inputs: InputOptions,
    outputs: OutputOptions,
    choice: ModelOptions,
    adapt: AdaptOptions,
    engine: EngineOptions,
    report: ReportOptions,
) -> None:
    """Restore the inputs with the task's default model, or with the one that was named, adapted to them if it is asked for."""
    from restorekit.cli.batches import leave

    leave(restore_some(task, inputs, outputs, choice, adapt, engine, report), report)


def restore_some(
    task: str | None,
    inputs: InputOptions,
    outputs: OutputOptions,
    choice: ModelOptions,
    adapt: AdaptOptions,
    engine: EngineOptions,
    report: ReportOptions,
    pick: Callable[[Job], bool] = lambda job: True,
) -> Done:
    """Restore those of the inputs that ``pick`` says yes to; results go where they would go if all were restored."""
    from restorekit.cli.batches import Work, do_batch
    from restorekit.inference.inputs import plan

    adapt.check()
    cards = choose_cards(task, choice.model, choice.quality, inputs=choice.given(), fresh=adapt.from_scratch)
    if adapt.adapt or choice.candidates or choice.maps():  # which not all of them give
        cards = cards[:1]
    card = cards[0]
    if card.tasks == ("depth",):
        raise UsageError(
            f"model '{card.name}' answers with depth, and not with a photograph", f"Use `restorekit depth --model {card.name}`"
        )
    engine = replace(engine, views=views_for(task, choice.model, choice.quality, engine.views, card, report.quiet))
    jobs = plan(
        inputs.inputs,
        suffix=suffix_of(task or card.tasks[0]),
        output=outputs.output,
        format=outputs.format,
        recursive=inputs.recursive,
        candidates=choice.candidates,
        maps=choice.maps(),
    )
    jobs = replace(jobs, jobs=tuple(filter(pick, jobs.jobs)))
    extras = _read_extras(card, choice)
    strips = _strips(cards, choice)
    steps, sources = adapt.steps(ADAPT_STEPS), _sources(jobs) if adapt.adapt else []
    settings = _fingerprint(cards, choice, extras, engine) | adapt.fingerprint(steps, [str(path) for path in sources])

    def recipe() -> Recipe:
        from restorekit.training.adapting import adapt_to_noise

        return adapt_to_noise(card, sources, steps, fresh=adapt.from_scratch)

    with adapting(adapt, recipe, engine.device, report.quiet) as adaptation:
        name = " or ".join(card.name for card in cards) if adaptation is None else f"{card.name}-adapted"

        def prepare(view: BatchView) -> Compute:
            return _restorer(cards if adaptation is None else [adaptation.adapted()], choice, extras, engine, view)

        work = Work(task or "infer", name, settings, prepare, None if adaptation is None else adaptation.run, strips)
        return do_batch(work, jobs, inputs, outputs, report)


def _sources(jobs: Plan) -> list[Path]:
    """The photographs to learn from."""
    sources = [job.source for job in jobs.jobs if job.source is not None]
    if len(sources) < len(jobs.jobs):
        raise UsageError("nothing can be learnt from standard input", "Name a file, or leave out --adapt")
    return sources


def _strips(cards: Sequence[Card], choice: ModelOptions) -> bool | None:
    """Whether images may stay in their files: not if more than the answer is wanted, or if a method sees images whole."""
    more = choice.candidates or bool(choice.maps())
    whole = [card.name for card in cards if card.restoration_method().tiling(card.parsed_config()).whole]
    if choice.strips and (more or whole):
        reason = "sees images whole" if whole else "gives the answer alone in strips"
        name = (whole or [cards[0].name])[0]
        raise UsageError(f"model '{name}' {reason}", "Leave out --strips, or what is wanted besides the answer")
    return False if more or whole else choice.strips


def _read_extras(card: Card, choice: ModelOptions) -> Extras:
    """What the model's method needs beside the images; fails before any work if it is missing or no use."""
    from restorekit.inference.extras import read_extras

    return read_extras(card.restoration_method(), choice.given())


def _fingerprint(cards: Sequence[Card], choice: ModelOptions, extras: Extras, engine: EngineOptions) -> dict[str, Any]:
    """What shapes a result. Where and in how many pieces it is computed does not."""
    networks = [{"method": card.method, "config": card.config, "weights": card.weights and card.weights.sha256} for card in cards]
    return {
        **networks[0],
        **({"contenders": networks[1:]} if networks[1:] else {}),
        "strength": choice.strength,
        "candidates": choice.candidates,
        "maps": sorted(choice.maps()),
        "precision": engine.precision.value,
        "views": engine.views,
        **{name: hashlib.sha256(repr(values.shape).encode() + values.tobytes()).hexdigest() for name, values in extras.items()},
    }


def _restorer(cards: Sequence[Card], choice: ModelOptions, extras: Extras, engine: EngineOptions, view: BatchView) -> Compute:
    from restorekit.images import LargeImage
    from restorekit.inference import Contest
    from restorekit.inference.folder import Products
    from restorekit.inference.pictures import picture_of_map

    contest = Contest.from_cards(cards, **engine.as_arguments())
    wanted = choice.maps()
    maps = [name for name in wanted if name != "spread"]
    contest.first.check_gives(choice.candidates, "spread" in wanted, maps)  # before folders are made

    def compute(image: Image | LargeImage, job: Job) -> Products:
        def note(text: str) -> None:
            view.note(job, text)

        restorer = contest.choose(image, **extras) if choice.strength else contest.first
        if restorer.name != cards[0].name:
            note(f"{restorer.name} finds what it knows, and restores it")
        if isinstance(image, LargeImage):
            answer, run = restorer.restore_large(image, strength=choice.strength, **extras, progress=view.tiles, on_note=note)
            return Products(answer, run=run)
        result = restorer(
            image,
            strength=choice.strength,
            candidates=choice.candidates,
            spread="spread" in wanted,
            maps=maps,
            **extras,
            progress=view.tiles,
            on_note=note,
        )
        pictures = {name: picture_of_map(name, values) for name, values in result.maps.items()}
        if result.spread is not None:
            pictures["spread"] = result.spread
        return Products(result.image, result.candidates, pictures, result.run)

    return compute
