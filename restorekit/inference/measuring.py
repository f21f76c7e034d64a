"""What restoring costs through the engine: seconds and memory, every case in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from restorekit.devices import peak_memory
from restorekit.errors import OutOfMemoryError, RestoreKitError
from restorekit.zoo import Card, load_card, write_card

T = TypeVar("T")

ENOUGH_SECONDS = 20.0
"""After so long no further pass is begun."""


@dataclass(frozen=True)
class Case:
    """One model on a picture of noise.

    Attributes:
        model: a name of the zoo, or the path of a card or an ONNX file.
        size: rows and columns of the picture.
        engine: what :meth:`restorekit.Restorer.from_card` takes besides the model: backend, device, precision, tile...
        passes: how often the picture is restored, after a first time that counts for itself; slow models do fewer.
        cache: where graphs are kept; None for the usual place.
    """

    model: str
    size: tuple[int, int]
    engine: Mapping[str, Any] = field(default_factory=dict)
    passes: int = 5
    cache: str | None = None


@dataclass(frozen=True)
class Figures:
    """What a case cost.

    Attributes:
        device, precision, tile, tiles: how it ran; see :class:`restorekit.inference.Run`.
        pixels: of the picture.
        first: seconds until the first answer, with reading the model and, where that is done, compiling it.
        seconds: of each pass after that, from the image in memory to the result in memory.
        memory: the most bytes that the process ever had, all included.
        device_memory: the most that PyTorch held on a CUDA device; None anywhere else.
    """

    device: str
    precision: str
    tile: tuple[int, int] | None
    tiles: int
    pixels: int
    first: float
    seconds: tuple[float, ...]
    memory: int
    device_memory: int | None = None

    @property
    def median(self) -> float:
        """Seconds of the pass in the middle."""
        return median(self.seconds)

    @property
    def best(self) -> float:
        """Seconds of the quickest pass."""
        return min(self.seconds)

    @property
    def megapixels(self) -> float:
        """Millions of pixels a second, in the pass in the middle."""
        return self.pixels / self.median / 1e6


def bench(
    card: Card, engines: Sequence[Mapping[str, Any]], size: tuple[int, int], passes: int = 5
) -> Iterator[Figures | RestoreKitError]:
    """What a model costs with each of some engines, one after the other; or what kept it from running.

    A template runs with fresh weights: neither seconds nor memory depend on them.

    Args:
        card: the model.
        engines, size, passes: see :class:`Case`.
    """
    with usable(card) as (model, cache):
        inputs = example_inputs(card, size)
        for engine in engines:
            case = Case(model, size, engine, passes, cache)
            try:
                if engine.get("backend") == "onnx":
                    apart(_export, case)
                yield apart(measure, case, inputs)
            except MemoryError:
                yield OutOfMemoryError(f"there is no room for an image of {size[1]}x{size[0]} pixels", "Take a smaller size")
            except RestoreKitError as error:
                yield error


def example_inputs(card: Card, size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """What a model needs beside a picture of a size, as a user would give it."""
    return {name: value[0, 0] for name, value in card.restoration_method().example_extras(*size).items()}


def measure(case: Case, inputs: Mapping[str, Any]) -> Figures:
    """Run a case in this process, which should have done nothing else before.

    Args:
        case: which.
        inputs: see :func:`example_inputs`; they come from outside, as not every backend needs what makes them.
    """
    from restorekit.images import Image
    from restorekit.inference.restorer import Restorer

    _choose_cache(case)
    picture = Image(np.random.default_rng(0).integers(0, 256, (*case.size, 3), np.uint8))
    begin = perf_counter()
    restorer = Restorer.from_card(case.model, **case.engine)
    run = restorer(picture, **inputs).run
    first = perf_counter() - begin
    seconds: list[float] = []
    while not seconds or (len(seconds) < case.passes and sum(seconds) < ENOUGH_SECONDS):
        run = restorer(picture, **inputs).run
        seconds.append(run.seconds)
    held = _device_memory(run.device)
    pixels = case.size[0] * case.size[1]
    return Figures(run.device, run.precision, run.tile, run.tiles, pixels, first, tuple(seconds), peak_memory(), held)


def apart(function: Callable[..., T], *arguments: Any) -> T:
    """What ``function`` gives, or raises, in a fresh process: whatever ran before leaves no trace in its time and memory.

    Args:
        function: one that can be imported.
        arguments: can be pickled, like its answer.

    Raises:
        OutOfMemoryError: if the process is killed, which is what a system does when its memory ends.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise OutOfMemoryError("the process was killed", "Close other programs, or take a smaller size") from None


@contextmanager
def usable(card: Card) -> Iterator[tuple[str, str | None]]:
    """The model to name in a :class:`Case`, and its cache: for a template, a card with fresh weights in a temporary folder, where
    its graphs are kept too.

    Raises:
        CardError: if the card's weights are missing.
    """
    if not card.is_template:
        card.weights_path()
        yield str(card.path), None
        return
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        network = card.restoration_method().build(card.parsed_config())
        yield str(write_card(card, network.state_dict(), Path(folder))), folder


def _export(case: Case) -> None:
    """Leave the graph in the cache, so that exporting it counts for nothing later."""
    from restorekit.inference.onnx_backend import exported_card

    _choose_cache(case)
    card = load_card(case.model)
    if not card.is_onnx:
        exported_card(card)


def _choose_cache(case: Case) -> None:
    if case.cache is not None:
        os.environ["RESTOREKIT_CACHE"] = case.cache


def _device_memory(device: str) -> int | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return torch.cuda.max_memory_reserved(device)
