"""How far an image restored in tiles is from the same image restored whole, as a Markdown table.

    python benchmarks/tiling.py
    python benchmarks/tiling.py --models histoformer-compact --size 576 --tiles 240 --image examples/lighthouse.jpg

A model is a name of `restorekit models`, templates included, or the path of a card. A template has fresh weights, with seed 0: it
shows what its structure does, not what training makes of it.

A method of which tiles are not exact by themselves has a row for each choice, and "used" marks the one that the engine takes:

- exact: tiles give the whole's answer at this overlap.
- local: a pixel is out of reach of what is far away, but not within the overlap.
- own: every tile takes its own statistics and judges for itself.
- measured: what the method measures of the whole image reaches every tile.
- anchored: tiles are given the tone of the network's answer for a reduced copy of the whole image.

- PSNR: of the tiled answer, with the whole answer as its target, in dB; floats in [0, 1], no border crop.
- seam: the mean step of the difference between both onto the lines where tiles start, end or fade, over that onto all other
  lines. About 1 is no seam. It sees steps from one pixel to the next, and no tone that changes within a fade:
- tone: the largest difference in tone between two tiles side by side, in levels of 8 bits: of the mean of tiled minus whole
  where each weighs most, in one colour.

Tiles that are too small for a method are left out.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from restorekit import images
from restorekit.inference import Restorer
from restorekit.inference.tiling import TilePlan, plan_tiles
from restorekit.methods import Method, Tiling, get_method, list_methods
from restorekit.zoo import list_models, list_templates, load_card, load_network

WHOLE = 2**20
"""A tile no image here is longer than."""

CELL = 64
"""Side of the cells that a method is anchored in for the table, where the engine does not anchor it, in pixels."""

log = Console(stderr=True, emoji=False)


@dataclass(frozen=True)
class Figures:
    """One choice for one model, with tiles of one size; see the module."""

    model: str
    tile: tuple[int, int]
    overlap: int
    choice: str
    used: bool
    psnr: float
    seam: float
    tone: float

    def row(self) -> list[str]:
        return [
            self.model,
            f"{self.tile[1]} x {self.tile[0]}",
            str(self.overlap),
            self.choice,
            "yes" if self.used else "",
            f"{self.psnr:.1f}",
            f"{self.seam:.2f}",
            f"{self.tone:.1f}",
        ]


@dataclass(frozen=True)
class Choice:
    """A way to make tiles agree: whether the method measures the whole image, and the cells its tiles are anchored in."""

    measures: bool
    anchor: int

    def name(self, plan: TilePlan, tiling: Tiling, taken: Choice) -> str:
        if self.anchor:
            return "anchored"
        if self.measures:
            return "measured, exact" if plan.exact else "measured"
        if taken.measures or tiling.halo is None:
            return "own"
        return "exact" if plan.exact else "local"

    def of(self, method: Method[Any]) -> Method[Any]:
        """The same method, but for this."""

        def tiling(own: Method[Any], config: Any) -> Tiling:
            return replace(method.tiling(config), anchor=self.anchor)

        measure = type(method).measure if self.measures else Method.measure
        kind: Any = type("Chosen", (type(method),), {"tiling": tiling, "measure": measure})
        return kind()


def choices(taken: Choice, plan: TilePlan) -> list[Choice]:
    """What there is beside the choice that the engine takes, and that itself."""
    if taken.measures:
        return [Choice(False, 0), taken]
    return [taken] if plan.exact else [Choice(False, 0), Choice(False, taken.anchor or CELL)]


def compare(model: str, picture: images.Image, tiles: Sequence[int]) -> list[Figures]:
    """A model's answers in tiles of each size against its answer for the whole picture."""
    import torch

    torch.manual_seed(0)
    card = load_card(model)
    method, config = card.restoration_method(), card.parsed_config()
    network = method.build(config) if card.is_template else load_network(card)
    extras = {name: value[0, 0] for name, value in method.example_extras(picture.height, picture.width).items()}

    def answer(how: Method[Any], tile: int) -> NDArray[np.float32]:
        restorer = Restorer(how, config, network, device="cpu", precision="fp32", tile=tile)
        return restorer(picture, **extras).image.pixels

    tiling = method.tiling(config)
    taken = Choice(type(method).measure is not Method.measure, tiling.anchor)
    whole = answer(method, WHOLE)
    found = []
    for tile in (tile for tile in tiles if tile >= tiling.minimum):
        plan = plan_tiles((picture.height, picture.width), tiling, max_side=tile)
        if plan.is_whole:
            continue
        for choice in choices(taken, plan):
            cut = answer(choice.of(method), tile)
            found.append(
                Figures(
                    model,
                    plan.tile,
                    plan.overlap,
                    choice.name(plan, tiling, taken),
                    choice == taken,
                    psnr(cut, whole),
                    seam(cut - whole, plan),
                    tone(cut - whole, plan),
                )
            )
    return found


def psnr(values: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """In dB; infinite for the same values."""
    error = float(np.square(values.astype(np.float64) - target).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def seam(difference: NDArray[np.float32], plan: TilePlan) -> float:
    """The mean step of ``(H, W, C)`` onto the lines where a tile or fade starts or ends, over that onto all others."""
    borders, others = [], []
    for axis, spans in ((0, plan.rows), (1, plan.columns)):
        steps = abs(np.diff(difference, axis=axis)).mean((1 - axis, 2))
        lines = {line for span in spans for line in (span.start, span.stop, span.first, span.last)}
        at = np.subtract(sorted(lines - {0, difference.shape[axis]}), 1).astype(int)
        borders.extend(steps[at])
        others.extend(np.delete(steps, at))
    usual = float(np.mean(others))
    return float(np.mean(borders)) / usual if usual else 1.0


def tone(difference: NDArray[np.float32], plan: TilePlan) -> float:
    """The largest step between the mean colours ``(H, W, C)`` has where one tile weighs most and where its neighbour does, in
    255ths.
    """
    rows, columns = (
        [slice(span.first + span.fade_in // 2, span.last - span.fade_out // 2) for span in spans]
        for spans in (plan.rows, plan.columns)
    )
    means = np.array([[difference[row, column].mean((0, 1)) for column in columns] for row in rows])
    steps = (abs(np.diff(means, axis=axis)).ravel() for axis in (0, 1))
    return 255 * float(np.concatenate([*steps, [0.0]]).max())


def example(size: int) -> images.Image:
    """Soft colours, edges and grain, ``(size, size, 3)``, in [0.1, 0.9]."""
    import cv2

    generator = np.random.default_rng(0)
    soft = cv2.resize(generator.random((9, 9, 3), np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    blocks = cv2.resize(generator.random((33, 33, 3), np.float32), (size, size), interpolation=cv2.INTER_NEAREST)
    grain = generator.random((size, size, 3), np.float32)
    return images.Image(np.clip(0.1 + 0.8 * (0.5 * soft + 0.4 * blocks + 0.1 * grain), 0.1, 0.9))


def cut_models() -> list[str]:
    """Every shipped model, and the template `compact` of every method without one, as far as images are cut for it."""
    names = [*list_models(), *(card.name for card in list_templates())]
    wanted = [f"{method}-compact" for method in list_methods()]
    cut = {name for name in wanted if not _sees_whole(name.removesuffix("-compact"))}
    return [name for name in names if name in cut or (name in list_models() and not _sees_whole(load_card(name).method))]


def _sees_whole(name: str) -> bool:
    method = get_method(name)
    return method.tiling(method.presets["compact"]).whole


def markdown(found: Sequence[Figures]) -> str:
    head = ["model", "tile", "overlap", "choice", "used", "PSNR, dB", "seam", "tone"]
    rows = [head, ["---", "---", "---:", "---", "---", "---:", "---:", "---:"], *(figures.row() for figures in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=cut_models(), metavar="NAME")
    parser.add_argument("--size", type=int, default=1024, metavar="PIXELS", help="side of the picture")
    parser.add_argument("--tiles", type=int, nargs="+", default=[256, 512], metavar="PIXELS", help="longest sides of tiles")
    parser.add_argument("--image", type=Path, metavar="FILE", help="a picture of your own, its middle of --size")
    arguments = parser.parse_args()
    picture = example(arguments.size)
    if arguments.image:
        pixels = images.to_float(images.read(arguments.image).pixels)
        top, left = (max(0, (side - arguments.size) // 2) for side in pixels.shape[:2])
        picture = images.Image(pixels[top : top + arguments.size, left : left + arguments.size])
    found = []
    for model in arguments.models:
        log.print(model, highlight=False)
        found += compare(model, picture, arguments.tiles)
    print(markdown(found))
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, {picture.width} x {picture.height}")


if __name__ == "__main__":
    main()
