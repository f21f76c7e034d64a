"""How much better photographs become: the figures that README and cards quote.

    python benchmarks/quality.py --clean data/val/clean/set14 data/val/clean/mcmaster18

Every clean photograph is blurred with a fixed seed, restored as ``restorekit deblur`` would, and scored: PSNR and SSIM over RGB,
8 bit, no border crop. It is also restored as it is, which should leave it alone. ``--pairs INPUT TARGET`` scores photographs that
are blurred already.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from restorekit import Restorer
from restorekit.data import SyntheticSet, find_images
from restorekit.data.clean import load_rgb
from restorekit.degradations import MotionBlur, MotionBlurSettings
from restorekit.metrics import psnr, ssim
from restorekit.settings import from_table
from restorekit.training import load_recipe
from restorekit.zoo import default_card, load_card

KINDS = ("shake", "turn", "object")


@dataclass(frozen=True)
class Row:
    """One photograph's scores: PSNR in dB and SSIM, before and after."""

    name: str
    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def gain(self) -> float:
        return self.after[0] - self.before[0]


def to_array(image: torch.Tensor) -> np.ndarray:
    return (image[0].clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def score(image: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].double() / 255 for x in (image, target))
    return float(psnr(a, b).clamp_max(100)), float(ssim(a, b))


def blurred(restorer: Restorer, folders: list[Path], settings: MotionBlurSettings, seed: int) -> list[Row]:
    data, rows = SyntheticSet(folders, MotionBlur(settings), seed), []
    for index in range(len(data)):
        pair = data[index]
        image, target = to_array(pair.input), to_array(pair.target)
        rows.append(Row(data.paths[index].stem, score(image, target), score(restorer(image).to_array(), target)))
    return rows


def sharp(restorer: Restorer, folders: list[Path]) -> list[Row]:
    rows = []
    for path in find_images(folders):
        image = load_rgb(path).permute(1, 2, 0).numpy()
        rows.append(Row(path.stem, (100.0, 1.0), score(restorer(image).to_array(), image)))
    return rows


def pairs(restorer: Restorer, inputs: Path, targets: Path) -> list[Row]:
    partner = {path.stem: path for path in find_images([targets])}
    rows = []
    for path in find_images([inputs]):
        image, target = (load_rgb(p).permute(1, 2, 0).numpy() for p in (path, partner[path.stem]))
        rows.append(Row(path.stem, score(image, target), score(restorer(image).to_array(), target)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name or path of a card; the default for deblur if left out")
    parser.add_argument("--clean", type=Path, nargs="+", default=[], help="folders of clean photographs")
    parser.add_argument(
        "--pairs", type=Path, nargs=2, metavar=("INPUT", "TARGET"), help="folders of blurred and sharp photographs"
    )
    parser.add_argument("--recipe", default="multi-output-compact", help="recipe whose degradation is used")
    parser.add_argument("--seed", type=int, default=2022, help="fixes the blur")
    parser.add_argument("--json", type=Path, help="write all figures here too")
    arguments = parser.parse_args()

    card = load_card(arguments.model) if arguments.model else default_card("deblur")
    restorer = Restorer.from_card(card)
    settings = from_table(MotionBlurSettings, load_recipe(arguments.recipe).degradation, arguments.recipe)
    results: dict[str, list[Row]] = {}
    if arguments.clean:
        mixed = replace(settings, sharp=0.0)
        results["motion blur, mixed"] = blurred(restorer, arguments.clean, mixed, arguments.seed)
        for kind in KINDS:
            shares = {name: float(name == kind) for name in ("sharp", *KINDS)}
            results[f"only {kind}"] = blurred(restorer, arguments.clean, replace(settings, **shares), arguments.seed)
        results["sharp, left alone"] = sharp(restorer, arguments.clean)
    if arguments.pairs:
        results[str(arguments.pairs[0])] = pairs(restorer, *arguments.pairs)

    table = Table(
        "set", "images", "input dB", "output dB", "gain dB", "worst gain", "SSIM", "", title=f"{card.name}, seed {arguments.seed}"
    )
    for name, rows in results.items():
        before, after = (np.mean([getattr(row, side) for row in rows], axis=0) for side in ("before", "after"))
        worst = min(rows, key=lambda row: row.gain)
        figures = [f"{before[0]:.2f}", f"{after[0]:.2f}", f"{after[0] - before[0]:+.2f}", f"{worst.gain:+.2f} ({worst.name})"]
        if name.startswith("sharp"):
            lowest = min(rows, key=lambda row: row.after[0])
            figures[0::2], figures[3] = ["-", "-"], f"lowest {lowest.after[0]:.2f} ({lowest.name})"
        table.add_row(name, str(len(rows)), *figures, f"{before[1]:.4f}", f"{after[1]:.4f}")
    Console(width=150).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({name: [vars(row) for row in rows] for name, rows in results.items()}, indent=1))


if __name__ == "__main__":
    main()
