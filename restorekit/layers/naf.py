"""Blocks without activation functions: gates and channel attention.

Source: "Simple Baselines for Image Restoration" (NAFNet, 2022, arXiv 2204.04676).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers.norm import LayerNorm2d
from restorekit.layers.pooling import LocalMean2d


def gate(x: Tensor) -> Tensor:
    """SimpleGate: the first half of the channels times the second, ``(B, 2C, H, W)`` to ``(B, C, H, W)``."""
    a, b = x.chunk(2, dim=1)
    return a * b


def scaled_conv1x1(x: Tensor, conv: nn.Conv2d, scale: Tensor) -> Tensor:
    """``scale * conv(x)`` with the scale of each output channel moved into the weights: one pass over the map less, both ways."""
    s = scale.flatten()
    return F.conv2d(x, conv.weight * s[:, None, None, None], None if conv.bias is None else conv.bias * s)


class GatedConvolution(nn.Module):
    """The first half of a NAF block, without its shortcut: ``conv3(sca(gate(conv2(conv1(norm1(x))))))``.

    ``sca`` multiplies by a 1x1 convolution of the mean: global, or over ``window`` (rows, columns), at every pixel or at
    ``cells`` to a window's side and interpolated.
    """

    def __init__(self, channels: int, window: tuple[int, int] | None = None, cells: int | None = None) -> None:
        super().__init__()
        c = channels
        self.norm1 = LayerNorm2d(c)
        self.conv1 = nn.Conv2d(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.sca = nn.Sequential(LocalMean2d(window, cells), nn.Conv2d(c, c, 1))
        self.conv3 = nn.Conv2d(c, c, 1)

    def gated(self, x: Tensor) -> Tensor:
        """``gate(conv2(conv1(norm1(x))))``, ``(B, C, H, W)``."""
        return gate(self.conv2(self.conv1(self.norm1(x))))

    def attended(self, u: Tensor, scale: Tensor) -> Tensor:
        """``scale * conv3(u * sca(u))``."""
        weights = self.sca(u)
        if weights.shape[2:] not in (u.shape[2:], (1, 1)):
            weights = F.interpolate(weights, size=u.shape[2:], mode="bilinear", align_corners=False)
        return scaled_conv1x1(u * weights, self.conv3, scale)


class NAFBlock(GatedConvolution):
    """A nonlinear-activation-free block: gated depthwise convolution with channel attention, then a gated feed-forward part.

    ``y = x + beta * conv3(sca(gate(conv2(conv1(norm1(x))))))``, ``z = y + gamma * conv5(gate(conv4(norm2(y))))``. ``beta`` and
    ``gamma`` start at zero: a new block is the identity.
    """

    def __init__(self, channels: int, window: tuple[int, int] | None = None, cells: int | None = None) -> None:
        super().__init__(channels, window, cells)
        c = channels
        self.norm2 = LayerNorm2d(c)
        self.conv4 = nn.Conv2d(c, 2 * c, 1)
        self.conv5 = nn.Conv2d(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.fed_forward(x + self.attended(self.gated(x), self.beta))

    def fed_forward(self, y: Tensor) -> Tensor:
        """The second half, with its shortcut."""
        return y + scaled_conv1x1(gate(self.conv4(self.norm2(y))), self.conv5, self.gamma)
