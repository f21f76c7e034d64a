"""Structural dissimilarity as a loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers import similarity_terms

WINDOW = 11
SIGMA = 1.5


def dssim(a: Tensor, b: Tensor) -> Tensor:
    """``1 - SSIM`` of two batches ``(B, C, H, W)`` in [0, 1]: 11 x 11 Gaussian window (sigma 1.5), whole windows only, one mean.

    The SSIM of :func:`restorekit.metrics.ssim`, which is the one of the pytorch-msssim package. What differs is what training
    needs: an axis shorter than the window is not smoothed, so that reduced images of small patches have a value too; and the
    five local means come from one separable depthwise convolution without padding.
    """
    moments = _smooth(torch.cat([a, b, a * a, b * b, a * b], 1))
    luminance, structure = similarity_terms(*moments.chunk(5, 1))
    return 1 - (luminance * structure).mean()


def _smooth(x: Tensor) -> Tensor:
    from kornia.filters import get_gaussian_kernel1d

    channels = x.shape[1]
    taps = get_gaussian_kernel1d(WINDOW, SIGMA, device=x.device, dtype=x.dtype).expand(channels, 1, 1, WINDOW)
    for axis, window in ((-2, taps.mT), (-1, taps)):
        if x.shape[axis] >= WINDOW:
            x = F.conv2d(x, window, groups=channels)
    return x
