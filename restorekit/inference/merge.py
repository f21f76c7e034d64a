"""Tiles back to an image, a band of rows at a time: what is kept does not grow with the image's height."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from restorekit.inference.tiling import Plan, Span

FloatArray = NDArray[np.float32]
RunTile = Callable[[Span, Span], Mapping[str, FloatArray]]
"""Gives the named maps ``(C, h, w)`` of the tile at a row span and a column span, for the pixels from ``start`` to ``stop``."""

_PIECE = 2**20  # pixels handed on at a time, so that what a consumer makes of them stays small


def merge_tiles(plan: Plan, run: RunTile) -> Iterator[tuple[int, dict[str, FloatArray]]]:
    """Run every tile, row by row, and give the image's rows from top to bottom as soon as no further tile reaches them.

    Args:
        plan: where the tiles lie.
        run: called once a tile, from left to right and from top to bottom. Its maps are not kept.

    Yields:
        The first row of a piece and its maps ``(C, rows, W)``, float32, the weighted means of the tiles. In memory the maps lie
        channels last, as networks give them and images keep them.
    """
    width = plan.size[1]
    carried: dict[str, FloatArray] = {}
    for row in plan.rows:
        band = _merge_row(plan, row, run, carried)
        finished = row.last - row.first - row.fade_out
        step = max(1, _PIECE // width)
        for top in range(0, finished, step):
            piece = slice(top, min(top + step, finished))
            yield row.first + top, {name: values[piece].transpose(2, 0, 1) for name, values in band.items()}
        carried = {name: values[finished:].copy() for name, values in band.items()}


def _merge_row(plan: Plan, row: Span, run: RunTile, carried: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The sums ``(rows, W, C)`` of one row of tiles, on top of what the row before left in the rows they share."""
    band: dict[str, FloatArray] = {}
    vertical = row.weights()
    for column in plan.columns:
        weights = vertical[:, None, None] * column.weights()[:, None]
        rows = slice(row.first - row.start, row.last - row.start)
        columns = slice(column.first - column.start, column.last - column.start)
        for name, values in run(row, column).items():
            if name not in band:
                band[name] = np.zeros((row.last - row.first, plan.size[1], values.shape[0]), np.float32)
                if name in carried:
                    band[name][: row.fade_in] = carried[name]
            band[name][:, column.first : column.last] += values[:, rows, columns].transpose(1, 2, 0) * weights
    return band
