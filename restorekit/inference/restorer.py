"""The engine's public face: a :class:`Restorer` turns images into better ones, whatever their size and wherever it runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restorekit import images, zoo
from restorekit.devices import resolve_device, resolve_precision
from restorekit.errors import SettingError, UnknownNameError, UsageError
from restorekit.inference.canvas import Canvas
from restorekit.inference.engine import Engine, Progress
from restorekit.inference.ensemble import Ensemble, check_views
from restorekit.inference.extras import read_extras
from restorekit.inference.onnx_backend import OnnxBackend, exported_card, resolve_provider
from restorekit.inference.result import Restoration, Run
from restorekit.inference.tiling import TilePlan, least_side, no_room
from restorekit.methods import Method, get_method

if TYPE_CHECKING:
    from torch import nn

    from restorekit.inference.backend import Backend

__all__ = ["Picture", "Progress", "Restoration", "Restorer", "Run", "as_image"]

BACKENDS = ("auto", "torch", "compiled", "onnx")

_OTHER_PRECISION = {name: f"Export one with --precision {name}" for name in ("fp32", "fp16")}
"""What to do about an ONNX file of another precision; there are none of bf16."""

Picture = str | Path | NDArray[Any] | PillowImage.Image | images.Image
"""What counts as an image: a path, an array as :meth:`restorekit.images.Image.from_array` takes it, a Pillow image or our own."""


class Restorer:
    """A network ready to restore images, as many as come.

    Several threads may share one; they are served one at a time. It remembers what it learnt: if an image had to be run in
    smaller tiles or in float32, the ones after it are too. With a network of PyTorch's it can be copied and pickled.

    Args:
        method: whose network it is.
        config: the network's configuration.
        network: is put into eval mode and moved to the device, in place; or an exported one in ONNX Runtime, which knows its
            device and precision.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        precision: ``"auto"``, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        tile: longest side of a tile, in pixels; None for what memory allows. All tiles of an image have one size, and an image
            that fits runs whole.
        overlap: pixels of context on each side of what a tile answers for, so that neighbours share twice that; None for the
            method's own.
        memory: bytes a tile may take on the device; None for a safe part of what is free.
        measured: bytes a pixel of a tile takes on a CPU, by precision, where that is known better than the method declares it.
        compiled: whether PyTorch makes one program of the network first, which takes minutes for each new size of tile.
        batch: tiles that are run at once; None for as many as memory allows on CUDA, and one elsewhere.
        views: 2 for the mean of what the network says of an image and of its mirror image, 4 for these upside down too: a little
            better, in so many times the time.
        name: what to call it.
        takes_away: what to call the difference between an image and its answer, as one of :attr:`extras`, where the method has
            none of that name; empty for nothing.

    Raises:
        UnknownNameError: for a device or precision nobody knows.
        SettingError: for one this machine does not have, or for a tile, overlap, memory, batch or views that cannot be right.
    """

    def __init__(
        self,
        method: Method[Any],
        config: Any,
        network: nn.Module | OnnxBackend,
        *,
        device: str = "auto",
        precision: str = "auto",
        tile: int | None = None,
        overlap: int | None = None,
        memory: int | None = None,
        measured: Mapping[str, int] | None = None,
        compiled: bool = False,
        batch: int | None = None,
        views: int = 1,
        name: str = "",
        takes_away: str = "",
    ) -> None:
        self.method = method
        self.config = config
        self.name = name or method.name
        self._takes_away = takes_away
        self._views = views
        size = None
        if isinstance(network, OnnxBackend):
            tiling, size = network.facts.tiling(), network.facts.size
            longest = network.facts.longest
            if size is not None:
                if tile not in (None, max(size)):
                    raise SettingError(
                        f"{self.name} takes tiles of {size[1]}x{size[0]} pixels only, not of {tile}", "Leave out the tile"
                    )
                tile = None
            elif longest is not None:
                tile = min(tile or longest, longest)
        else:
            tiling = method.tiling(config)
        bounds = (("tile", tile, least_side(tiling, 0)), ("overlap", overlap, 0), ("memory", memory, 1), ("batch", batch, 1))
        for setting, value, least in bounds:
            if value is not None and value < least:
                raise SettingError(f"{setting} must be at least {least} for {self.name}, not {value}")
        if tile is not None and overlap is not None and tile < least_side(tiling, overlap):
            raise no_room(overlap, tiling, tile)
        if tiling.whole and (tile, overlap, batch) != (None, None, None):
            raise SettingError(f"{method.name} sees images whole, and takes no tile, overlap or batch", "Leave them out")
        if batch not in (None, 1) and isinstance(network, OnnxBackend):
            raise SettingError("ONNX Runtime takes one tile at a time", "Leave out the batch, or take the backend torch")
        check_views(views)
        backend = _backend(method, network, device, precision, compiled)
        if views > 1:
            backend = Ensemble(backend, views, method.extra_inputs)
        self._engine = Engine(
            method,
            config,
            backend,
            max_side=tile,
            overlap=overlap,
            memory=memory,
            measured=measured,
            tiling=tiling,
            size=size,
            batch=batch,
        )
        self._lock = threading.RLock()  # progress may ask for what the method gives
        self._extras: frozenset[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

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
        backend: str = "auto",
        provider: str = "auto",
        batch: int | None = None,
        views: int = 1,
    ) -> Restorer:
        """A restorer for a model of the zoo, or for the card at a path; the options are those of :class:`Restorer`.

        Args:
            backend: ``"torch"``; ``"compiled"`` for PyTorch with ``torch.compile``; ``"onnx"`` for ONNX Runtime, with a card
                that is exported first and kept; ``"auto"`` for ONNX Runtime with an ONNX file, and PyTorch with anything else.
            provider: what ONNX Runtime runs on, see :data:`restorekit.inference.onnx_backend.PROVIDERS`.

        Raises:
            UnknownNameError: for a name no model has, or a backend or provider nobody knows.
            CardError: for a card, or weights, that cannot be used.
            SettingError: for a provider this machine does not have.
        """
        if not isinstance(card, zoo.Card):
            card = zoo.load_card(card)
        return cls(
            get_method(card.method),
            card.parsed_config(),
            _network(card, backend, provider),
            device=device,
            precision=precision,
            tile=tile,
            overlap=overlap,
            memory=memory,
            measured=None if card.memory is None else card.memory.bytes_per_pixel,
            compiled=backend == "compiled",
            batch=batch,
            views=views,
            name=card.name,
            takes_away="reflection" if "dereflect" in card.tasks else "",
        )

    @property
    def device(self) -> str:
        """Where the network runs."""
        return str(self._engine.backend.device)

    @property
    def precision(self) -> str:
        """What it computes in now."""
        return self._engine.backend.precision

    def described(self) -> str:
        """How it is run, in words, as far as answers depend on it: ``"models in bf16, 4 views, tiles of at most 256"``."""
        views, tile = self._views, self._engine.largest_tile
        parts = [f"models in {self.precision}", f"{views} views" if views > 1 else "", f"tiles of at most {tile}" if tile else ""]
        return ", ".join(filter(None, parts))

    @property
    def extras(self) -> frozenset[str]:
        """What there is besides the image: the further fields of the method's prediction, for example ``{"heads", "spread"}``,
        and, of a card for ``dereflect``, the ``reflection``.
        """
        return self._own_extras | ({self._takes_away} if self._takes_away else set())

    @property
    def _own_extras(self) -> frozenset[str]:
        if self._extras is None:
            with self._lock:
                self._extras = self._engine.extras()
        return self._extras

    def __call__(
        self,
        image: Picture,
        *,
        strength: float = 1.0,
        candidates: bool = False,
        spread: bool = False,
        maps: str | Collection[str] = (),
        progress: Progress | None = None,
        on_note: Callable[[str], None] | None = None,
        **inputs: Any,
    ) -> Restoration:
        """Restore one image. What is given shares no memory with it.

        Args:
            image: grey is given to the network as RGB, and its answer averaged back to grey. Alpha is carried over.
            strength: from 0, the input itself, to 1, what the network says; between them a blend.
            candidates: give the images of all heads too.
            spread: give the map of where the heads differ too.
            maps: name or names of what else to give of what the method has besides the image, see :attr:`extras`.
            progress: called after every tile.
            on_note: called with each of the run's notes as it arises.
            inputs: what the method needs beside the image, its ``extra_inputs``: ``psf``, a blur kernel as a path or an array
                ``(h, w)`` of any positive sum (:func:`restorekit.images.psf.read_psf`). Its ``optional_inputs`` may come too:
                ``white``, the level at which the image clips.

        Raises:
            ImageError: for a file or an array that is not an image or a PSF.
            UsageError: for a strength outside [0, 1], for candidates, a spread or maps of a method that has none, or for an input
                that is missing or that the method does not take.
            OutOfMemoryError: if not even the smallest tile fits.
            NumericalError: if the result is not finite even in float32.
        """
        _check_strength(strength)
        maps = (maps,) if isinstance(maps, str) else tuple(maps)
        self.check_gives(candidates, spread, maps)
        extras = read_extras(self.method, inputs)
        picture = as_image(image)
        started = perf_counter()
        notes: list[str] = []

        def note(text: str) -> None:
            notes.append(text)
            if on_note is not None:
                on_note(text)

        if not (strength or candidates or spread or maps):
            return Restoration(
                _another(picture, picture.pixels.copy()), (), None, self._report(None, perf_counter() - started, notes)
            )
        taken = {name for name in maps if name == self._takes_away and name not in self._own_extras}
        canvas = Canvas(picture, strength or 1.0, candidates, spread, set(maps) - taken, "".join(taken))
        with self._lock:
            plan = self._engine.fill(canvas, progress or _ignore, note, extras)
            run = self._report(plan, perf_counter() - started, notes)
        return Restoration(
            _another(picture, canvas.answer if strength else picture.pixels.copy()),
            tuple(_another(picture, pixels) for pixels in canvas.heads),
            None if canvas.spread is None else images.Image(canvas.spread),
            run,
            canvas.maps,
        )

    def check_gives(self, candidates: bool = False, spread: bool = False, maps: Collection[str] = ()) -> None:
        """Raise :class:`UsageError` for candidates, a spread or maps that the method does not have."""
        for wanted, field, title in ((candidates, "heads", "candidates"), (spread, "spread", "spread map")):
            if wanted and field not in self.extras:
                raise UsageError(
                    f"the method {self.method.name} gives no {title}", f"Leave out the {title}, or take a model of multi-output"
                )
        for name in maps:
            if name not in self.extras:
                names = sorted("candidates (heads)" if extra == "heads" else extra for extra in self.extras)
                gives = " and ".join(names) or "nothing"
                raise UsageError(
                    f"the method {self.method.name} gives no {name}", f"Besides the image it gives {gives}; take another model"
                )

    def change(self, picture: images.Image, **inputs: Any) -> float:
        """Mean square of what the network changes in a small picture, in units of the range [0, 1]; 0 if it is not finite.

        The picture goes through it whole, so that this does not depend on tiles and memory.

        Args:
            picture: some hundred pixels a side.
            inputs: see :meth:`__call__`, like the errors.
        """
        with self._lock:
            after = self._engine.answer(picture, read_extras(self.method, inputs))
        change = float(((after.clip(0, 1) - images.to_float(picture.pixels)) ** 2).mean())
        return change if math.isfinite(change) else 0.0

    def restore_large(
        self,
        image: images.LargeImage,
        *,
        strength: float = 1.0,
        progress: Progress | None = None,
        on_note: Callable[[str], None] | None = None,
        **inputs: Any,
    ) -> tuple[images.LargeImage, Run]:
        """Restore an image that stays in its file, row of tiles by row of tiles; the answer lies in a temporary file.

        What is held in memory is a tile, the rows of the image under it, and those that rows of tiles share. The answer is that
        of :meth:`__call__`, but that what a method measures of the whole image, it measures of every n-th pixel of a very large
        one.

        Args:
            image: see :func:`restorekit.images.open_large`.
            strength: see :meth:`__call__`, like the rest.

        Raises:
            SettingError: if the method sees images whole.
            ImageError: for damaged pixels, and if there is no room for the temporary file.
        """
        _check_strength(strength)
        if self._engine.tiling.whole:
            raise SettingError(f"{self.method.name} sees images whole, and not in strips", "Read the image whole")
        extras = read_extras(self.method, inputs)
        started = perf_counter()
        notes: list[str] = []

        def note(text: str) -> None:
            notes.append(text)
            if on_note is not None:
                on_note(text)

        if not strength:
            return image, self._report(None, 0.0, notes)
        canvas = Canvas(image, strength, False, False)
        with self._lock:
            plan = self._engine.fill(canvas, progress or _ignore, note, extras)
            run = self._report(plan, perf_counter() - started, notes)
        return image.replace_pixels(canvas.answer), run

    def _report(self, plan: TilePlan | None, seconds: float, notes: list[str]) -> Run:
        cut = plan is not None and not plan.is_whole
        return Run(
            device=self.device,
            precision=self.precision,
            tile=plan.tile if plan is not None and cut else None,
            overlap=plan.overlap if plan is not None and cut else 0,
            tiles=0 if plan is None else plan.tiles,
            seconds=seconds,
            notes=tuple(notes),
            memory=0 if plan is None else plan.tile[0] * plan.tile[1] * self._engine.bytes_per_pixel * self._engine.at_once,
            budget=None if plan is None else self._engine.budget,
            model=self.name,
            batch=self._engine.at_once if cut else 1,
        )


def _network(card: zoo.Card, backend: str, provider: str) -> nn.Module | OnnxBackend:
    if backend not in BACKENDS:
        raise UnknownNameError("backend", backend, BACKENDS)
    if backend == "onnx" or (backend == "auto" and card.is_onnx):
        resolve_provider(provider)  # before minutes of exporting
        return OnnxBackend(card.weights_path() if card.is_onnx else exported_card(card), provider)
    if provider != "auto":
        raise UsageError("PyTorch takes no provider", "Add --backend onnx, or leave the provider out")
    return zoo.load_network(card)


def _backend(method: Method[Any], network: nn.Module | OnnxBackend, device: str, precision: str, compiled: bool) -> Backend:
    if isinstance(network, OnnxBackend):
        if precision not in ("auto", network.precision):
            remedy = _OTHER_PRECISION.get(precision, "Leave the precision out, or name the card it was exported from")
            raise SettingError(f"this ONNX model computes in {network.precision}", remedy)
        if device != "auto" and device.partition(":")[0] != network.device.provider:
            raise SettingError(f"this ONNX model runs on {network.device.provider}, not {device}", "Say where with the provider")
        return network
    from restorekit.inference.backend import TorchBackend

    place = resolve_device(device)
    return TorchBackend(method, network, place, resolve_precision(precision, place), compiled)


def _check_strength(strength: float) -> None:
    if not 0 <= strength <= 1:
        raise UsageError(f"a strength of {strength} is outside 0 to 1", "Take 0 for the input, 1 for all that the network says")


def as_image(picture: Picture) -> images.Image:
    """What counts as an image, as one of ours; ImageError for a file that is none, UsageError for anything else."""
    if isinstance(picture, images.Image):
        return picture
    if isinstance(picture, (str, Path)):
        return images.read(picture)
    if isinstance(picture, np.ndarray):
        return images.Image.from_array(picture)
    if isinstance(picture, PillowImage.Image):
        return images.Image.from_pil(picture)
    raise UsageError(f"a {type(picture).__name__} is not an image", "Give a path, a NumPy array or a Pillow image")


def _another(picture: images.Image, pixels: NDArray[Any]) -> images.Image:
    """New pixels with a copy of the picture's alpha, and its metadata."""
    alpha = None if picture.alpha is None else picture.alpha.copy()
    return replace(picture.replace_pixels(pixels), alpha=alpha)


def _ignore(done: int, tiles: int) -> None:
    """Progress nobody asked for."""
