from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import UsageError
from restorekit.metrics import ms_ssim
from restorekit.metrics.multiscale import WEIGHTS

Plane = NDArray[np.float64]


def smooth_pair(height: int, width: int, sigma: float = 0.05) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    a = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    return a, (a + sigma * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)


def by_the_book(a: Plane, b: Plane) -> float:
    """One channel after Wang et al. (2003), with SciPy's filters."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    taps /= taps.sum()

    def blur(x: Plane) -> Plane:
        return correlate1d(correlate1d(x, taps, axis=0), taps, axis=1)[5:-5, 5:-5]

    result = 1.0
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            a, b = (x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2] for x in (a, b))
            a, b = ((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4 for x in (a, b))
        mean_a, mean_b = blur(a), blur(b)
        variance = blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2
        structure = (2 * (blur(a * b) - mean_a * mean_b) + 0.03**2) / (variance + 0.03**2)
        if scale == len(WEIGHTS) - 1:
            structure = structure * (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
        result *= structure.mean() ** weight
    return result


def test_agrees_with_the_definition() -> None:
    a, b = smooth_pair(181, 200)
    expected = [
        np.mean([by_the_book(p, q) for p, q in zip(x.numpy(), y.numpy(), strict=True)]) for x, y in zip(a, b, strict=True)
    ]
    assert ms_ssim(a, b).tolist() == pytest.approx(expected, abs=1e-9)
    assert ms_ssim(255 * a, 255 * b, 255).tolist() == pytest.approx(expected, abs=1e-9)


def test_equal_images_score_one_and_opposite_ones_zero() -> None:
    a, _ = smooth_pair(176, 176)
    assert ms_ssim(a, a).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert ms_ssim(a, 1 - a).tolist() == [0, 0]


def test_forgives_fine_noise_more_than_ssim() -> None:
    a, b = smooth_pair(176, 176, sigma=0.1)
    assert ms_ssim(a, b).min() > 0.8


def test_smallest_image() -> None:
    a, b = smooth_pair(176, 175)
    with pytest.raises(UsageError, match=r"175 x 176 pixels are too few for this metric. Use at least 176 x 176\."):
        ms_ssim(a, b)
