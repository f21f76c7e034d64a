"""One image through a network: cut, run, merged, and run again more carefully if it has to be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from itertools import groupby, islice, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.errors import NumericalError, OutOfMemoryError, SettingError
from restorekit.inference.anchoring import Anchor, reduced, reduced_size
from restorekit.inference.canvas import Canvas
from restorekit.inference.extras import Extras, as_arrays
from restorekit.inference.memory import tile_budget
from restorekit.inference.merge import merge_tiles
from restorekit.inference.tiling import Span, TilePlan, least_side, plan_of_size, plan_tiles
from restorekit.methods import Method, Prediction, Tiling

if TYPE_CHECKING:
    from restorekit.inference.backend import Backend

FloatArray = NDArray[np.float32]
_MOST_AT_ONCE = 8  # more of them keep a GPU no busier

Progress = Callable[[int, int], None]
"""Called with the tiles done and the tiles there are; starts again from 0 if an image has to be run again."""


class Engine:
    """A network on a backend, and what is known about how large its tiles may be. It serves one image at a time.

    It remembers what it learns: if an image had to be run in smaller tiles or in float32, the ones after it are too.

    Args:
        method: whose network it is.
        config: the network's configuration.
        backend: runs the network.
        max_side: longest side of a tile; None for what memory allows.
        overlap: pixels of context on each side of what a tile answers for; None for the method's own.
        memory: bytes a tile may take; None for a safe part of what is free, or for no limit if ``max_side`` is given.
        measured: bytes a pixel of a tile takes on a CPU, by precision, where that was measured for this very network.
        tiling: how images are cut; None for what the method says.
        size: rows and columns that every tile must have; None where any will do.
        batch: tiles that are run at once; None for as many as memory allows on CUDA, where small ones leave most of the device
            idle, and one elsewhere.

    Attributes:
        budget: bytes that tiles of the last image were allowed to take; None for no limit.
        at_once: how many of them were run at once.
    """

    def __init__(
        self,
        method: Method[Any],
        config: Any,
        backend: Backend,
        *,
        max_side: int | None = None,
        overlap: int | None = None,
        memory: int | None = None,
        measured: Mapping[str, int] | None = None,
        tiling: Tiling | None = None,
        size: tuple[int, int] | None = None,
        batch: int | None = None,
    ) -> None:
        self.method = method
        self.config = config
        self.backend = backend
        self.tiling = method.tiling(config) if tiling is None else tiling
        self._size = size
        self.overlap = overlap
        self.memory = memory
        self.measured = measured or {}
        self._max_side = max_side
        self._ignores_memory = max_side is not None and memory is None
        self._batch = self._most_at_once = batch
        self.budget: int | None = None
        self.at_once = 1

    @property
    def largest_tile(self) -> int | None:
        """The longest side of its tiles, where that was set."""
        return max(self._size) if self._size is not None else self._max_side

    def extras(self) -> frozenset[str]:
        """The names of what the method's predictions hold besides the image."""
        height, width = self._size or (self.tiling.minimum, self.tiling.minimum)
        picture = np.zeros((1, 3, height, width), np.float32)
        beside = self.method.example_extras(height, width) | self._measured(picture)
        maps = self.backend.run(picture, **beside)
        prediction = self._finish({name: values[0] for name, values in maps.items()})
        return frozenset(field.name for field in fields(prediction)) - {"image"}

    def answer(self, picture: images.Image, extras: Mapping[str, FloatArray] | None = None) -> FloatArray:
        """What the network says of a small picture in one go, ``(H, W, 3)``, not clipped; however images are cut.

        Raises:
            OutOfMemoryError: if it is not small enough for the device.
            SettingError: if the network takes nothing but smaller tiles.
        """
        if self._size is not None and (picture.height > self._size[0] or picture.width > self._size[1]):
            height, width = self._size
            problem = f"a network for {width}x{height} pixels only cannot be tried on {picture.width}x{picture.height}"
            raise SettingError(problem, "Export the model without a size")
        beside = {**self._measure(picture), **(extras or {})}
        try:
            maps = self.backend.run(_uncut(picture), **beside)
        except MemoryError:
            size = f"{picture.width}x{picture.height}"
            problem = f"{self.backend.device} has not enough memory even for {size} pixels"
            raise OutOfMemoryError(problem, "Close other programs or take another device") from None
        answer = self._finish({name: values[0] for name, values in maps.items()}).image[0]
        return np.asarray(answer, np.float32).transpose(1, 2, 0)

    def fill(
        self, canvas: Canvas, progress: Progress, note: Callable[[str], None], extras: Mapping[str, FloatArray] | None = None
    ) -> TilePlan:
        """Draw the whole prediction for the canvas's picture; gives the plan that led there.

        Starts again with smaller tiles where memory ends and in float32 where a result is not finite, and says so through
        ``note``. Every tile is given ``extras``, and what the method measures of the whole picture.

        Raises:
            OutOfMemoryError: if not even the smallest tile fits.
            NumericalError: if the result is not finite even in float32.
        """
        beside = {**self._measure(canvas.picture), **(extras or {})}
        told = _kept_apart(progress)
        while True:
            plan = self._plan(canvas.picture)
            self.at_once = self._tiles_at_once(plan)
            try:
                self._run(canvas, plan, told, beside)
                return plan
            except _ProgressError as error:
                raise error.cause from None
            except MemoryError:
                failure = "memory"
            except _NotFiniteError:
                failure = "numbers"
            if failure == "memory" and self.at_once > 1:
                self.backend.release()
                self._most_at_once = self.at_once // 2
                most = self._most_at_once
                note(f"not enough memory on {self.backend.device} for {self.at_once} tiles at once: {most} is the most now")
            elif failure == "memory":
                self.backend.release()
                self._max_side = self._halved(plan)
                height, width = plan.tile
                note(
                    f"not enough memory on {self.backend.device} for a tile of {width}x{height}: {self._max_side} is the most now"
                )
            elif self.backend.precision == "fp32":
                raise NumericalError("the network gives values that are not finite, even in float32", "Check the model's weights")
            else:
                lower, self.backend = self.backend.precision, self.backend.in_float32()
                note(f"{lower} gave values that are not finite: the image is run again in fp32")

    @property
    def bytes_per_pixel(self) -> int:
        """What a pixel of a tile takes: as measured where that was done, else as the method declares; that is in float32, and
        lower precisions can take as much.
        """
        if self.backend.device.type == "cpu":
            for precision in (self.backend.precision, "fp32"):
                if precision in self.measured:
                    return self.measured[precision]
        return self.tiling.bytes_per_pixel

    def _plan(self, picture: images.Image | images.LargeImage) -> TilePlan:
        size = (picture.height, picture.width)
        if self._size is not None and not self.tiling.whole:
            return plan_of_size(size, self._size, self.tiling, self.overlap)
        pixels = None
        if not (self._ignores_memory or self.tiling.whole):
            budget = tile_budget(self.backend.device, self.memory)
            self.budget, pixels = budget.bytes, budget.largest_tile(self.bytes_per_pixel) // (self._batch or 1)
        return plan_tiles(size, self.tiling, max_side=self._max_side, max_pixels=pixels, overlap=self.overlap)

    def _tiles_at_once(self, plan: TilePlan) -> int:
        """As many as were asked for, or on CUDA as many as pay, where tiles are cut by memory no more than fit into it."""
        by_itself = self.backend.device.type == "cuda" and not self.backend.compiles
        most = self._most_at_once or (_MOST_AT_ONCE if by_itself else 1)
        if not self.backend.batches or most == 1:
            return 1
        if self._batch is None or not self._ignores_memory:
            room = tile_budget(self.backend.device, self.memory).largest_tile(self.bytes_per_pixel)
            most = min(most, room // (plan.tile[0] * plan.tile[1]))
        return max(1, min(most, plan.tiles))

    def _halved(self, plan: TilePlan) -> int:
        """The longest side of a tile after ``plan`` did not fit into memory."""
        if self.tiling.whole:
            raise OutOfMemoryError(
                f"{self.backend.device} has not enough memory for an image of {plan.size[1]}x{plan.size[0]} pixels, and "
                f"{self.method.name} must see it whole",
                "Reduce the image, close other programs or take another device",
            )
        smallest = least_side(self.tiling, self.overlap or 0)
        longest = max(plan.tile)
        if longest <= smallest or self._size is not None:
            raise OutOfMemoryError(
                f"{self.backend.device} has not enough memory even for tiles of {plan.tile[1]}x{plan.tile[0]} pixels",
                "Close other programs" + (", take a smaller overlap" if self.overlap else "") + " or take another device",
            )
        return max(smallest, longest // 2)

    def _measure(self, picture: images.Image | images.LargeImage) -> Extras:
        if type(self.method).measure is Method.measure:  # measures nothing, and need not see the whole in float32
            return {}
        if isinstance(picture, images.LargeImage):
            picture = picture.sample()
        return self._measured(_uncut(picture))

    def _measured(self, image: Any) -> Extras:
        if not self.backend.uses_torch:
            return dict(self.method.measure(image))  # type: ignore[arg-type]  # arrays in, arrays out
        import torch

        with torch.inference_mode():
            return as_arrays(self.method.measure(torch.from_numpy(image)))

    def _run(self, canvas: Canvas, plan: TilePlan, progress: Progress, extras: Extras) -> None:
        picture = canvas.picture
        progress(0, plan.tiles)
        anchor = self._anchor(picture, plan, extras)
        tiles = enumerate(self._tiles(picture, plan, extras), 1)

        def run(row: Span, column: Span) -> Mapping[str, FloatArray]:
            done, maps = next(tiles)
            if anchor is not None:
                maps = anchor.correct(maps, row, column)
            progress(done, plan.tiles)
            return maps

        for block in merge_tiles(plan, run):
            canvas.draw(block.rows, block.columns, self._finish(block.maps))

    def _tiles(
        self, picture: images.Image | images.LargeImage, plan: TilePlan, extras: Extras
    ) -> Iterator[dict[str, FloatArray]]:
        """The maps ``(C, h, w)`` of each tile in the plan's order. As many more are started as the backend wants to have."""
        waiting: deque[Callable[[], dict[str, FloatArray]]] = deque()
        for group in _alike(product(plan.rows, plan.columns), self.at_once):
            tiles = np.concatenate([_cut(picture, row, column) for row, column in group])
            beside = {name: values.repeat(len(group), axis=0) for name, values in extras.items()}
            waiting.append(self.backend.start(tiles, **beside))
            if len(waiting) > self.backend.ahead:
                yield from _finite(waiting.popleft()())
        while waiting:
            yield from _finite(waiting.popleft()())

    def _anchor(self, picture: images.Image | images.LargeImage, plan: TilePlan, extras: Extras) -> Anchor | None:
        """What tiles are to agree with; None where they need not, or do."""
        if not self.tiling.anchor or plan.exact:
            return None
        longest = self._max_side if self._size is None else min(self._size)
        copy = reduced(picture, reduced_size(plan, self.tiling.multiple, longest), band=plan.tile[0])
        return Anchor(_finite(self.backend.run(_uncut(copy), **extras))[0], plan.size, self.tiling.anchor)

    def _finish(self, maps: Mapping[str, FloatArray]) -> Prediction:
        if not self.backend.uses_torch:
            arrays: Any = {name: values[None] for name, values in maps.items()}
            return self.method.finish(arrays, self.config)
        import torch

        with torch.inference_mode():
            return self.method.finish({name: torch.from_numpy(values)[None] for name, values in maps.items()}, self.config)


class _NotFiniteError(Exception):
    """A tile's result holds infinities or what is not a number."""


class _ProgressError(Exception):
    """Memory ended in what reports progress: that is its caller's affair, and no reason for smaller tiles."""

    def __init__(self, cause: MemoryError) -> None:
        super().__init__()
        self.cause = cause


def _kept_apart(progress: Progress) -> Progress:
    def tell(done: int, tiles: int) -> None:
        try:
            progress(done, tiles)
        except MemoryError as error:
            raise _ProgressError(error) from None

    return tell


def _alike(tiles: Iterable[tuple[Span, Span]], most: int) -> Iterator[list[tuple[Span, Span]]]:
    """Tiles one after the other that have one size, up to ``most`` of them."""
    for _, same in groupby(tiles, lambda tile: tuple(span.stop - span.start for span in tile)):
        while group := list(islice(same, most)):
            yield group


def _finite(maps: Mapping[str, FloatArray]) -> list[dict[str, FloatArray]]:
    """The maps ``(N, C, h, w)`` of each of N tiles, ``(C, h, w)``; :class:`_NotFiniteError` if they are not all finite."""
    for values in maps.values():
        with np.errstate(invalid="ignore", over="ignore"):
            total = values.sum()  # not finite if one term is not, and takes no memory
        if not np.isfinite(total):
            raise _NotFiniteError
    return [dict(zip(maps, tile, strict=True)) for tile in zip(*maps.values(), strict=True)]


def _cut(picture: images.Image | images.LargeImage, row: Span, column: Span) -> FloatArray:
    """What a tile sees, ``(1, 3, h, w)``, RGB in [0, 1]."""
    values = images.to_float(picture.pixels[row.start : row.stop, column.start : column.stop])
    if picture.is_grey:
        values = values.repeat(3, axis=2)
    return values.transpose(2, 0, 1)[None]


def _uncut(picture: images.Image) -> FloatArray:
    """A picture as one tile."""
    row, column = (Span(0, side, 0, side, 0, 0) for side in (picture.height, picture.width))
    return _cut(picture, row, column)
