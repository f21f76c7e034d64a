"""Metrics of one pixel at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.metrics.shapes import check_pair


def psnr(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """PSNR of each image of a batch in decibels: ``10 log10(peak^2 / mse)``, the mean square error taken over all channels
    and pixels.

    Args:
        a: ``(B, C, H, W)``, floating point.
        b: the same shape.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.

    Returns:
        ``(B,)``; infinite where the images are equal.

    Raises:
        UsageError: when the shapes differ.
    """
    check_pair(a, b)
    return 10 * torch.log10(peak**2 / (a - b).square().mean((1, 2, 3)))
