from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter

from restorekit.errors import SettingError, UnknownNameError
from restorekit.evaluation import BASELINES, apply_baseline
from restorekit.evaluation.baselines import ASSUMED_SIGMA, gaussian_psf, immerkaer_sigma

Array = NDArray[np.float32]


def photograph(channels: int = 3) -> Array:
    """Smooth shading and a few straight edges."""
    y, x = np.mgrid[0:64, 0:80].astype(np.float32) / 64
    planes = [0.3 + 0.3 * np.sin(3 * x + k) * np.cos(2 * y) + 0.3 * ((x + 0.5 * y) % 0.6 > 0.3) for k in range(channels)]
    return np.clip(np.stack(planes, 2), 0.02, 0.98).astype(np.float32)


def noisy(image: Array, sigma: float) -> Array:
    return (image + np.random.default_rng(4).normal(0, sigma, image.shape)).astype(np.float32)


def psnr(a: Array, b: Array) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_range_are_kept(name: str, channels: int) -> None:
    image = np.clip(noisy(photograph(channels), 0.02), 0, 1)
    result = apply_baseline(name, image)
    assert result.shape == image.shape and result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_flat_images_stay_flat(name: str, level: float) -> None:
    flat = np.full((24, 30, 3), level, np.float32)
    assert np.allclose(apply_baseline(name, flat), flat, atol=2e-3)


def test_input_is_the_input() -> None:
    assert np.array_equal(apply_baseline("input", photograph()), photograph())


@pytest.mark.parametrize("sigma", [0.01, 0.05, 0.1])
def test_noise_is_estimated_among_edges(sigma: float) -> None:
    assert immerkaer_sigma(noisy(photograph(), sigma)) == pytest.approx(sigma, rel=0.15, abs=0.0025)


@pytest.mark.parametrize(("name", "gain"), [("nlm", 4.0), ("tv", 3.0)])
def test_denoisers_denoise(name: str, gain: float) -> None:
    image = np.clip(noisy(photograph(), 0.06), 0, 1)
    assert psnr(apply_baseline(name, image), photograph()) > psnr(image, photograph()) + gain


@pytest.mark.parametrize("name", ["wiener", "richardson-lucy"])
def test_deconvolution_sharpens_the_assumed_blur(name: str) -> None:
    blurred = gaussian_filter(photograph(), (ASSUMED_SIGMA, ASSUMED_SIGMA, 0)).astype(np.float32)
    assert psnr(apply_baseline(name, blurred), photograph()) > psnr(blurred, photograph()) + 1.2


@pytest.mark.parametrize(("name", "gain"), [("wiener", 1.2), ("richardson-lucy", 2.5)])
def test_a_known_psf_is_used(name: str, gain: float) -> None:
    streak = np.zeros((7, 7), np.float32)
    streak[3] = 1 / 7
    blurred = np.stack([convolve(photograph()[:, :, c], streak, mode="reflect") for c in range(3)], 2)
    blind, told = apply_baseline(name, blurred), apply_baseline(name, blurred, streak)
    assert psnr(told, photograph()) > psnr(blurred, photograph()) + gain
    assert psnr(told, photograph()) > psnr(blind, photograph()) + 1


def test_the_dark_channel_lifts_haze() -> None:
    depth = np.linspace(0.3, 1.2, 80, dtype=np.float32)[None, :, None]
    transmission = np.exp(-depth)
    clear = np.concatenate([photograph(2), np.full((64, 80, 1), 0.03, np.float32)], 2)  # colours: something is dark everywhere
    hazy = clear * transmission + 0.9 * (1 - transmission)
    hazy[:, -3:] = 0.9  # the sky, which gives the light of the air
    found = apply_baseline("dark-channel", hazy)
    assert psnr(found[:, :-3], clear[:, :-3]) > psnr(hazy[:, :-3], clear[:, :-3]) + 4


def test_psf_sums_to_one() -> None:
    assert gaussian_psf().sum() == pytest.approx(1, abs=1e-6)
    assert gaussian_psf(2.0).shape == (13, 13)


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown baseline 'weiner'. Did you mean 'wiener'"):
        apply_baseline("weiner", photograph())


def test_a_setting_stands_after_the_name() -> None:
    blurred = cv2.GaussianBlur(photograph(), (0, 0), ASSUMED_SIGMA)
    assert np.array_equal(apply_baseline("wiener:0.02", blurred), apply_baseline("wiener", blurred))
    timid, bold = (np.abs(apply_baseline(f"wiener:{balance}", blurred) - blurred).mean() for balance in (1, 0.005))
    assert timid < 0.8 * bold
    few, many = (np.abs(apply_baseline(f"richardson-lucy:{steps}", blurred) - blurred).mean() for steps in (2, 20))
    assert few < 0.8 * many


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wiener:", "no positive number"),
        ("wiener:-1", "no positive number"),
        ("wiener:inf", "for example wiener:0.02"),
        ("nlm:3", "has no setting"),
    ],
)
def test_settings_that_cannot_be(name: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        apply_baseline(name, photograph())
