"""The first layer of a network.

Source: Restormer (2022, arXiv 2111.09881).
"""

from __future__ import annotations

from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """The image as features: a 3x3 convolution, ``(B, 3, H, W)`` to ``(B, D, H, W)``; ``colours`` is 3 but for folded images."""

    def __init__(self, channels: int, colours: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv2d(colours, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.proj(x)
        return features
