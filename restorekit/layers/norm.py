"""Normalisation over the channels of each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LayerNorm2d(nn.Module):
    """Layer normalisation of ``(B, C, H, W)`` over C, pixel by pixel, with biased variance and ``eps`` inside the root.

    ``(x - mean) / sqrt(var + eps) * weight + bias``. The permutation to channels-last and back is a view when the tensor is in
    the ``channels_last`` memory format, and lets PyTorch's fused kernel do the work.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
        return normed.permute(0, 3, 1, 2)
