"""Structural similarity: the usual one of Wang et al. (2004), scikit-image's default, and the 3-D one of the NAFNet tables."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers import similarity_terms
from restorekit.metrics.shapes import check_pair

WINDOW = 11
SIGMA = 1.5
_STRIP = 1 << 22


def ssim(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """SSIM of each image of a batch: 11 x 11 Gaussian window (sigma 1.5), whole windows only, mean over pixels and channels.

    The form of Wang et al. and of scikit-image's ``structural_similarity`` with ``gaussian_weights=True``, ``sigma=1.5`` and
    ``use_sample_covariance=False``. Large images are worked through in strips of rows: the same number in bounded memory.

    Args:
        a: ``(B, C, H, W)``, floating point, H and W at least 11.
        b: the same shape.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.

    Returns:
        ``(B,)``, at most 1.

    Raises:
        UsageError: when the shapes differ or an image is smaller than the window.
    """
    from kornia.metrics import ssim as ssim_map

    check_pair(a, b, minimum=WINDOW)
    rows = a.shape[2] - WINDOW + 1
    step = max(WINDOW, _STRIP // (a.shape[1] * a.shape[3]))
    total = a.new_zeros(a.shape[0])
    for start in range(0, rows, step):
        strip = slice(start, min(start + step, rows) + WINDOW - 1)
        found = ssim_map(a[:, :, strip], b[:, :, strip], WINDOW, float(peak), eps=0.0, padding="valid")
        total = total + found.mean((1, 3)).sum(1)
    return total / rows


def ssim_uniform(a: Tensor, b: Tensor, peak: float = 1.0, window: int = 7) -> Tensor:
    """SSIM with a plain square window and unbiased variances: what scikit-image's ``structural_similarity`` gives by default.

    Several papers' tables were made with it, without saying so. Whole windows only, mean over pixels and channels.

    Args:
        a: ``(B, C, H, W)``, floating point, H and W at least ``window``.
        b: the same shape.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.
        window: side of the window, odd.

    Returns:
        ``(B,)``, at most 1.

    Raises:
        UsageError: when the shapes differ or an image is smaller than the window.
    """
    check_pair(a, b, minimum=window)
    kind = a.dtype
    a, b = a.double(), b.double()  # the differences of near squares would cost float32 its fourth digit
    moments = (F.avg_pool2d(x, window, stride=1) for x in (a, b, a * a, b * b, a * b))
    luminance, structure = similarity_terms(*moments, peak=peak, unbiased=window**2 / (window**2 - 1))
    return (luminance * structure).mean((1, 2, 3)).to(kind)


def ssim3d(a: Tensor, b: Tensor, peak: float = 1.0) -> Tensor:
    """The SSIM of the NAFNet, HINet, MPRNet and Restormer tables: an 11 x 11 x 11 Gaussian over rows, columns *and colour*.

    Borders are replicated in all three directions and the whole map counts. It is not the usual SSIM: report it under its own
    name, and only beside numbers taken the same way.

    Args:
        a: ``(B, 3, H, W)``, floating point.
        b: the same shape.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.

    Returns:
        ``(B,)``, at most 1.

    Raises:
        UsageError: when the shapes differ.
    """
    check_pair(a, b)
    moments = (_blur3d(x) for x in (a, b, a * a, b * b, a * b))
    luminance, structure = similarity_terms(*moments, peak=peak)
    return (luminance * structure).mean((1, 2, 3))


def _blur3d(x: Tensor) -> Tensor:
    """Gaussian over colour, rows and columns of ``(B, C, H, W)``. Over few channels with replicated ends it is a C x C matrix."""
    from kornia.filters import filter2d_separable, get_gaussian_kernel1d

    taps = get_gaussian_kernel1d(WINDOW, SIGMA, device=x.device, dtype=x.dtype)
    channels = x.shape[1]
    offsets = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    sources = (torch.arange(channels, device=x.device)[:, None] + offsets).clamp(0, channels - 1)
    mixing = x.new_zeros(channels, channels).scatter_add_(1, sources, taps.expand(channels, -1))
    return filter2d_separable(torch.einsum("oc,bchw->bohw", mixing, x), taps, taps, border_type="replicate")
