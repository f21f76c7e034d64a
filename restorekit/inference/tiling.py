"""Where tiles lie: which pixels each one sees, which it answers for, and how it fades into its neighbours.

Lengths are counted in blocks of the method's ``multiple`` pixels, so that a network samples every tile on the grid of the whole
image. The last tile of a row or column ends where the image, padded to whole blocks, ends; it is cropped at the image's edge,
and the network pads it by its own rule as it would pad the whole image.

A tile carries ``overlap`` pixels of context around the pixels it answers for, so neighbours share at least twice that. Where the
overlap reaches the method's halo, tiles fade into each other only where both know the answer exactly; where it does not, they
fade over all they share, and the least certain pixels, at a tile's edge, weigh least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import SettingError
from restorekit.methods.base import Tiling

_GREATEST_ASPECT = 2  # slender tiles see little of what surrounds a pixel


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in pixels of the image; every ``stop`` and ``last`` is one past the end.

    Attributes:
        start: first pixel the network sees.
        stop: end of what it sees, cropped at the image's edge.
        first: first pixel whose answer is used.
        last: end of the pixels whose answers are used.
        fade_in: pixels from ``first`` on that the neighbour before answers too.
        fade_out: pixels up to ``last`` that the neighbour after answers too.
    """

    start: int
    stop: int
    first: int
    last: int
    fade_in: int
    fade_out: int

    def weights(self) -> NDArray[np.float32]:
        """The share of this tile in the pixels from ``first`` to ``last``: raised cosines at both ends, one between.

        Over all tiles of an axis they sum to one at every pixel.
        """
        weights = np.ones(self.last - self.first, np.float32)
        if self.fade_in:
            weights[: self.fade_in] = _ramp(self.fade_in)
        if self.fade_out:
            weights[len(weights) - self.fade_out :] = 1 - _ramp(self.fade_out)
        return weights


@dataclass(frozen=True)
class TilePlan:
    """How one image is cut: every pair of a row span and a column span is a tile.

    Attributes:
        size: rows and columns of the image.
        tile: rows and columns of every tile, multiples of the method's ``multiple``.
        overlap: pixels of context on each side of what a tile answers for.
        exact: whether the tiles give what the whole image would.
        rows: tiles from top to bottom.
        columns: tiles from left to right.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    overlap: int
    exact: bool
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return len(self.rows) * len(self.columns)

    @property
    def is_whole(self) -> bool:
        """Whether the image is one tile."""
        return self.tiles == 1


def plan_tiles(
    size: tuple[int, int],
    tiling: Tiling,
    *,
    max_side: int | None = None,
    max_pixels: int | None = None,
    overlap: int | None = None,
) -> TilePlan:
    """The plan with the least work: the whole image as one tile where the limits allow it, else few and large tiles of one size.

    Args:
        size: rows and columns of the image, at least 1.
        tiling: what the method asks for.
        max_side: longest side of a tile; None for no limit. Not below ``tiling.minimum``, and of no account for ``tiling.whole``.
        max_pixels: largest area of a tile; None for no limit. One that is too small for the smallest sensible tile is overrun.
        overlap: pixels of context on each side, rounded up to whole blocks and never reduced. None takes the method's, and less
            of it for tiles that are not four times as long.

    Raises:
        SettingError: if tiles within the limits have no room for the overlap asked for.
    """
    block = tiling.multiple
    blocks = (-(-size[0] // block), -(-size[1] // block))
    if tiling.whole:
        spans = (_cut(length, 0, 1, 0, block) for length in size)
        return TilePlan(size, (blocks[0] * block, blocks[1] * block), 0, True, *spans)
    minimum = -(-tiling.minimum // block)
    limits = _Limits(
        side=max(blocks) if max_side is None else max(max_side // block, minimum),
        area=blocks[0] * blocks[1] if max_pixels is None else max(max_pixels // block**2, minimum**2),
    )
    if overlap is None:
        margin, grid = _roomiest_grid(blocks, -(-tiling.overlap // block), minimum, limits)
    else:
        margin = -(-overlap // block)
        found = _best_grid(blocks, margin, max(minimum, 2 * margin + 1), limits)
        if found is None:
            raise no_room(overlap, tiling, limits.longest_side() * block)
        grid = found
    exact = tiling.is_exact(margin * block)
    trim = tiling.halo if exact and tiling.halo is not None else 0
    rows, columns = (
        _cut(length, side, count, trim, block)
        for length, side, count in zip(size, (grid.rows, grid.columns), (grid.down, grid.across), strict=True)
    )
    return TilePlan(size, (grid.rows * block, grid.columns * block), margin * block, exact or grid.tiles == 1, rows, columns)


def plan_of_size(size: tuple[int, int], tile: tuple[int, int], tiling: Tiling, overlap: int | None = None) -> TilePlan:
    """The plan whose tiles all have the size ``tile``, of which an image that is smaller fills a part only.

    Args:
        size: rows and columns of the image.
        tile: rows and columns of the tiles, multiples of ``tiling.multiple``.
        tiling: what the method asks for.
        overlap: see :func:`plan_tiles`.

    Raises:
        SettingError: if the tiles have no room for the overlap asked for.
    """
    block = tiling.multiple
    shortest = min(tile) // block
    margin = -(-(tiling.overlap if overlap is None else overlap) // block)
    if overlap is not None and 4 * margin > shortest:
        raise SettingError(
            f"an overlap of {overlap} pixels leaves less than half of a tile of {tile[1]}x{tile[0]}", "Take a smaller overlap"
        )
    while 2 * margin >= shortest:
        margin //= 2
    exact = tiling.is_exact(margin * block)
    trim = tiling.halo if exact and tiling.halo is not None else 0
    counts = [
        1 if -(-length // block) <= side // block else -(-(-(-length // block) - 2 * margin) // (side // block - 2 * margin))
        for length, side in zip(size, tile, strict=True)
    ]
    rows, columns = (
        _cut(length, side // block, count, trim, block) for length, side, count in zip(size, tile, counts, strict=True)
    )
    return TilePlan(size, tile, margin * block, exact or counts == [1, 1], rows, columns)


def least_side(tiling: Tiling, overlap: int) -> int:
    """The shortest side of a tile that has room for ``overlap`` pixels of context on each side."""
    block = tiling.multiple
    return max(-(-tiling.minimum // block), 2 * -(-overlap // block) + 1) * block


def no_room(overlap: int, tiling: Tiling, side: int) -> SettingError:
    """What to say where tiles of at most ``side`` pixels are too small for an overlap."""
    return SettingError(
        f"an overlap of {overlap} pixels needs tiles of at least {least_side(tiling, overlap)} a side, and {side} is the most",
        "Take a smaller overlap, a larger tile or more memory",
    )


@dataclass(frozen=True)
class _Limits:
    side: int
    area: int

    def longest_side(self) -> int:
        return min(self.side, int(self.area**0.5))


@dataclass(frozen=True)
class _Grid:
    """``down`` x ``across`` tiles of ``rows`` x ``columns`` blocks."""

    down: int
    across: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        return self.down * self.across

    def cost(self, blocks: tuple[int, int]) -> tuple[bool, int, int]:
        """What makes one grid worse than another: slender tiles, then the area the network runs over, then more tiles."""
        short, long = sorted((self.rows, self.columns))
        spans_image = self.rows == short == blocks[0] or self.columns == short == blocks[1]
        return long > _GREATEST_ASPECT * short and not spans_image, self.tiles * self.rows * self.columns, self.tiles


def _roomiest_grid(blocks: tuple[int, int], margin: int, minimum: int, limits: _Limits) -> tuple[int, _Grid]:
    """The largest of ``margin``, its half, its quarter... that leaves tiles room, and the best grid with it."""
    while True:
        grid = _best_grid(blocks, margin, max(minimum, 4 * margin), limits)
        if grid is not None:
            return margin, grid
        margin //= 2


def _best_grid(blocks: tuple[int, int], margin: int, least: int, limits: _Limits) -> _Grid | None:
    grids = (
        _Grid(down, across, rows, columns)
        for down, rows in _sides(blocks[0], margin, least, limits.side)
        for across, columns in _sides(blocks[1], margin, least, limits.side)
        if rows * columns <= limits.area
    )
    return min(grids, key=lambda grid: grid.cost(blocks), default=None)


def _sides(length: int, margin: int, least: int, most: int) -> Iterator[tuple[int, int]]:
    """The ways to cover ``length`` blocks: how many tiles, and the shortest side (``least`` to ``most``) that will do."""
    if length <= most:
        yield 1, length
    previous = length
    count = 2
    while previous > least:
        side = max(-(-(length - 2 * margin) // count) + 2 * margin, least)
        if side < previous:
            previous = side
            if side <= most:
                yield count, side
        count += 1


def _cut(length: int, side: int, count: int, trim: int, block: int) -> tuple[Span, ...]:
    """``count`` tiles of ``side`` blocks, evenly over ``length`` pixels; ``trim`` pixels at their inner edges are not used."""
    if count == 1:
        return (Span(0, length, 0, length, 0, 0),)
    slack = -(-length // block) - side
    starts = [i * slack // (count - 1) * block for i in range(count)]
    shared = [(start, before + side * block) for before, start in pairwise(starts)]
    centres = [(low + high) // 2 for low, high in shared]
    # Fades that do not meet leave at most two tiles in any pixel, which sum to one by construction.
    longest = min((b - a for a, b in pairwise(centres)), default=length) // 2
    radii = [max(0, min((high - low) // 2 - trim, longest)) for low, high in shared]
    firsts = [0, *(centre - radius for centre, radius in zip(centres, radii, strict=True))]
    lasts = [*(centre + radius for centre, radius in zip(centres, radii, strict=True)), length]
    fades = [0, *(2 * radius for radius in radii), 0]
    return tuple(
        Span(start, min(start + side * block, length), first, last, before, after)
        for start, first, last, before, after in zip(starts, firsts, lasts, fades, fades[1:], strict=False)
    )


def _ramp(length: int) -> NDArray[np.float32]:
    """A raised cosine from 0 to 1 over ``length`` pixels."""
    return np.sin(np.pi / 2 * (np.arange(length) + 0.5) / length).astype(np.float32) ** 2
