"""What the networks cost: parameters, multiply-adds, seconds and memory, as a Markdown table.

    python benchmarks/networks.py
    python benchmarks/networks.py --methods multi-output --presets compact paper-restormer --sizes 256 --threads 2

Every method of the registry, in each preset asked for, runs as on a CPU in the engine: float32, channels last, without gradients,
fresh weights, one image. Each case has a process of its own.

- parameters: in millions.
- GMACs: billions of multiply-adds of convolutions and matrix products. Fourier transforms, sorts and scans do not count.
- seconds: the quickest of a few passes, by the clock; slow networks get fewer.
- MiB: the weights, and how far the process grew at the peak of its passes; the most of all thread counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console

from restorekit.devices import peak_memory
from restorekit.inference.measuring import ENOUGH_SECONDS, apart
from restorekit.methods import get_method, list_methods

log = Console(stderr=True, emoji=False)


@dataclass(frozen=True)
class Case:
    """One network on one image of ``size`` x ``size`` pixels."""

    method: str
    preset: str
    size: int
    threads: int
    passes: int


@dataclass(frozen=True)
class Figures:
    """What a case cost."""

    parameters: int
    macs: int
    seconds: float
    bytes: int


def measure(case: Case) -> Figures:
    """Run a case in this process, which should have done nothing else before."""
    import psutil
    import torch

    torch.set_num_threads(case.threads)
    torch.manual_seed(0)
    method = get_method(case.method)
    network = method.build(method.presets[case.preset]).eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def run(size: int) -> float:
        image = torch.rand(1, 3, size, size).contiguous(memory_format=torch.channels_last)
        beside = {name: torch.from_numpy(values) for name, values in method.example_extras(size, size).items()}
        extras = {**method.measure(image), **beside}
        start = time.perf_counter()
        method.predict(network, image, **extras)
        return time.perf_counter() - start

    with torch.inference_mode():
        run(64)  # loads what is loaded at first use
        before = psutil.Process().memory_info().rss
        seconds = [run(case.size)]
        while len(seconds) < case.passes and sum(seconds) < ENOUGH_SECONDS:
            seconds.append(run(case.size))
        grown = peak_memory() - before

        from torch.utils.flop_counter import FlopCounterMode  # large: must not come before the memory is measured

        with FlopCounterMode(display=False) as counter:
            run(case.size)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    weights = sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
    return Figures(parameters, counter.get_total_flops() // 2, min(seconds), weights + grown)


def measure_apart(case: Case) -> Figures | None:
    """Run a case in a fresh process; None, with what went wrong on the console, if it fails."""
    try:
        return apart(measure, case)
    except Exception as error:  # whatever keeps one network from running keeps no other
        log.print(f"[red]{case.method} {case.preset} at {case.size}, {case.threads} threads: {error}", highlight=False)
        return None


def markdown(results: Iterable[tuple[Case, Figures | None]], threads: list[int]) -> str:
    """A table with a row for each network and size."""
    times = [f"s, {count} thread{'s' if count > 1 else ''}" for count in threads]
    head = ["method", "preset", "parameters", "size", "GMACs", *times, "MiB"]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    for (method, preset, size), group in groupby(results, lambda result: (result[0].method, result[0].preset, result[0].size)):
        by_threads = {case.threads: figures for case, figures in group if figures is not None}
        known = list(by_threads.values())
        seconds = [f"{by_threads[count].seconds:.2f}" if count in by_threads else "-" for count in threads]
        if known:
            parameters, macs = f"{known[0].parameters / 1e6:.2f} M", f"{known[0].macs / 1e9:.1f}"
            memory = f"{max(figures.bytes for figures in known) / 2**20:.0f}"
        else:
            parameters = macs = memory = "-"
        rows.append([method, preset, parameters, f"{size} x {size}", macs, *seconds, memory])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list_methods(), default=list_methods(), metavar="NAME")
    parser.add_argument(
        "--presets", nargs="+", default=["compact", "paper"], metavar="NAME", help="those a method lacks are left out"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], metavar="PIXELS")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="COUNT")
    parser.add_argument("--passes", type=int, default=3, metavar="COUNT", help="timed passes of each case")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here too")
    arguments = parser.parse_args()
    cases = [
        Case(method, preset, size, threads, arguments.passes)
        for method in arguments.methods
        for preset in arguments.presets
        if preset in get_method(method).presets
        for size in arguments.sizes
        for threads in arguments.threads
    ]
    results = []
    for number, case in enumerate(cases, start=1):
        log.print(f"{number}/{len(cases)}  {case.method} {case.preset}, {case.size} x {case.size}, {case.threads} threads")
        results.append((case, measure_apart(case)))
    print(markdown(results, arguments.threads))
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.machine()}, Python {platform.python_version()}")
    if arguments.json:
        figures = [{**asdict(case), **(asdict(cost) if cost else {})} for case, cost in results]
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
