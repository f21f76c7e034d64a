"""Maps at other sizes, in NumPy alone, so that every backend gives the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def means(values: FloatArray, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> FloatArray:
    """The means of ``(C, h, w)`` over cells: those between each two of ``rows``, and of ``columns``, next to one another. Edges
    rise, and may lie within pixels, of which each cell gets its share.
    """
    return _means_across(_means_across(values.swapaxes(1, 2), rows).swapaxes(1, 2), columns)


def enlarged(values: FloatArray, size: tuple[int, int]) -> FloatArray:
    """``(..., h, w)`` at another size, bilinear between pixel centres."""
    for axis, length in zip((-2, -1), size, strict=True):
        old = values.shape[axis]
        if old == length:
            continue
        at = ((np.arange(length) + 0.5) * (old / length) - 0.5).clip(0, old - 1)
        low = np.minimum(at.astype(int), max(old - 2, 0))
        share = (at - low).astype(np.float32)
        if axis == -2:
            share = share[:, None]
        high = np.minimum(low + 1, old - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _means_across(values: FloatArray, edges: NDArray[np.float64]) -> FloatArray:
    """``(..., w)`` to ``(..., len(edges) - 1)``."""
    first = int(edges[0])
    part = values[..., first : int(np.ceil(edges[-1]))]
    sums = np.zeros((*part.shape[:-1], part.shape[-1] + 1))
    np.cumsum(part, -1, np.float64, sums[..., 1:])
    low = (edges.astype(int) - first).clip(0, part.shape[-1] - 1)
    share = edges - first - low
    until = sums[..., low] * (1 - share) + sums[..., low + 1] * share
    return (np.diff(until) / np.diff(edges)).astype(np.float32)
