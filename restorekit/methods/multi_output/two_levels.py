"""A small network that looks at full and at half resolution, and begins as nothing: for what is to be weighed pixel by pixel."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LayerT = TypeVar("LayerT", nn.Conv2d, nn.Linear)


class TwoLevels(nn.Module):
    """Reads maps ``(N, given, H, W)``, H and W even, and writes maps ``(N, asked, H, W)``, which are 0 until it has learnt.

    Args:
        given: channels of what it reads.
        width: channels at full resolution; three times as many at half of it.
        asked: channels of what it writes.
    """

    def __init__(self, given: int, width: int, asked: int) -> None:
        super().__init__()
        self.intro = nn.Conv2d(given, width, 3, padding=1)
        self.down = nn.Conv2d(width, 3 * width, 2, stride=2)
        self.body = nn.Sequential(*(Residual(3 * width, dilation, last=dilation) for dilation in (1, 2, 4)))
        self.up = nn.Sequential(nn.Conv2d(3 * width, 4 * width, 1), nn.PixelShuffle(2))
        self.join = nn.Conv2d(2 * width, width, 3, padding=1)
        self.ending = silent(nn.Conv2d(width, asked, 3, padding=1))

    def forward(self, maps: Tensor) -> Tensor:
        fine = F.gelu(self.intro(maps))
        coarse = self.up(self.body(self.down(fine)))
        return self.ending(F.gelu(self.join(torch.cat([fine, coarse], 1))))


class Residual(nn.Module):
    """Two convolutions with a shortcut, which begin as nothing."""

    def __init__(self, channels: int, first: int = 1, last: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=first, dilation=first)
        self.last = silent(nn.Conv2d(channels, channels, 3, padding=last, dilation=last))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(F.gelu(self.first(x)))


def silent(layer: LayerT) -> LayerT:
    """The layer, which gives nothing until it has learnt."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
