"""Half and double the resolution: pixels become channels and back.

Source: Restormer (2022, arXiv 2111.09881).
"""

from __future__ import annotations

from torch import Tensor, nn


class Downsample(nn.Module):
    """``(B, C, H, W)`` to ``(B, 2C, H/2, W/2)``: a 3x3 convolution to C/2 channels, whose 2x2 neighbours become channels.

    C, H and W must be even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, channels // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.body(x)
        return halved


class Upsample(nn.Module):
    """``(B, C, H, W)`` to ``(B, C/2, 2H, 2W)``: a 3x3 convolution to 2C channels, fours of which become 2x2 neighbours.

    C must be even.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.body(x)
        return doubled
