"""Tiles back to an image, a block at a time: what is kept is one tile, and the rows that tiles share with those below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from restorekit.inference.tiling import Span, TilePlan

FloatArray = NDArray[np.float32]
RunTile = Callable[[Span, Span], Mapping[str, FloatArray]]
"""Gives the named maps ``(C, h, w)`` of the tile at a row span and a column span, for the pixels from ``start`` to ``stop``."""

_PIECE = 2**20  # pixels handed on at a time, so that what a consumer makes of them stays small


@dataclass(frozen=True)
class Block:
    """A part of the image that no further tile reaches.

    Attributes:
        rows: which rows of the image.
        columns: which columns.
        maps: the maps there, ``(C, rows, columns)``, float32: the weighted means of the tiles. In memory they lie channels last,
            as networks give them and images keep them.
    """

    rows: slice
    columns: slice
    maps: dict[str, FloatArray]


def merge_tiles(plan: TilePlan, run: RunTile) -> Iterator[Block]:
    """Run every tile, and give every pixel of the image once, as soon as no further tile reaches it.

    Args:
        plan: where the tiles lie.
        run: called once a tile, from left to right and from top to bottom. Its maps are not kept.

    Yields:
        Blocks in the order of the tiles, each from top to bottom.
    """
    above: dict[str, FloatArray] = {}
    for row in plan.rows:
        below: dict[str, FloatArray] = {}
        finished = row.last - row.fade_out
        for column, sums in _merge_row(row, plan.columns, run):
            columns = slice(column.first, column.last - column.fade_out)
            for name, values in sums.items():
                if row.fade_in:
                    values[: row.fade_in] += above[name][:, columns]
                if row.fade_out:
                    if name not in below:
                        below[name] = np.empty((row.fade_out, plan.size[1], values.shape[2]), np.float32)
                    below[name][:, columns] = values[finished - row.first :]
            step = max(1, _PIECE // max(1, columns.stop - columns.start))
            for top in range(row.first, finished, step):
                rows = slice(top, min(top + step, finished))
                here = slice(rows.start - row.first, rows.stop - row.first)
                yield Block(rows, columns, {name: values[here].transpose(2, 0, 1) for name, values in sums.items()})
        above = below


def _merge_row(row: Span, columns: tuple[Span, ...], run: RunTile) -> Iterator[tuple[Span, dict[str, FloatArray]]]:
    """The tiles of a row, each with its sums ``(rows, columns, C)`` as far as no tile to its right adds to them."""
    vertical = row.weights()
    left: dict[str, FloatArray] = {}
    for column in columns:
        weights = vertical[:, None, None] * column.weights()[:, None]
        used = row.first - row.start, column.first - column.start
        finished = column.last - column.first - column.fade_out
        sums: dict[str, FloatArray] = {}
        for name, values in run(row, column).items():
            seen = values[:, used[0] :, used[1] :][:, : weights.shape[0], : weights.shape[1]]
            tile = np.multiply(seen.transpose(1, 2, 0), weights, order="C")
            if column.fade_in:
                tile[:, : column.fade_in] += left[name]
            left[name] = tile[:, finished:].copy()
            sums[name] = tile[:, :finished]
        yield column, sums
