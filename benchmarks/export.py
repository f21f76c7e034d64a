"""What becomes of the methods as ONNX files, as a Markdown table: how exact they are, how large, and how fast on a CPU.

    python benchmarks/export.py
    python benchmarks/export.py --methods cbsn rrformer --presets compact paper --size 256 --passes 0

A network is exported twice: for pictures of `--size`, and for any. Where no model is shipped, weights are fresh. Every step runs
in a process of its own, in float32, on `--threads` threads.

- largest error: of any value of any map, against PyTorch; see `restorekit export`.
- ONNX / torch: seconds of the pass in the middle on a picture of `--size` through the engine, over those of PyTorch. Below 1,
  ONNX Runtime is faster. With `--passes 0` nothing is timed.

Parts of networks that are exported by themselves stand in rows of their own, without times.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from restorekit.inference.measuring import Case, apart, example_inputs, measure, usable
from restorekit.methods import get_method, list_methods
from restorekit.zoo import load_card

log = Console(stderr=True, emoji=False)


@dataclass(frozen=True)
class Figures:
    """One file: its largest error, its bytes, and how long it takes over how long PyTorch does; None if that was not timed."""

    error: float
    bytes: int
    ratio: float | None

    def cells(self) -> list[str]:
        ratio = "-" if self.ratio is None else f"{self.ratio:.2f}"
        return [f"{self.error:.1e}", f"{self.bytes / 2**20:.1f}", ratio]


@dataclass(frozen=True)
class Row:
    """A network, or a part of one, and its two files; None for one that cannot be made."""

    model: str
    part: str
    fixed: Figures | None
    dynamic: Figures | None

    def cells(self) -> list[str]:
        name = f"{self.model}, {self.part}" if self.part else self.model
        return [name, *(cell for each in (self.fixed, self.dynamic) for cell in (each.cells() if each else ["-"] * 3))]


def export_once(model: str, path: str, size: tuple[int, int] | None, part: str) -> tuple[float, int]:
    """Export the card in a file; gives the largest error, and the bytes of what was written."""
    from restorekit.export import export

    done = export(load_card(model), Path(path), size=size, part=part, overwrite=True)
    return done.error, done.bytes


def rows_of(name: str, side: int, passes: int) -> Iterator[Row]:
    """The rows of a model: the network's own, and one for each of its parts."""
    card = load_card(name)
    method, config, picture = card.restoration_method(), card.parsed_config(), (side, side)
    fixed = _fitting(method.own_size(config, *picture) or picture, method.tiling(config).multiple)
    inputs = example_inputs(card, picture)
    with usable(card) as (model, _), TemporaryDirectory() as folder:

        def seconds(model: str, backend: str) -> float:
            engine = {"backend": backend, "precision": "fp32", "device": "cpu"}
            return apart(measure, Case(model, picture, engine, passes, folder), inputs).median

        def figures(size: tuple[int, int] | None, part: str) -> Figures | None:
            path = str(Path(folder, "model.onnx"))
            try:
                error, count = apart(export_once, model, path, size, part)
                ratio = seconds(path, "onnx") / by_torch if by_torch and not part else None
            except Exception as problem:  # whatever keeps one file from being made keeps no other
                log.print(f"[red]{name} {part} {size or 'any size'}: {problem}", highlight=False)
                return None
            return Figures(error, count, ratio)

        by_torch = seconds(model, "torch") if passes else None
        for part in ("", *method.parts):
            yield Row(name, part, figures(fixed, part), figures(None, part))


def _fitting(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    height, width = (-(-side // multiple) * multiple for side in size)
    return height, width


def markdown(rows: Iterable[Row], side: int) -> str:
    """The table."""
    columns = ("largest error", "MiB", "ONNX / torch")
    head = ["model", *(f"{size}: {column}" for size in (f"{side} x {side}", "any size") for column in columns)]
    table: list[Sequence[str]] = [head, ["---", *["---:"] * (len(head) - 1)], *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list_methods(), default=list_methods(), metavar="NAME")
    parser.add_argument("--presets", nargs="+", default=["compact"], metavar="NAME", help="those a method lacks are left out")
    parser.add_argument("--size", type=int, default=256, metavar="PIXELS", help="side of the picture")
    parser.add_argument("--passes", type=int, default=3, metavar="COUNT", help="timed passes; 0 exports only")
    parser.add_argument("--threads", type=int, default=1, metavar="COUNT")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # the processes to come heed it

    rows = []
    for method in arguments.methods:
        for preset in arguments.presets:
            if preset in get_method(method).presets:
                log.print(f"{method}-{preset}", highlight=False)
                rows += rows_of(f"{method}-{preset}", arguments.size, arguments.passes)
    print(markdown(rows, arguments.size))
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
