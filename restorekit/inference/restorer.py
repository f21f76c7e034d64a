"""The engine's public face: a :class:`Restorer` turns images into better ones, whatever their size and wherever it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restorekit import images, zoo
from restorekit.errors import SettingError, UsageError
from restorekit.inference.canvas import Canvas
from restorekit.inference.devices import resolve_device, resolve_precision
from restorekit.inference.engine import Engine, Progress
from restorekit.inference.extras import read_extras
from restorekit.inference.result import Restoration, Run
from restorekit.inference.tiling import Plan, least_side, no_room
from restorekit.methods import Method, get_method

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Picture", "Progress", "Restoration", "Restorer", "Run", "restore"]

Picture = str | Path | NDArray[Any] | PillowImage.Image | images.Image
"""What counts as an image: a path, an array as :meth:`restorekit.images.Image.from_array` takes it, a Pillow image or our own."""


class Restorer:
    """A network ready to restore images, as many as come.

    Several threads may share one; they are served one at a time. It remembers what it learnt: if an image had to be run in
    smaller tiles or in float32, the ones after it are too.

    Args:
        method: whose network it is.
        config: the network's configuration.
        network: is put into eval mode and moved to the device, in place.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        tile: longest side of a tile, in pixels; None for what memory allows. All tiles of an image have one size, and an image
            that fits runs whole.
        overlap: pixels of context on each side of what a tile answers for, so that neighbours share twice that; None for the
            method's own.
        memory: bytes a tile may take on the device; None for a safe part of what is free.
        name: what to call it.

    Raises:
        UnknownNameError: for a device or precision nobody knows.
        SettingError: for one this machine does not have, or for a tile, overlap or memory that cannot be right.
    """

    def __init__(
        self,
        method: Method[Any],
        config: Any,
        network: nn.Module,
        *,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        memory: int | None = None,
        name: str = "",
    ) -> None:
        from restorekit.inference.backend import TorchBackend

        self.method = method
        self.config = config
        self.name = name or method.name
        tiling = method.tiling(config)
        for setting, value, least in (("tile", tile, least_side(tiling, 0)), ("overlap", overlap, 0), ("memory", memory, 1)):
            if value is not None and value < least:
                raise SettingError(f"{setting} must be at least {least}, not {value}")
        if tile is not None and overlap is not None and tile < least_side(tiling, overlap):
            raise no_room(overlap, tiling, tile)
        place = resolve_device(device)
        backend = TorchBackend(method, network, place, resolve_precision(precision, place))
        self._engine = Engine(method, config, backend, max_side=tile, overlap=overlap, memory=memory)
        self._lock = threading.Lock()
        self._extras: frozenset[str] | None = None

    @classmethod
    def from_card(
        cls,
        card: zoo.Card | str | Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        memory: int | None = None,
    ) -> Restorer:
        """A restorer for a model of the zoo, or for the card at a path; the options are those of :class:`Restorer`.

        Raises:
            UnknownNameError: for a name no model has.
            CardError: for a card, or weights, that cannot be used.
        """
        if not isinstance(card, zoo.Card):
            card = zoo.load_card(card)
        return cls(
            get_method(card.method),
            card.parsed_config(),
            zoo.load_network(card),
            device=device,
            precision=precision,
            tile=tile,
            overlap=overlap,
            memory=memory,
            name=card.name,
        )

    @property
    def device(self) -> str:
        """Where the network runs."""
        return str(self._engine.backend.device)

    @property
    def precision(self) -> str:
        """What it computes in now."""
        return self._engine.backend.precision

    @property
    def extras(self) -> frozenset[str]:
        """What the method gives besides the image: the further fields of its prediction, for example ``{"heads", "spread"}``."""
        with self._lock:
            if self._extras is None:
                self._extras = self._engine.extras()
            return self._extras

    def __call__(
        self,
        image: Picture,
        *,
        strength: float = 1.0,
        candidates: bool = False,
        spread: bool = False,
        progress: Progress | None = None,
        on_note: Callable[[str], None] | None = None,
        **inputs: Any,
    ) -> Restoration:
        """Restore one image.

        Args:
            image: grey is given to the network as RGB, and its answer averaged back to grey. Alpha is carried over.
            strength: from 0, the input itself, to 1, what the network says; between them a blend.
            candidates: give the images of all heads too.
            spread: give the map of where the heads differ too.
            progress: called after every tile.
            on_note: called with each of the run's notes as it arises.
            inputs: what the method needs beside the image, its ``extra_inputs``: ``psf``, a blur kernel as a path or an array
                ``(h, w)`` of any positive sum (:func:`restorekit.images.psf.read_psf`).

        Raises:
            ImageError: for a file or an array that is not an image or a PSF.
            UsageError: for a strength outside [0, 1], for candidates or a spread of a method that has none, or for an input that
                is missing or that the method does not take.
            OutOfMemoryError: if not even the smallest tile fits.
            NumericalError: if the result is not finite even in float32.
        """
        if not 0 <= strength <= 1:
            raise UsageError(
                f"a strength of {strength} is outside 0 to 1", "Take 0 for the input, 1 for all that the network says"
            )
        for wanted, field, title in ((candidates, "heads", "candidates"), (spread, "spread", "spread map")):
            if wanted and field not in self.extras:
                raise UsageError(f"the method {self.method.name} gives no {title}", f"Leave out the {title}")
        extras = read_extras(self.method, inputs)
        picture = _as_image(image)
        started = perf_counter()
        notes: list[str] = []

        def note(text: str) -> None:
            notes.append(text)
            if on_note is not None:
                on_note(text)

        if not (strength or candidates or spread):
            return Restoration(picture, (), None, self._report(None, perf_counter() - started, notes))
        canvas = Canvas(picture, strength, candidates, spread)
        with self._lock:
            plan = self._engine.fill(canvas, progress or _ignore, note, extras)
            run = self._report(plan, perf_counter() - started, notes)
        return Restoration(
            picture.replace_pixels(canvas.answer) if strength else picture,
            tuple(picture.replace_pixels(pixels) for pixels in canvas.heads),
            None if canvas.spread is None else images.Image(canvas.spread),
            run,
        )

    def _report(self, plan: Plan | None, seconds: float, notes: list[str]) -> Run:
        cut = plan is not None and not plan.is_whole
        return Run(
            device=self.device,
            precision=self.precision,
            tile=plan.tile if plan is not None and cut else None,
            overlap=plan.overlap if plan is not None and cut else 0,
            tiles=0 if plan is None else plan.tiles,
            seconds=seconds,
            notes=tuple(notes),
        )


def restore(
    image: Picture,
    model: zoo.Card | str | Path | None = None,
    *,
    task: str = "deblur",
    strength: float = 1.0,
    device: str = "auto",
    precision: str = "auto",
    **inputs: Any,
) -> Restoration:
    """Restore one image; for more than one, make a :class:`Restorer` once.

    Args:
        image: see :data:`Picture`.
        model: a model of the zoo, by name or by the path of its card; None for the default of ``task``.
        task: what is to be done, for example ``"deblur"``; of no account if a model is named.
        strength: see :meth:`Restorer.__call__`.
        device: see :class:`Restorer`.
        precision: see :class:`Restorer`.
        inputs: see :meth:`Restorer.__call__`.
    """
    card = zoo.default_card(task) if model is None else model
    return Restorer.from_card(card, device=device, precision=precision)(image, strength=strength, **inputs)


def _as_image(picture: Picture) -> images.Image:
    if isinstance(picture, images.Image):
        return picture
    if isinstance(picture, (str, Path)):
        return images.read(picture)
    if isinstance(picture, np.ndarray):
        return images.Image.from_array(picture)
    if isinstance(picture, PillowImage.Image):
        return images.Image.from_pil(picture)
    raise UsageError(f"a {type(picture).__name__} is not an image", "Give a path, a NumPy array or a Pillow image")


def _ignore(done: int, tiles: int) -> None:
    """Progress nobody asked for."""
