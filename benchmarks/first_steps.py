"""Whether recipes learn from their first steps, as a Markdown table: the loss of pairs never trained on, before and after.

    python benchmarks/first_steps.py
    python benchmarks/first_steps.py --recipes infwide-compact deeprft-compact --steps 30 --set data.clean='["photographs"]'

The loss of a single step says little: another batch is easier or harder. So the same held-back batches, of the recipe's own
degradation, are scored with the weights before and after the steps. Ramps of an objective count as they end. Training is on
the photographs of ``examples/``, or on drawn video, unless ``--set`` says otherwise.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from restorekit.training.loop import Hardware, Trainer
from restorekit.training.recipe import Recipe, load_recipe
from restorekit.training.report import Reporter

EXAMPLES = [Path(__file__).parent.parent / "examples" / f"{name}.jpg" for name in ("circuits", "kitten", "lighthouse")]
FAR = 10_000_000
"""Number of the first held-back batch: beyond every training's last step."""


@dataclass(frozen=True)
class Figures:
    """What a few steps brought.

    Attributes:
        before: the loss of the held-back batches with the first weights.
        after: with the last.
        better: how many of the batches have a lower loss.
        batches: how many there are.
        seconds: that loading the data and the steps took, scoring not counted.
    """

    before: float
    after: float
    better: int
    batches: int
    seconds: float


def measure(recipe: Recipe, batches: int) -> Figures:
    """Take the steps of ``recipe`` and score ``batches`` held-back batches before and after them."""
    began = time.perf_counter()
    trainer = Trainer(recipe, None, False, Hardware("cpu"), Reporter())
    seconds = time.perf_counter() - began
    held_back = [trainer.source.batch(FAR + i, *recipe.train.size_at(0)) for i in range(batches)]
    before = losses(trainer, held_back)
    began = time.perf_counter()
    for step in range(recipe.train.steps):
        trainer.learner.learn(trainer.source.batch(step, *recipe.train.size_at(step)), step)
    seconds += time.perf_counter() - began
    after = losses(trainer, held_back)
    better = sum(b < a for a, b in zip(before, after, strict=True))
    return Figures(math.fsum(before) / batches, math.fsum(after) / batches, better, batches, seconds)


@torch.no_grad()
def losses(trainer: Trainer, batches: Sequence) -> list[float]:
    """The sum of the objective's terms for each batch, in training mode, with the same random draws every time."""
    statistics = {name: kept.clone() for name, kept in trainer.learner.network.named_buffers()}
    found = []
    for index, batch in enumerate(batches):
        torch.manual_seed(index)
        found.append(float(torch.stack(list(trainer.learner.objective(trainer.learner.wrapped, batch).values())).sum()))
    for name, kept in trainer.learner.network.named_buffers():
        kept.copy_(statistics[name])
    return found


def main() -> None:
    """Measure what the command line asks for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = sorted(path.stem for path in (Path(__file__).parent.parent / "restorekit" / "recipes").glob("*-compact.toml"))
    parser.add_argument("--recipes", nargs="+", default=names, help="names or paths; all compact ones if left out")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batches", type=int, default=8, help="held-back batches")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every recipe")
    arguments = parser.parse_args()
    print("| recipe | loss before | after | lower in | seconds |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for path in EXAMPLES:
            shutil.copy(path, folder)
        for name in arguments.recipes:
            settings = [*on_examples(load_recipe(name), Path(folder)), f"train.steps={arguments.steps}", *arguments.set]
            found = measure(load_recipe(name, settings), arguments.batches)
            row = f"{found.before:.5g} | {found.after:.5g} | {found.better} of {found.batches} | {found.seconds:.0f}"
            print(f"| {name} | {row} |", flush=True)


def on_examples(recipe: Recipe, folder: Path) -> list[str]:
    """Settings by which a recipe trains on what the repository holds, without validation."""
    if recipe.data.videos:
        return ["data.videos=[]", "data.validation_depth=[]"]
    return [f'data.clean=["{folder.as_posix()}"]', "data.halve=[]", "data.validation=[]", "data.validation_pairs=[]"]


if __name__ == "__main__":
    main()
