"""What commands take besides what a network does, as a Markdown table of CPU seconds.

    python benchmarks/starting.py
    python benchmarks/starting.py --model models/deeprft-compact.toml --photo photo.jpg --passes 5

A model is exported, then run by its `.onnx` file, for which nothing but ONNX Runtime is needed, and by its card in PyTorch;
beside them stand commands that run no network. Seconds are those of the whole process on all its threads, interpreter included,
without those between a tile going into the network and coming out; the least of `--passes`, after one that is not counted.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from restorekit.export import export
from restorekit.zoo import load_card

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "kitten.jpg"
ONNX, TORCH, NONE = "restorekit.inference.onnx_backend:OnnxBackend", "restorekit.inference.backend:TorchBackend", ":"
"""Where a network runs: the class whose ``run`` is left out of the count."""

MEASURED = """
import importlib, sys, time
(module, name), sys.argv = sys.argv[1].split(":"), ["restorekit", *sys.argv[2:]]
from restorekit.cli import main
inside = []
if module:
    backend = getattr(importlib.import_module(module), name)
    run = backend.run
    def timed(*arguments, **extras):
        start = time.process_time()
        maps = run(*arguments, **extras)
        inside.append(time.process_time() - start)
        return maps
    backend.run = timed
try:
    main()
except SystemExit as leaving:
    if leaving.code:
        raise
assert bool(inside) == bool(module)
print("BESIDES", time.process_time() - sum(inside), int("torch" in sys.modules), file=sys.stderr)
"""


@dataclass(frozen=True)
class Start:
    """What one command took.

    Attributes:
        command: its words.
        seconds: of CPU time, besides the network.
        torch: whether PyTorch was imported.
    """

    command: str
    seconds: float
    torch: bool


def measure(shown: str, backend: str, arguments: Sequence[str], passes: int, cache: Path | None = None) -> Start:
    """Run ``restorekit`` with these arguments, ``passes`` times and once before, each in a process of its own.

    Args:
        shown: the command as the table shows it.
        backend: where its network runs, one of the above.
        arguments: what follows ``restorekit``.
        passes: how many runs count.
        cache: where optimised graphs are kept; None for the user's place.

    Raises:
        SystemExit: with what it said, if the command fails.
    """
    found = []
    surroundings = os.environ if cache is None else {**os.environ, "RESTOREKIT_CACHE": str(cache)}
    for _ in range(1 + passes):
        words = [sys.executable, "-c", MEASURED, backend, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=surroundings)
        if done.returncode:
            raise SystemExit(done.stderr)
        seconds, torch = done.stderr.rpartition("BESIDES")[2].split()
        found.append((float(seconds), torch == "1"))
    least, torch_needed = min(found[1:])
    return Start(shown, least, torch_needed)


def starts(model: str, photo: Path, passes: int) -> Iterator[Start]:
    """The commands, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        file, out, cache = (Path(folder) / name for name in ("model.onnx", "out.png", "cache"))
        export(load_card(model), file)
        restore = [str(photo), "-o", str(out), "--overwrite"]
        yield measure("infer --model model.onnx photo.jpg", ONNX, ["infer", "--model", str(file), *restore], passes, cache)
        yield measure("infer --model CARD photo.jpg", TORCH, ["infer", "--model", model, *restore], passes)
    for words in (["--version"], ["--help"], ["deblur", "--help"], ["models"]):
        yield measure(" ".join(words), NONE, words, passes)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="multi-output-compact", help="name or file of a card")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="what is restored")
    parser.add_argument("--passes", type=int, default=3, help="counted runs of each command")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    table = Table("restorekit", "CPU seconds", "PyTorch", box=MARKDOWN, title=f"{arguments.model}, {platform.machine()}")
    for start in starts(arguments.model, arguments.photo, arguments.passes):
        table.add_row(start.command, f"{start.seconds:.2f}", "imported" if start.torch else "-")
    Console(width=120, emoji=False).print(table)


if __name__ == "__main__":
    main()
