"""Multi-scale structural similarity."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers import similarity_terms
from restorekit.metrics.shapes import check_pair
from restorekit.metrics.structural import SIGMA, WINDOW

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales, from fine to coarse (Wang, Simoncelli and Bovik 2003, section 4)."""

MINIMUM = WINDOW * 2 ** (len(WEIGHTS) - 1)
"""The smallest side that leaves one whole window on the coarsest scale: 176 pixels."""


def ms_ssim(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """MS-SSIM of each image of a batch: five scales, each half of the one before by means of 2 x 2, whole windows only.

    The form of Wang, Simoncelli and Bovik (2003): contrast and structure of the four fine scales and the whole SSIM of the
    coarsest, each the mean over its map, raised to :data:`WEIGHTS`; then the mean over channels. A negative mean counts as 0.

    torchmetrics' form is not used: it takes the coarsest scale with mirrored borders, which moves the fourth decimal, by as much
    as 5 in photographs of 200 pixels.

    Args:
        a: ``(B, C, H, W)``, floating point, H and W at least 176.
        b: the same shape.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.

    Returns:
        ``(B,)``, from 0 to 1.

    Raises:
        UsageError: when the shapes differ or an image is too small.
    """
    check_pair(a, b, minimum=MINIMUM)
    result = a.new_ones(a.shape[:2])
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        luminance, structure = _terms(a, b, peak)
        term = structure if scale < len(WEIGHTS) - 1 else luminance * structure
        result = result * term.mean((2, 3)).clamp_min(0) ** weight
    return result.mean(1)


def _terms(a: Tensor, b: Tensor, peak: float) -> tuple[Tensor, Tensor]:
    """The maps of luminance, and of contrast times structure."""
    from kornia.filters import filter2d_separable, get_gaussian_kernel1d

    taps = get_gaussian_kernel1d(WINDOW, SIGMA, device=a.device, dtype=a.dtype)
    blurred = filter2d_separable(torch.cat([a, b, a * a, b * b, a * b]), taps, taps, padding="valid")
    return similarity_terms(*blurred.chunk(5), peak=peak)
