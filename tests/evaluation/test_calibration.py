"""Our numbers against those of MATLAB's conventions, which the tables of papers are made with, from pixels to decibels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import convolve2d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from restorekit.evaluation import Protocol, get_protocol, score_pair
from restorekit.metrics import luma

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float64]


def photograph() -> tuple[Pixels, Pixels]:
    """Something with edges, gradients and colours, and the same with noise; both 8-bit."""
    y, x = np.mgrid[0:48, 0:64] / 64
    planes = [0.5 + 0.4 * np.sin(9 * x + k) * np.cos(7 * y - k) + 0.1 * ((x + y * k) % 0.25 > 0.12) for k in range(3)]
    clean = np.clip(np.stack(planes, 2), 0, 1)
    noise = np.random.default_rng(11).normal(0, 0.04, clean.shape)
    return _levels(clean + noise), _levels(clean)


def _levels(image: Plane) -> Pixels:
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def matlab_luma(image: Pixels) -> Plane:
    """``rgb2ycbcr`` of doubles, times 255, as the scripts of super-resolution and deraining have it."""
    r, g, b = (image[:, :, channel] / 255 for channel in range(3))
    result: Plane = 65.481 * r + 128.553 * g + 24.966 * b + 16
    return result


def matlab_ssim(a: Plane, b: Plane) -> float:
    """``ssim_index.m`` of Wang et al.: ``fspecial('gaussian', 11, 1.5)`` and ``filter2(..., 'valid')``, peak 255."""
    grid = np.arange(-5, 6) ** 2
    window = np.exp(-(grid[:, None] + grid[None, :]) / (2 * 1.5**2))
    window /= window.sum()
    mean_a, mean_b, aa, bb, ab = (convolve2d(x, window, "valid") for x in (a, b, a * a, b * b, a * b))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_a * mean_b + c1) * (2 * (ab - mean_a * mean_b) + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (aa - mean_a**2 + bb - mean_b**2 + c2)
    return float((above / below).mean())


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((255, 255, 255), 235.0), ((0, 0, 0), 16.0), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_of_the_primaries(colour: tuple[int, int, int], expected: float) -> None:
    pixel = torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1) / 255
    assert luma(pixel).item() * 255 == pytest.approx(expected, abs=1e-4)
    assert rgb2ycbcr(np.array([[colour]], np.uint8))[0, 0, 0] == pytest.approx(expected, abs=1e-9)


def test_the_y_protocol_is_matlabs() -> None:
    noisy, clean = photograph()
    a, b = matlab_luma(noisy), matlab_luma(clean)
    score = score_pair("x", noisy, clean, get_protocol("y").protocol)
    assert score.psnr == pytest.approx(10 * math.log10(255**2 / np.mean((a - b) ** 2)), abs=1e-3)
    assert score.ssim == pytest.approx(matlab_ssim(a, b), abs=2e-5)


def test_the_rgb_protocol_is_scikit_images_and_matlabs_by_channel() -> None:
    noisy, clean = photograph()
    score = score_pair("x", noisy, clean, get_protocol("rgb").protocol)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(clean, noisy, data_range=255), abs=1e-3)
    channels = [matlab_ssim(noisy[:, :, c].astype(float), clean[:, :, c].astype(float)) for c in range(3)]
    by_scikit_image = structural_similarity(
        noisy, clean, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert by_scikit_image == pytest.approx(np.mean(channels), abs=1e-6)
    assert score.ssim == pytest.approx(by_scikit_image, abs=2e-5)


def test_the_infwide_protocol_is_scikit_images_default_without_rounding() -> None:
    _, clean = photograph()
    target = clean.astype(np.float32) / 255
    restored = np.clip(target + np.float32(0.0015), 0, 1)
    score = score_pair("x", restored, target, get_protocol("infwide").protocol)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(target, restored, data_range=1), abs=1e-3)
    assert score.ssim == pytest.approx(structural_similarity(restored, target, data_range=1, channel_axis=2), abs=1e-5)


def test_the_histoformer_protocol_swaps_red_and_blue_and_has_a_square_window() -> None:
    noisy, clean = photograph()
    a, b = (matlab_luma(np.ascontiguousarray(image[:, :, ::-1])) / 255 for image in (noisy, clean))
    score = score_pair("x", noisy, clean, get_protocol("histoformer").protocol)
    assert score.psnr == pytest.approx(peak_signal_noise_ratio(b, a, data_range=1), abs=1e-3)
    assert score.ssim == pytest.approx(structural_similarity(a, b, data_range=1, win_size=11), abs=1e-5)


def test_the_rrformer_protocol_truncates() -> None:
    _, clean = photograph()
    almost = np.clip((clean.astype(np.float32) + 0.9) / 255, 0, 1)
    protocol = get_protocol("rrformer").protocol
    assert score_pair("x", almost, clean, protocol).psnr == math.inf
    assert score_pair("x", almost, clean, Protocol()).psnr == pytest.approx(20 * math.log10(255), abs=0.05)
