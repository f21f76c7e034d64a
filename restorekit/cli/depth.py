"""``restorekit depth``: how near things are, as pictures and as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.adapt import AdaptOptions, adapting
from restorekit.cli.options import (
    MODEL,
    InputOptions,
    OutputOptions,
    QualityOption,
    ReportOptions,
    RuntimeOptions,
    complete_model,
)
from restorekit.cli.verbs import choose_card, suffix_of, views_for
from restorekit.errors import UsageError

if TYPE_CHECKING:
    from restorekit.cli.console import BatchView
    from restorekit.images import Image
    from restorekit.inference.folder import Compute
    from restorekit.inference.inputs import Job, Plan
    from restorekit.training.recipe import Recipe
    from restorekit.zoo import Card

ADAPT_STEPS = 500
"""Steps of ``depth --adapt`` by default."""

CAMERA = "Camera, for --adapt"


class Colours(str, Enum):
    """Colour maps of OpenCV that depth is shown in."""

    inferno = "inferno"
    turbo = "turbo"
    magma = "magma"
    viridis = "viridis"


@dataclass(frozen=True)
class DepthOptions:
    """Which model, and how its answer is shown."""

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
    quality: QualityOption = None
    colour: Annotated[
        Colours | None, typer.Option(help="Show it in colours instead of grey, with 8 bits.", rich_help_panel=MODEL)
    ] = None
    npy: Annotated[
        bool,
        typer.Option(
            "--npy", help="Write the depth beside the picture too, as numbers: photo-depth.npy, float32.", rich_help_panel=MODEL
        ),
    ] = False


@dataclass(frozen=True)
class CameraOptions:
    """What took the video."""

    intrinsics: Annotated[
        str | None,
        typer.Option(
            metavar="fx,fy,cx,cy",
            help="Focal lengths and centre as shares of width and height, for example 0.87,1.15,0.5,0.5.",
            rich_help_panel=CAMERA,
        ),
    ] = None
    fov: Annotated[
        float | None,
        typer.Option(min=1, max=179, metavar="DEGREES", help="Angle of view from side to side.", rich_help_panel=CAMERA),
    ] = None

    def check(self, adapt: bool) -> None:
        """Raise :class:`UsageError` for what cannot be right."""
        if not adapt and (self.intrinsics is not None or self.fov is not None):
            raise UsageError("the camera is of account with --adapt only", "Add --adapt, or leave out --intrinsics and --fov")
        if self.intrinsics is not None and self.fov is not None:
            raise UsageError("--intrinsics and --fov exclude each other", "Leave one out")
        self.numbers()

    def numbers(self) -> tuple[float, ...]:
        """The intrinsics; empty if none are given.

        Raises:
            UsageError: if they are not four numbers with positive focal lengths.
        """
        if self.intrinsics is None:
            return ()
        try:
            numbers = tuple(float(part) for part in self.intrinsics.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 4 or not all(0 < number < 100 for number in numbers):
            problem = f"'{self.intrinsics}' is not four shares fx,fy,cx,cy of width and height"
            raise UsageError(problem, "Write for example --intrinsics 0.87,1.15,0.5,0.5")
        return numbers


def depth(
    inputs: InputOptions,
    outputs: OutputOptions,
    choice: DepthOptions,
    adapt: AdaptOptions,
    camera: CameraOptions,
    engine: RuntimeOptions,
    report: ReportOptions,
) -> None:
    """Estimate the depth of the inputs, with a model that is adapted to them if it is asked for."""
    from restorekit.cli.batches import Work, run_batch

    adapt.check()
    camera.check(adapt.adapt)
    card = choose_card("depth", choice.model, choice.quality, fresh=adapt.from_scratch)
    engine = replace(engine, views=views_for("depth", choice.model, choice.quality, engine.views, card, report.quiet))
    jobs = _plan(inputs, outputs, choice.npy)  # first, as it tells which pattern matches nothing
    films = _films(inputs.inputs) if adapt.adapt else []
    steps = adapt.steps(ADAPT_STEPS)
    settings = {
        "method": card.method,
        "config": card.config,
        "weights": card.weights and card.weights.sha256,
        "colour": choice.colour and choice.colour.value,
        "npy": choice.npy,
        "precision": engine.precision.value,
        "views": engine.views,
        "camera": [camera.intrinsics, camera.fov],
        **adapt.fingerprint(steps, [str(film) for film in films]),
    }

    def recipe() -> Recipe:
        return _recipe(card, films, steps, adapt.from_scratch, camera, report.quiet)

    def judge(recipe: Recipe, adapted: Card) -> None:
        _judge(recipe, adapted, report.quiet)

    with adapting(adapt, recipe, engine.device, report.quiet, judge) as adaptation:
        name = card.name if adaptation is None else f"{card.name}-adapted"

        def prepare(view: BatchView) -> Compute:
            return _estimator(card if adaptation is None else adaptation.adapted(), choice, engine, view)

        work = Work("depth", name, settings, prepare, None if adaptation is None else adaptation.run)
        run_batch(work, jobs, inputs, outputs, report)


def _plan(inputs: InputOptions, outputs: OutputOptions, npy: bool) -> Plan:
    from restorekit import images
    from restorekit.inference.inputs import plan

    named = outputs.output is not None and images.is_image_path(outputs.output)
    made = plan(
        inputs.inputs,
        suffix=suffix_of("depth"),
        output=outputs.output,
        format=outputs.format or (None if named else "png"),
        recursive=inputs.recursive,
        videos=True,
    )
    if not npy:
        return made

    def with_numbers(job: Job) -> Job:
        if job.target is None:
            raise UsageError("numbers cannot go to standard output beside the picture", "Name an output file with -o")
        return replace(job, maps=(("depth", job.target.with_suffix(".npy")),))

    return replace(made, jobs=tuple(map(with_numbers, made.jobs)))


def _films(inputs: list[str]) -> list[Path]:
    """The inputs, if something can be learnt from their motion."""
    from restorekit.images.video import is_video_path
    from restorekit.inference.inputs import expand

    paths = expand(Path(text) for text in inputs)
    for path in paths:
        if not (path.is_dir() or is_video_path(path)):
            raise UsageError(f"{path} is no video to learn depth from", "Name a video file, or the folder of its frames")
    return paths


def _recipe(card: Card, films: list[Path], steps: int, fresh: bool, camera: CameraOptions, quiet: bool) -> Recipe:
    """The recipe for the films, after telling what is known of them."""
    from restorekit.cli.console import Console
    from restorekit.data.camera import find_camera
    from restorekit.training.adapting import adapt_to_video
    from restorekit.training.footage import intrinsics_of, survey

    console = Console(quiet)
    footage = survey(films[0])
    given = camera.numbers() or intrinsics_of(camera.fov, footage.size)
    console.say(f"{films[0]}: {footage}")
    console.say(str(find_camera(films[0], footage.size, given) if given else footage.camera))
    if footage.is_still:
        console.say(f"{films[0]}: the camera hardly moves, which teaches nothing about depth")
    return adapt_to_video(card, films, steps, footage, intrinsics=given, fresh=fresh)


def _judge(recipe: Recipe, adapted: Card, quiet: bool) -> None:
    """Tell whether the video was fit to learn from."""
    from restorekit.cli.console import Console
    from restorekit.training.footage import judge

    console = Console(quiet)
    verdict = judge(recipe, adapted)
    if verdict is None:
        return
    console.say(str(verdict))
    if not verdict.is_fit:
        console.say(f"Little was learnt from this video: {verdict.reason}")


def _estimator(card: Card, choice: DepthOptions, engine: RuntimeOptions, view: BatchView) -> Compute:
    from restorekit.inference import Restorer
    from restorekit.inference.folder import Products
    from restorekit.inference.pictures import picture_of_disparity

    restorer = Restorer.from_card(card, **engine.as_arguments())

    def compute(image: Image, job: Job) -> Products:
        result = restorer(image, maps=("disparity", "depth"), progress=view.tiles, on_note=lambda text: view.note(job, text))
        shown = picture_of_disparity(result.maps["disparity"], choice.colour and choice.colour.value)
        return Products(shown, (), {"depth": result.maps["depth"]}, result.run)

    return compute
