"""How much memory models take: bytes for every pixel of a tile, and the peak of a whole run, as Markdown tables.

    python benchmarks/memory.py
    python benchmarks/memory.py --models multi-output-compact cbsn-paper --precisions fp32 bf16 --write
    python benchmarks/memory.py --models multi-output-compact --image 5464x8192 --memory 1GiB
    python benchmarks/memory.py --models multi-output-compact --precisions bf16 --image 32768x32768 --strips

A model is a name of `restorekit models`, templates included, or the path of a card. Everything runs on the CPU, each case in a
process of its own.

- bytes per pixel: by how much the peak of the process grows with every pixel of a tile: the slope over the sizes, or the most a
  pixel takes in any of them where that is more. `--write` puts the figures into the card, where the engine finds them; it then
  plans its tiles by them rather than by what the method declares.
- `--image`: the peak of a process that restores a picture of that many rows and columns as `restorekit` does, all included: in
  memory, or with `--strips` from a TIFF file to another, which lie in a temporary folder meanwhile.
"""

from __future__ import annotations

import argparse
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from statistics import linear_regression
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console

from restorekit.cli.options import parse_bytes
from restorekit.devices import peak_memory
from restorekit.images.atomic import replacing
from restorekit.inference.measuring import apart, example_inputs
from restorekit.zoo import Card, MemoryEntry, list_models, load_card, load_network

if TYPE_CHECKING:
    from restorekit.inference import Restorer, Run

WARM_UP = 64
"""Side of the tile that runs first, so that what is loaded at first use does not count."""

log = Console(stderr=True, emoji=False)


@dataclass(frozen=True)
class Case:
    """One model in one precision on a picture of this size; as one tile, or as the engine would cut it in ``memory`` bytes, in
    memory or in strips.
    """

    model: str
    precision: str
    rows: int
    columns: int
    whole: bool = True
    memory: int | None = None
    strips: bool = False


@dataclass(frozen=True)
class Figures:
    """What a case took: bytes from before the tile to the peak; bytes of the whole process at its peak; how it was cut."""

    grown: int
    peak: int
    run: str


def measure(case: Case) -> Figures:
    """Run a case in this process, which should have done nothing else before."""
    import numpy as np
    import psutil
    import torch

    from restorekit.images import Image
    from restorekit.inference import Restorer

    torch.manual_seed(0)
    card = load_card(case.model)
    method, config = card.restoration_method(), card.parsed_config()
    network = method.build(config) if card.is_template else load_network(card)
    limits = {"tile": max(case.rows, case.columns, method.tiling(config).minimum)} if case.whole else {"memory": case.memory}
    if method.tiling(config).whole:
        limits = {}
    measured = card.memory.bytes_per_pixel if card.memory else None
    restorer = Restorer(method, config, network, device="cpu", precision=case.precision, measured=measured, **limits)
    extras = example_inputs(card, (WARM_UP, WARM_UP))
    generator = np.random.default_rng(0)
    restorer(Image(generator.integers(0, 256, (WARM_UP, WARM_UP, 3), np.uint8)), **extras)
    before = psutil.Process().memory_info().rss
    if case.strips:
        run = restore_file(restorer, case.rows, case.columns, extras)
    else:
        run = restorer(Image(generator.integers(0, 256, (case.rows, case.columns, 3), np.uint8)), **extras).run
    peak = peak_memory()
    return Figures(peak - before, peak, str(run))


def restore_file(restorer: Restorer, rows: int, columns: int, extras: Mapping[str, Any]) -> Run:
    """Restore a TIFF file of noise to another one, strip by strip."""
    import numpy as np

    from restorekit import images
    from restorekit.images import tiff
    from restorekit.images.large import TILE

    generator = np.random.default_rng(0)
    tiles = -(-rows // TILE) * -(-columns // TILE)
    noise = (generator.integers(0, 256, (TILE, TILE, 3), np.uint8) for _ in range(tiles))
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "in.tif").open("x+b") as file:
            shape, dtype = (rows, columns, 3), np.dtype(np.uint8)
            tiff.write_samples(file, noise, shape, dtype, images.Metadata(), has_alpha=False, tile=TILE)
        image = images.open_large(folder / "in.tif", scratch=folder)
        if image is None:
            raise RuntimeError("the file cannot be read in strips")
        answer, run = restorer.restore_large(image, **extras)
        images.write(answer, folder / "out.tif")
    return run


def bytes_per_pixel(grown: Mapping[int, int]) -> int:
    """What a pixel takes, from the growth by the number of pixels, rounded up to a multiple of 16.

    The least squares slope, and no less than the share of a pixel of any tile, so that each stays within it.
    """
    slope = linear_regression(list(grown), list(grown.values())).slope if len(grown) > 1 else 0
    return max(1, math.ceil(max(slope, *(total / pixels for pixels, total in grown.items())) / 16)) * 16


def slopes_table(results: Sequence[tuple[Case, Figures]]) -> tuple[str, dict[tuple[str, str], int]]:
    """A row for each model and precision, and the bytes per pixel by both."""
    sizes = sorted({case.rows for case, _ in results})
    head = ["model", "precision", *(f"{size} x {size}, MiB" for size in sizes), "declared", "bytes per pixel"]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    slopes = {}
    for key, group in groupby(results, lambda result: (result[0].model, result[0].precision)):
        grown = {case.rows**2: figures.grown for case, figures in group}
        slopes[key] = bytes_per_pixel(grown)
        mega = (f"{grown[size**2] / 2**20:.0f}" for size in sizes)
        rows.append([*key, *mega, str(declared(load_card(key[0]), key[1])), str(slopes[key])])
    return markdown(rows), slopes


def peaks_table(results: Sequence[tuple[Case, Figures]]) -> str:
    """A row for each model and precision: how the picture was cut, and the peak of the process."""
    rows = [["model", "precision", "image", "run", "peak, MiB"], ["---", "---", "---", "---", "---:"]]
    for case, figures in results:
        size = f"{case.columns} x {case.rows}"
        rows.append([case.model, case.precision, size, figures.run, f"{figures.peak / 2**20:.0f}"])
    return markdown(rows)


def declared(card: Card, precision: str) -> int:
    """What the method says a pixel takes."""
    most = card.restoration_method().tiling(card.parsed_config()).bytes_per_pixel
    return most if precision == "fp32" else most // 2


def markdown(rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def write_figures(path: Path, figures: Mapping[str, int]) -> None:
    """Put bytes per pixel by precision into the card in a file; those of other precisions stay."""
    import tomli_w

    card = load_card(path)
    known = card.memory.bytes_per_pixel if card.memory else {}
    text = tomli_w.dumps(replace(card, memory=MemoryEntry({**known, **figures})).to_table(), multiline_strings=True)
    with replacing(path) as file:
        file.write(text.encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list_models(), metavar="NAME")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[384, 512, 768, 1024], metavar="PIXELS", help="sides of the tiles"
    )
    parser.add_argument("--image", metavar="ROWSxCOLUMNS", help="measure the peak for a picture of this size instead")
    parser.add_argument("--strips", action="store_true", help="with --image: from file to file, strip by strip")
    parser.add_argument("--memory", type=parse_bytes, metavar="SIZE", help="what tiles may take of it, as for `restorekit`")
    parser.add_argument("--write", action="store_true", help="put the bytes per pixel into the cards")
    arguments = parser.parse_args()
    if arguments.write and len(set(arguments.sizes)) < 2:
        parser.error("a slope needs at least two --sizes")

    pairs = [(model, precision) for model in arguments.models for precision in arguments.precisions]
    if arguments.image:
        rows, columns = map(int, arguments.image.split("x"))
        cases = [Case(*pair, rows, columns, whole=False, memory=arguments.memory, strips=arguments.strips) for pair in pairs]
    else:
        cases = [Case(*pair, size, size) for pair in pairs for size in sorted(set(arguments.sizes))]
    results = []
    for number, case in enumerate(cases, start=1):
        log.print(f"{number}/{len(cases)}  {case.model}, {case.precision}, {case.columns} x {case.rows}", highlight=False)
        results.append((case, apart(measure, case)))
    if arguments.image:
        print(peaks_table(results))
    else:
        table, slopes = slopes_table(results)
        print(table)
        for model, group in groupby(slopes, lambda key: key[0]):
            if arguments.write:
                write_figures(load_card(model).path, {precision: slopes[model, precision] for _, precision in group})
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
