"""Structural dissimilarity as a loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5


def dssim(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """``1 - SSIM`` of two batches ``(B, C, H, W)``: 11 x 11 Gaussian window (sigma 1.5), whole windows only, one mean over all.

    The SSIM of :func:`restorekit.metrics.ssim`, which is the one of the pytorch-msssim package. What differs is what training
    needs: an axis shorter than the window is not smoothed, so that reduced images of small patches have a value too; and the
    five local means come from one separable depthwise convolution without padding.
    """
    moments = _smooth(torch.cat([a, b, a * a, b * b, a * b], 1))
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, 1)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    structure = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    return 1 - (luminance * structure).mean()


def _smooth(x: Tensor) -> Tensor:
    from kornia.filters import get_gaussian_kernel1d

    channels = x.shape[1]
    taps = get_gaussian_kernel1d(WINDOW, SIGMA, device=x.device, dtype=x.dtype).expand(channels, 1, 1, WINDOW)
    for axis, window in ((-2, taps.mT), (-1, taps)):
        if x.shape[axis] >= WINDOW:
            x = F.conv2d(x, window, groups=channels)
    return x
