"""What each part of a network is worth: it is silenced, and photographs are restored without it.

    python benchmarks/ablation.py --model histoformer-compact --clean data/val/clean/set14 --degradation rain raindrop
    python benchmarks/ablation.py --model multi-output-compact --depth 2

A part is a module, down to ``--depth`` in the network's tree, that is called. One whose answer has the shape of what it is given
is passed by; of any other, zeros are given on: the network does without what it adds. Clean photographs (by default those of
``examples/``) are degraded with a fixed seed, cropped, and restored whole, in float32.

- parameters, seconds: the part's share of the network's. Parts lie within one another, so that shares add up to more than 1.
- the others: PSNR of all, in dB, over RGB, with 8 bits; then how much is lost without the part. What loses nothing has learnt
  nothing that counts: too few steps, a dead branch, or one that others outshout.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from restorekit import Restorer
from restorekit.data import SyntheticSet
from restorekit.degradations import get_degradation
from restorekit.evaluation import Sample, Subject, evaluate_samples, from_restorer, write_text
from restorekit.methods import get_method
from restorekit.training import load_recipe
from restorekit.training.recipe import shipped_recipes
from restorekit.zoo import Card, load_card, load_network

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

WORKED = {"motion": {"sharp": 0.0}}
"""What keeps photographs from being left as they are, which any silence would seem to improve."""


@dataclass
class Part:
    """A module, its shares of the network, and how many dB are lost without it, by degradation."""

    name: str
    parameters: float
    seconds: float
    lost: dict[str, float] = field(default_factory=dict)


def parts_of(network: nn.Module, depth: int) -> dict[str, nn.Module]:
    """Modules with weights, down to ``depth`` names below the network, in its order."""
    named = network.named_modules()
    return {name: m for name, m in named if name and name.count(".") < depth and next(m.parameters(), None) is not None}


def silenced(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    """A forward hook: what the module was given if that is of the same shape as its answer, else zeros."""
    if isinstance(output, Tensor):
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].shape == output.shape:
            return inputs[0]
        return torch.zeros_like(output)
    if isinstance(output, tuple):
        return tuple(silenced(module, (), value) for value in output)
    return output


@contextmanager
def without(module: nn.Module) -> Iterator[None]:
    hook = module.register_forward_hook(silenced)
    try:
        yield
    finally:
        hook.remove()


def seconds_of(modules: Mapping[str, nn.Module], subject: Subject, samples: Sequence[Sample]) -> tuple[dict[str, float], float]:
    """How long each module took for the samples, those that were never called left out, and how long all of it took."""
    spent: dict[str, float] = {}
    started: dict[str, float] = {}
    hooks = []
    for name, module in modules.items():

        def before(_module: nn.Module, _inputs: Any, name: str = name) -> None:
            started[name] = perf_counter()

        def after(_module: nn.Module, _inputs: Any, _output: Any, name: str = name) -> None:
            spent[name] = spent.get(name, 0.0) + perf_counter() - started[name]

        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    begun = perf_counter()
    evaluate_samples(iter(samples), [subject])
    total = perf_counter() - begun
    for hook in hooks:
        hook.remove()
    return spent, total


def mean_psnr(subject: Subject, samples: Sequence[Sample]) -> float:
    report = evaluate_samples(iter(samples), [subject])
    return float(np.mean([min(score.psnr, 100.0) for score in report.of(subject.name)]))


def ablate(card: Card, sets: Mapping[str, Sequence[Sample]], depth: int) -> tuple[dict[str, float], list[Part]]:
    """PSNR of the whole network by set, and its parts."""
    network = load_network(card)
    restorer = Restorer(get_method(card.method), card.parsed_config(), network, precision="fp32", device="cpu", name=card.name)
    subject, modules = from_restorer(restorer), parts_of(network, depth)
    everything = [sample for samples in sets.values() for sample in samples]
    mean_psnr(subject, everything[:1])  # what only the first pass does
    spent, total = seconds_of(modules, subject, everything)
    whole = {name: mean_psnr(subject, samples) for name, samples in sets.items()}
    weights = sum(p.numel() for p in network.parameters())
    found = []
    for name, seconds in spent.items():
        share = sum(p.numel() for p in modules[name].parameters()) / weights
        part = Part(name, share, seconds / total)
        with without(modules[name]):
            part.lost = {kind: whole[kind] - mean_psnr(subject, samples) for kind, samples in sets.items()}
        found.append(part)
    return whole, sorted(found, key=lambda part: list(modules).index(part.name))


def samples_of(kind: str, settings: Mapping[str, Any], folders: Sequence[Path], count: int, side: int, seed: int) -> list[Sample]:
    """Crops from the middle of ``count`` photographs, spread over all there are."""
    data = SyntheticSet(folders, get_degradation(kind, settings, whole=True), seed)
    samples = []
    for index in np.unique(np.linspace(0, len(data) - 1, count).round().astype(int)):
        pair = data[int(index)]
        given, target = (_middle(image, side) for image in (pair.input, pair.target))
        psf = pair.extras["psf"][0, 0].numpy() if "psf" in pair.extras else None
        samples.append(Sample(f"{kind}-{index}", given, target, psf))
    return samples


def _middle(image: Tensor, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    top, left = (max(0, size - side) // 2 for size in image.shape[-2:])
    crop = image[0, :, top : top + side, left : left + side]
    return (crop.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def example_photographs() -> list[Path]:
    return [path for path in sorted(EXAMPLES.glob("*.jpg")) if not path.stem.endswith("-blurred")]


def kinds_of(card: Card, wanted: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The degradations asked for, or all that the card's recipe knows, with the recipe's settings."""
    name = str(card.training.get("recipe", ""))
    if name not in shipped_recipes():
        return {kind: WORKED.get(kind, {}) for kind in wanted}
    recipe = load_recipe(name)
    every = [kind.strip() for kind in recipe.data.degradation.split("|")]
    own = recipe.degradation
    kinds = wanted or [kind for kind in dict.fromkeys(every) if "+" not in kind and kind != "untouched"]
    tables = {kind: own if every == [kind] else own.get(kind, {}) for kind in kinds}
    return {kind: {**table, **WORKED.get(kind, {})} for kind, table in tables.items()}


def markdown(whole: Mapping[str, float], parts: Sequence[Part], title: str) -> Table:
    """A line for the network, then one for each part."""
    table = Table("part", "parameters", "seconds", *whole, box=MARKDOWN, title=title)
    table.add_row("all", "1.00", "1.00", *(f"{value:.2f}" for value in whole.values()))
    for part in parts:
        lost = (f"{0 - part.lost[kind]:+.2f}" for kind in whole)
        table.add_row(f"without {part.name}", f"{part.parameters:.2f}", f"{part.seconds:.2f}", *lost)
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name or path of a card")
    parser.add_argument("--degradation", nargs="+", default=[], help="kinds of degradation; all of the card's recipe if left out")
    parser.add_argument("--clean", type=Path, nargs="+", default=example_photographs(), help="folders of clean photographs")
    parser.add_argument("--images", type=int, default=8, help="photographs of each kind")
    parser.add_argument("--crop", type=int, default=256, help="side of the crops, in pixels")
    parser.add_argument("--depth", type=int, default=1, help="how far down parts are taken apart")
    parser.add_argument("--seed", type=int, default=2022, help="fixes what happens to the photographs")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    chosen = parser.parse_args(arguments)
    card = load_card(chosen.model)
    kinds = kinds_of(card, chosen.degradation)
    if not kinds:
        parser.error("the card's recipe is not one that ships: name degradations with --degradation")
    sets = {
        kind: samples_of(kind, settings, chosen.clean, chosen.images, chosen.crop, chosen.seed)
        for kind, settings in kinds.items()
    }
    whole, parts = ablate(card, sets, chosen.depth)
    title = f"{card.name}: {chosen.images} x {chosen.crop} x {chosen.crop}, seed {chosen.seed}, PSNR in dB"
    Console(width=160, emoji=False).print(markdown(whole, parts, title))
    if chosen.json:
        write_text(json.dumps({"whole": whole, "parts": [asdict(part) for part in parts]}, indent=1), chosen.json)


if __name__ == "__main__":
    main()
