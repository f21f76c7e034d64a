"""One tone for all tiles of a network that judges an image as a whole.

Such a network takes more haze off a tile of sky than off a tile of rock, and the tiles' tones differ, in blocks. Run once on a
copy of the whole image, reduced to what a tile may take, it gives one verdict for all of it. That is too coarse for an answer,
but not for its tone: in cells of some pixels a side, every tile is given the means of the reduced answer, and keeps its detail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.inference.resampling import enlarged, means
from restorekit.inference.tiling import Span, TilePlan

FloatArray = NDArray[np.float32]


class Anchor:
    """What tiles are to agree with.

    Args:
        maps: what the network gives for the reduced image, ``(C, h, w)`` each.
        size: rows and columns of the image itself.
        cell: side of the cells, in pixels of the image; a tile has a whole number of them.
    """

    def __init__(self, maps: Mapping[str, FloatArray], size: tuple[int, int], cell: int) -> None:
        self._maps = maps
        self._size = size
        self._cell = cell

    def correct(self, maps: Mapping[str, FloatArray], row: Span, column: Span) -> dict[str, FloatArray]:
        """The maps ``(C, h, w)`` of the tile at two spans, with the tone of the whole image."""
        rows, columns = (self._edges(span) for span in (row, column))
        corrected = {}
        for name, values in maps.items():
            whole = self._maps[name]
            down, across = (own / full for own, full in zip(whole.shape[1:], self._size, strict=True))
            wrong = means(whole, rows * down, columns * across) - means(values, rows - row.start, columns - column.start)
            corrected[name] = values + enlarged(wrong, (values.shape[1], values.shape[2]))
        return corrected

    def _edges(self, span: Span) -> NDArray[np.float64]:
        return np.linspace(span.start, span.stop, max(1, round((span.stop - span.start) / self._cell)) + 1)


def reduced_size(plan: TilePlan, multiple: int, longest: int | None) -> tuple[int, int]:
    """Rows and columns, multiples of ``multiple``, of a copy of the image that takes no more than a tile; no side is longer than
    ``longest``.
    """
    scale = min(1.0, math.sqrt(math.prod(plan.tile) / math.prod(plan.size)))
    if longest is not None:
        scale = min(scale, longest / max(plan.size))
    down, across = (max(multiple, int(side * scale) // multiple * multiple) for side in plan.size)
    return down, across


def reduced(picture: images.Image | images.LargeImage, size: tuple[int, int], band: int) -> images.Image:
    """A copy of ``size`` rows and columns, in float32, each pixel the mean of what it covers; about ``band`` rows of the picture
    are read at a time.
    """
    rows = np.linspace(0, picture.height, size[0] + 1)
    columns = np.linspace(0, picture.width, size[1] + 1)
    step = max(1, band * size[0] // picture.height)
    lines = []
    for edges in (rows[first : first + step + 1] for first in range(0, size[0], step)):
        top = int(edges[0])
        samples = picture.pixels[top : math.ceil(edges[-1]), 0 : picture.width]
        for low, high in pairwise(edges - top):  # as float32, a band would be four times as large
            start = int(low)
            line = images.to_float(samples[start : math.ceil(high)]).transpose(2, 0, 1)
            lines.append(means(line, np.array([low, high]) - start, columns))
    return images.Image(np.concatenate(lines, 1).transpose(1, 2, 0))
