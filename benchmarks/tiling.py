"""How far an image restored in tiles is from the same image restored whole, as a Markdown table.

    python benchmarks/tiling.py
    python benchmarks/tiling.py --models histoformer-compact --size 1024 --tiles 256 512 --image photo.png

A model is a name of `restorekit models`, templates included, or the path of a card. A template has fresh weights, with seed 0: it
shows what its structure does, not what training makes of it.

- what: how tiles come near the whole: "exact" at this overlap; "measured", where statistics of the whole image reach every tile;
  "local", where a pixel is out of reach of what is far away, but not within the overlap; "global", where nothing helps but large
  tiles.
- PSNR: of the tiled answer, with the whole answer as its target, in dB; floats in [0, 1], no border crop. Where statistics are
  measured, the next column says what it is if every tile takes its own.
- seam: the mean step of the difference between both onto the lines where tiles start, end or fade, over that onto all other
  lines. About 1 is no seam.

Tiles that are too small for a method are left out.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from restorekit import images
from restorekit.inference import Restorer
from restorekit.inference.tiling import Plan, plan_tiles
from restorekit.methods import Method, get_method, list_methods
from restorekit.zoo import list_models, list_templates, load_card, load_network

WHOLE = 2**20
"""A tile no image here is longer than."""

log = Console(stderr=True)


@dataclass(frozen=True)
class Figures:
    """One model with tiles of one size; see the module."""

    model: str
    tile: tuple[int, int]
    overlap: int
    what: str
    psnr: float
    own: float | None
    seam: float

    def row(self) -> list[str]:
        own = "" if self.own is None else f"{self.own:.1f}"
        return [
            self.model,
            f"{self.tile[1]} x {self.tile[0]}",
            str(self.overlap),
            self.what,
            f"{self.psnr:.1f}",
            own,
            f"{self.seam:.2f}",
        ]


def compare(model: str, picture: images.Image, tiles: Sequence[int]) -> list[Figures]:
    """A model's answers in tiles of each size against its answer for the whole picture."""
    import torch

    torch.manual_seed(0)
    card = load_card(model)
    method, config = card.restoration_method(), card.parsed_config()
    network = method.build(config) if card.is_template else load_network(card)
    extras = {name: value[0, 0].numpy() for name, value in method.example_extras(picture.height, picture.width).items()}

    def answer(how: Method[Any], tile: int) -> NDArray[np.float32]:
        restorer = Restorer(how, config, network, device="cpu", precision="fp32", tile=tile)
        return restorer(picture, **extras).image.pixels

    tiling, measures = method.tiling(config), type(method).measure is not Method.measure
    whole = answer(method, WHOLE)
    found = []
    for tile in (tile for tile in tiles if tile >= tiling.minimum):
        plan = plan_tiles((picture.height, picture.width), tiling, max_side=tile)
        if plan.is_whole:
            continue
        cut = answer(method, tile)
        own = psnr(answer(without_statistics(method), tile), whole) if measures else None
        near = "measured" if measures else "global" if tiling.halo is None else "local"
        what = "measured, exact" if measures and plan.exact else "exact" if plan.exact else near
        found.append(Figures(model, plan.tile, plan.overlap, what, psnr(cut, whole), own, seam(cut - whole, plan)))
    return found


def without_statistics(method: Method[Any]) -> Method[Any]:
    """The same method, but that it measures nothing of a whole image."""
    kind: Any = type("Own", (type(method),), {"measure": Method.measure})
    return kind()


def psnr(values: NDArray[np.float32], target: NDArray[np.float32]) -> float:
    """In dB; infinite for the same values."""
    error = float(np.square(values.astype(np.float64) - target).mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def seam(difference: NDArray[np.float32], plan: Plan) -> float:
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
    return [name for name in names if name in cut or name in list_models()]


def _sees_whole(name: str) -> bool:
    method = get_method(name)
    return method.tiling(method.presets["compact"]).whole


def markdown(found: Sequence[Figures]) -> str:
    head = ["model", "tile", "overlap", "what", "PSNR, dB", "own statistics", "seam"]
    rows = [head, ["---", "---", "---:", "---", "---:", "---:", "---:"], *(figures.row() for figures in found)]
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
