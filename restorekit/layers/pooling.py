"""Local means in place of global ones (TLC, "Revisiting Global Statistics Aggregation for Improving Image Restoration", 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported


def local_mean(x: Tensor, window: tuple[int, int]) -> Tensor:
    """The mean of ``(B, C, H, W)`` over a window around each pixel, as TLC takes it.

    Windows lie wholly inside the map; towards its border the nearest whole window serves ("valid" means, replicated outwards). A
    window that covers the map in both directions gives the global mean, of shape ``(B, C, 1, 1)``.

    The authors take a 2-D integral image. Two one-dimensional passes of differences of cumulative sums give the same numbers with
    a fifth of the rounding error; they run in float32 at least, for a sum over hundreds of pixels overruns
    bfloat16.
    """
    if is_exported():
        return _means_at_any_size(_means_at_any_size(x, window[0], 2), window[1], 3)
    height, width = x.shape[-2:]
    if window[0] >= height and window[1] >= width:
        return x.mean((2, 3), keepdim=True)
    k1, k2 = min(window[0], height), min(window[1], width)
    precise = x if x.dtype == torch.float64 else x.float()
    means = _box_mean(_box_mean(precise, k1, dim=2), k2, dim=3).to(x.dtype)
    missing_rows, missing_columns = height - means.shape[2], width - means.shape[3]
    left, top = missing_columns // 2, missing_rows // 2
    return F.pad(means, (left, missing_columns - left, top, missing_rows - top), mode="replicate")


def _box_mean(x: Tensor, size: int, dim: int) -> Tensor:
    if size == x.shape[dim]:
        return x.mean(dim, keepdim=True)
    sums = x.cumsum(dim)
    length = x.shape[dim]
    first = sums.narrow(dim, size - 1, 1)
    rest = sums.narrow(dim, size, length - size) - sums.narrow(dim, 0, length - size)
    return torch.cat([first, rest], dim).div_(size)


def _means_at_any_size(x: Tensor, size: int, dim: int) -> Tensor:
    """One direction of :func:`local_mean`, replicated outwards, without a condition on the size of the map."""
    positions = torch.arange(x.shape[dim], device=x.device)
    length = positions[-1:] + 1
    span = length.clamp_max(size)
    first = torch.minimum((positions - (span - 1) // 2).clamp_min(0), length - span)
    sums = x.cumsum(dim)
    sums = torch.cat([torch.zeros_like(sums.narrow(dim, 0, 1)), sums], dim)
    return (sums.index_select(dim, first + span) - sums.index_select(dim, first)) / span.to(x.dtype)


def coarse_local_mean(x: Tensor, window: tuple[int, int], cells: int) -> Tensor:
    """:func:`local_mean` at every so many pixels only, of a map that is first reduced to cells, so many to a window's side.

    Such means hardly differ from pixel to pixel; a cell takes one look at the map in place of many. ``(B, C, H, W)`` to a map of
    cells, to be interpolated, or to ``(B, C, 1, 1)`` where the window covers the map in both directions.
    """
    if window[0] >= x.shape[2] and window[1] >= x.shape[3]:
        return x.mean((2, 3), keepdim=True)
    cell = (max(1, window[0] // cells), max(1, window[1] // cells))
    reduced = F.avg_pool2d(x, cell, ceil_mode=True, count_include_pad=False)
    return local_mean(reduced, (window[0] // cell[0], window[1] // cell[1]))


class LocalMean2d(nn.Module):
    """Global mean of ``(B, C, H, W)``, or :func:`local_mean` over ``window`` (rows, columns) where one is given.

    With ``cells`` it is :func:`coarse_local_mean`. Has no parameters, so a network trained with one form loads into the others.
    """

    def __init__(self, window: tuple[int, int] | None = None, cells: int | None = None) -> None:
        super().__init__()
        self.window = window
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        if self.window is None:
            return x.mean((2, 3), keepdim=True)
        return local_mean(x, self.window) if self.cells is None else coarse_local_mean(x, self.window, self.cells)

    def extra_repr(self) -> str:
        return f"window={self.window}" + ("" if self.cells is None else f", cells={self.cells}")
