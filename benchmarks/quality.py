"""How much better photographs become: the figures that README and cards quote.

    python benchmarks/quality.py --clean data/val/clean/set14 data/val/clean/mcmaster18

For every task that has a default model, clean photographs (by default those of ``examples/``) are degraded with a fixed seed,
restored by the model, as ``restorekit`` would, and by classical methods, and scored: PSNR and SSIM over RGB, 8 bit, no border
crop. Deblurring models also get sharp photographs, which they should leave alone. ``--pairs INPUT TARGET`` scores photographs
that are degraded already. The table is Markdown; ``--report FOLDER`` writes a page to look at for every set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from restorekit import Restorer
from restorekit.data import SyntheticSet, find_images
from restorekit.data.clean import load_rgb
from restorekit.degradations import get_degradation
from restorekit.errors import CardError, UnknownNameError
from restorekit.evaluation import (
    INPUT,
    Gallery,
    Report,
    Sample,
    Subject,
    as_it_is,
    evaluate_samples,
    find_pairs,
    from_baseline,
    from_contest,
    from_restorer,
    report_page,
    write_text,
)
from restorekit.inference import Contest
from restorekit.inference.ensemble import VIEWS
from restorekit.training import load_recipe
from restorekit.training.recipe import shipped_recipes
from restorekit.zoo import Card, contenders, load_card

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass(frozen=True)
class Trial:
    """A degradation, the settings in which it differs from the model's recipe, and what the table calls it."""

    name: str
    degradation: str
    settings: Mapping[str, Any] = field(default_factory=dict)


def only(kind: str) -> dict[str, float]:
    """Settings of motion blur of one kind."""
    return {name: float(name == kind) for name in ("sharp", "shake", "turn", "object")}


@dataclass(frozen=True)
class Task:
    """What a task is tried with, and the classical methods for it.

    Attributes:
        leaves_alone: what clean photographs are called, for a model that should leave them alone.
        keeps: what else it should leave as it is.
        task: the task of the zoo, if it is called otherwise.
        inputs: what the model is given beside the photograph.
    """

    trials: tuple[Trial, ...]
    baselines: tuple[str, ...] = ()
    leaves_alone: str = ""
    keeps: tuple[Trial, ...] = ()
    task: str = ""
    inputs: tuple[str, ...] = ()


# Of degradations that recipes have changed in the course of time the settings stand here, so that figures compare.
TASKS = {
    "deblur": Task(
        (
            Trial("motion blur, mixed", "motion", {"sharp": 0.0}),
            Trial("only shake", "motion", only("shake")),
            Trial("only turn", "motion", only("turn")),
            Trial("only object", "motion", only("object")),
        ),
        ("wiener", "richardson-lucy"),
        "sharp, left alone",
    ),
    "deblur-kernel": Task(
        (Trial("night, known kernel", "lowlight", {"length": [5, 27], "gain": [4, 13], "tangled": 0.0}),),
        (*(f"wiener:{balance}" for balance in (0.1, 0.3, 1, 3)), *(f"richardson-lucy:{steps}" for steps in (3, 10, 30))),
        task="deblur",
        inputs=("psf",),
    ),
    "denoise": Task(
        (Trial("camera noise", "noise", {"iso": [500, 12_800], "luma": [-1.0, -0.05], "plain": 0.0}),),
        ("nlm", "tv"),
        "clean, left alone",
    ),
    "derain": Task((Trial("rain", "rain"),), ("tv",), "clear, left alone"),
    "desnow": Task((Trial("snow", "snow"),), ("tv",), "clear, left alone"),
    "dehaze": Task((Trial("haze", "haze"),), ("dark-channel",)),
    "deraindrop": Task((Trial("raindrops", "raindrop"),), ("tv",), "dry, left alone"),
    "dereflect": Task(
        (Trial("reflection", "reflection"),),
        ("tv",),
        "no pane, left alone",
        (Trial("no pane, shaken, left alone", "motion", {"sharp": 0.0}),),
    ),
    "weather": Task(
        (Trial("rain", "rain"), Trial("snow", "snow"), Trial("haze", "haze"), Trial("raindrops", "raindrop")),
        ("dark-channel",),
        "clear, left alone",
    ),
}


def to_array(image: torch.Tensor) -> NDArray[np.uint8]:
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def degraded(trial: Trial, folders: Sequence[Path], recipe: str, seed: int) -> Iterator[Sample]:
    table = {**recipe_settings(recipe, trial.degradation), **trial.settings}
    data = SyntheticSet(folders, get_degradation(trial.degradation, table, whole=not trial.settings), seed)
    for index, name in enumerate(unique_names(data.paths)):
        pair = data[index]
        psf = pair.extras["psf"][0, 0].numpy() if "psf" in pair.extras else None
        yield Sample(name, to_array(pair.input), to_array(pair.target), psf)


def untouched(folders: Sequence[Path]) -> Iterator[Sample]:
    paths = find_images(folders)
    for path, name in zip(paths, unique_names(paths), strict=True):
        image = load_rgb(path).permute(1, 2, 0).numpy()
        yield Sample(name, image, image)


def kept(trial: Trial, folders: Sequence[Path], recipe: str, seed: int) -> Iterator[Sample]:
    """What a degradation has made of photographs, as what they should stay."""
    return (replace(sample, target=sample.image) for sample in degraded(trial, folders, recipe, seed))


def pairs(inputs: Path, targets: Path) -> Iterator[Sample]:
    for pair in find_pairs(inputs, targets):
        yield Sample(pair.name, *(load_rgb(path).permute(1, 2, 0).numpy() for path in pair.files))


def unique_names(paths: Sequence[Path]) -> list[str]:
    """The paths without their extensions, each with only so many folders that no two are alike."""
    ends = [path.with_suffix("").parts for path in paths]

    def shortened(parts: tuple[str, ...]) -> str:
        for count in range(1, len(parts)):
            if sum(other[-count:] == parts[-count:] for other in ends) == 1:
                return "/".join(parts[-count:])
        return "/".join(parts)

    return [shortened(parts) for parts in ends]


def recipe_settings(recipe: str, degradation: str) -> Mapping[str, Any]:
    """The recipe's settings of a degradation, where it has any."""
    if recipe not in shipped_recipes() and not recipe.endswith(".toml"):
        return {}
    loaded = load_recipe(recipe)
    if loaded.data.degradation == degradation:
        return loaded.degradation
    part = loaded.degradation.get(degradation)
    return part if isinstance(part, Mapping) else {}


def rows(title: str, report: Report) -> Iterator[list[str]]:
    """A line for each subject: means, the interval of the gain, and the image that gained least. Equal images count as 100 dB."""
    count = str(len(report.images))
    for subject in report.subjects:
        psnr, ssim = (np.mean([min(s.values[m], 100.0) for s in report.of(subject)]) for m in ("psnr", "ssim"))
        line = [title, count, subject, f"{psnr:.2f}", "", "", "", f"{ssim:.4f}"]
        if subject != INPUT:
            difference, (name, worst) = report.difference(subject), report.worst(subject, 1)[0]
            line[4:7] = [f"{difference.mean:+.2f}", f"{difference.low:+.2f} to {difference.high:+.2f}", f"{worst:+.2f} ({name})"]
        yield line


def rows_alone(title: str, report: Report) -> Iterator[list[str]]:
    """The same for photographs that had nothing wrong: how near they stay."""
    for subject in report.subjects:
        if subject != INPUT:
            scores = {s.name: min(s.psnr, 100.0) for s in report.of(subject)}
            lowest = min(scores, key=lambda name: scores[name])
            psnr, ssim = np.mean(list(scores.values())), np.mean([s.ssim for s in report.of(subject)])
            told = f"lowest {scores[lowest]:.2f} ({lowest})"
            yield [title, str(len(scores)), subject, f"{psnr:.2f}", "", "", told, f"{ssim:.4f}"]


def cards(model: str | None, tasks: Sequence[str], console: Console) -> Iterator[tuple[str, list[Card]]]:
    """What is measured at which task: a model, or several of which each photograph gets one."""
    if model:
        card = load_card(model)
        yield from ((task, [card]) for task in tasks or card.tasks)
        return
    for task in tasks or TASKS:
        try:
            chosen = TASKS[task]
            found = contenders(chosen.task or task, inputs=chosen.inputs)
            if set(found[0].restoration_method().extra_inputs) == set(chosen.inputs):
                yield task, found
        except (UnknownNameError, CardError):
            console.print(f"{task}: no default model, passed over")


def subject(cards: Sequence[Card], **options: Any) -> Subject:
    """What a verb restores with."""
    if len(cards) == 1:
        return from_restorer(Restorer.from_card(cards[0], **options))
    return from_contest(Contest.from_cards(cards, **options))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name or path of a card; the default of each task if left out")
    parser.add_argument("--task", nargs="+", choices=TASKS, default=[], help="only these; all that have a model if left out")
    parser.add_argument("--clean", type=Path, nargs="+", default=[], help="folders of clean photographs")
    parser.add_argument(
        "--pairs", type=Path, nargs=2, metavar=("INPUT", "TARGET"), help="folders of degraded and clean photographs"
    )
    parser.add_argument("--recipe", help="recipe whose settings of the degradation are used; the model's own if left out")
    parser.add_argument(
        "--kernels", type=Path, nargs="+", default=[], help="files of blur kernels for the night, in place of invented ones"
    )
    parser.add_argument("--views", type=int, default=1, choices=VIEWS, help="mirror images whose mean is taken")
    parser.add_argument("--precision", default="fp32", help="of the models")
    parser.add_argument("--no-baselines", action="store_true", help="measure only the model")
    parser.add_argument("--seed", type=int, default=2022, help="fixes what happens to the photographs")
    parser.add_argument("--json", type=Path, help="write all figures here too")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="write a page for each set here")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    console = Console(width=180, stderr=True, emoji=False)
    table = Table(
        "set", "images", "", "PSNR", "gain", "95 % interval", "worst gain", "SSIM",
        box=MARKDOWN, title=f"seed {arguments.seed}, RGB, border 0, 8-bit",
    )  # fmt: skip
    clean = arguments.clean or ([] if arguments.pairs else example_photographs())
    results: dict[str, Report] = {}

    def measure(title: str, samples: Iterator[Sample], subjects: Sequence[Subject]) -> Report:
        gallery = Gallery() if arguments.report else None
        report = evaluate_samples(samples, subjects, gallery=gallery)
        model = subjects[1].name
        results[f"{model}: {title}"] = report
        if gallery is not None:
            name = f"{model}-{title}".replace(", ", "-").replace(" ", "-")
            write_text(report_page(report, gallery.show(), title=f"{model}: {title}"), arguments.report / f"{name}.html")
        return report

    for task, (card, *others) in cards(arguments.model, arguments.task, console):
        names = () if arguments.no_baselines else TASKS[task].baselines
        model = subject([card, *others], precision=arguments.precision, views=arguments.views)
        subjects = [as_it_is(INPUT), model, *map(from_baseline, names)]
        recipe = arguments.recipe or str(card.training.get("recipe", ""))
        trials = TASKS[task].trials
        if arguments.kernels:
            own = {"kernels": list(map(str, arguments.kernels))}
            trials = tuple(replace(trial, settings={**trial.settings, **own}) for trial in trials)
        for trial in trials if clean else ():
            report = measure(trial.name, degraded(trial, clean, recipe, arguments.seed), subjects)
            for line in rows(trial.name, report):
                table.add_row(*line)
        if alone := TASKS[task].leaves_alone if clean else "":
            for line in rows_alone(alone, measure(alone, untouched(clean), subjects[:2])):
                table.add_row(*line)
        for trial in TASKS[task].keeps if clean else ():
            samples = kept(trial, clean, recipe, arguments.seed)
            for line in rows_alone(trial.name, measure(trial.name, samples, subjects[:2])):
                table.add_row(*line)
        if arguments.pairs:
            title = str(arguments.pairs[0])
            for line in rows(title, measure(title, pairs(*arguments.pairs), subjects)):
                table.add_row(*line)
    Console(width=180, emoji=False).print(table)
    if arguments.json:
        text = json.dumps({title: report.to_dict() for title, report in results.items()}, indent=1, allow_nan=False)
        write_text(text, arguments.json)


def example_photographs() -> list[Path]:
    return [path for path in sorted(EXAMPLES.glob("*.jpg")) if not path.stem.endswith("-blurred")]


if __name__ == "__main__":
    main()
