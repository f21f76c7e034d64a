"""Convolutions whose results lie plane by plane in memory, whatever the memory format of map and weights.

A network in ``channels_last`` would otherwise hand on maps in which neighbours in a plane lie far apart. Ranks are taken within
planes: sorting and gathering such maps takes several times as long.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1x1 convolution of ``(B, C, H, W)`` with ``weight`` ``(D, C, 1, 1)``, as a product of matrices."""
    product = torch.bmm(weight.flatten(1).expand(len(x), -1, -1), x.flatten(2))
    y = product.view(len(x), len(weight), *x.shape[2:])
    return y if bias is None else y + bias.view(-1, 1, 1)


def depthwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 convolution of ``(B, C, H, W)``, channel by channel, with ``weight`` ``(C, 1, 3, 3)``, zeros beyond the border."""
    planar = weight.flatten(1).view(weight.shape)  # without the strides of channels_last, which the result would take over
    return F.conv2d(x.contiguous(), planar, bias, padding=1, groups=len(weight))
