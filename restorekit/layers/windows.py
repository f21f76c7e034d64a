"""A map cut into overlapping windows of one size, and put together again."""

from __future__ import annotations

from itertools import pairwise, product

import torch
from torch import Tensor

from restorekit.layers.tracing import is_exported

STEP = 4
"""Windows start and end at multiples of this, as the maps they are cut of do."""


class Windows:
    """Where the windows of a map lie: evenly, from border to border.

    Args:
        height, width: of the map, multiples of :data:`STEP`.
        window: which side windows shall have and how much they share with their neighbours, multiples of :data:`STEP`; None for
            one that is the whole map. As many are taken as fit that best, so that they are somewhat larger or smaller.

    Attributes:
        plane: (height, width) of the map.
        size: (rows, columns) of every window.
        corners: (top, left) of each, row by row.
    """

    def __init__(self, height: int, width: int, window: tuple[int, int] | None) -> None:
        self.plane = (height, width)
        (rows, self._tops), (columns, self._lefts) = (_spread(length, window) for length in self.plane)
        self.size = (rows, columns)
        self.corners = list(product(self._tops, self._lefts))

    @property
    def spacing(self) -> int:
        """The least distance from one window to the next, or from border to border where there is one only."""
        gaps = [after - before for starts in (self._tops, self._lefts) for before, after in pairwise(starts)]
        return min([*gaps, *self.size])

    def cut(self, x: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B n, C, h, w)``: the windows of the first map, then those of the next."""
        if len(self.corners) == 1:
            return x
        rows, columns = self.size
        parts = [x[..., top : top + rows, left : left + columns] for top, left in self.corners]
        return torch.stack(parts, 1).flatten(0, 1)

    def merge(self, parts: Tensor) -> Tensor:
        """``(B n, C, h, w)`` to ``(B, C, H, W)``: where windows overlap, a mean with weights that fall to their edges."""
        if len(self.corners) == 1:
            return parts
        rows, columns = self.size
        vertical, horizontal = (
            _weights(starts, size, length, parts)
            for starts, size, length in zip((self._tops, self._lefts), self.size, self.plane, strict=True)
        )
        merged = parts.new_zeros(parts.shape[0] // len(self.corners), parts.shape[1], *self.plane)
        each = torch.unflatten(parts, 0, (-1, len(self.corners)))
        weights = product(vertical, horizontal)
        for number, ((top, left), (down, across)) in enumerate(zip(self.corners, weights, strict=True)):
            merged[..., top : top + rows, left : left + columns] += each[:, number] * (down[:, None] * across)
        return merged


def _spread(length: int, window: tuple[int, int] | None) -> tuple[int, list[int]]:
    """The size of the windows along an axis, and where they start."""
    if window is None or is_exported():  # a graph is for tiles that are one window, see Method.longest_exported_side
        return length, [0]
    side, overlap = window
    count = max(1, round((length - overlap) / (side - overlap)))
    if count == 1:
        return length, [0]
    size = -(-(length + (count - 1) * overlap) // (count * STEP)) * STEP
    return size, [round(number * (length - size) / ((count - 1) * STEP)) * STEP for number in range(count)]


def _weights(starts: list[int], size: int, length: int, like: Tensor) -> list[Tensor]:
    """For each window along an axis the weights of its pixels: falling to both its ends, and of sum 1 over the windows."""
    ramp = torch.arange(1, size + 1, dtype=like.dtype, device=like.device)
    tent = torch.minimum(ramp, ramp.flip(0))
    total = like.new_zeros(length)
    for start in starts:
        total[start : start + size] += tent
    return [tent / total[start : start + size] for start in starts]
