from __future__ import annotations

import pytest
import torch
from kornia.metrics import ssim3d as kornia_ssim3d
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import UsageError
from restorekit.metrics import ssim, ssim3d, ssim_uniform, structural


def smooth_pair(height: int, width: int, sigma: float = 0.05, channels: int = 3) -> tuple[Tensor, Tensor]:
    """An image with structure at several scales, and the same with noise; float64."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(2, channels, 6, 7, generator=generator, dtype=torch.float64)
    a = F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False).clamp(0, 1)
    return a, (a + sigma * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)


def by_scikit_image(a: Tensor, b: Tensor, peak: float) -> list[float]:
    return [
        structural_similarity(
            x.numpy(),
            y.numpy(),
            data_range=peak,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=0,
        )
        for x, y in zip(a, b, strict=True)
    ]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_agrees_with_scikit_image(channels: int, peak: float) -> None:
    a, b = (peak * x for x in smooth_pair(45, 61, channels=channels))
    assert ssim(a, b, peak).tolist() == pytest.approx(by_scikit_image(a, b, peak), abs=1e-7)


def test_float32_is_close_enough_for_four_digits() -> None:
    a, b = smooth_pair(45, 61, sigma=0.01)
    assert ssim(a.float(), b.float()).tolist() == pytest.approx(by_scikit_image(a, b, 1.0), abs=2e-5)


@pytest.mark.parametrize("strip", [1, 3 * 61 * 13, 3 * 61 * 35])
def test_strips_change_nothing(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = smooth_pair(45, 61)
    whole = ssim(a, b)
    monkeypatch.setattr(structural, "_STRIP", strip)
    assert ssim(a, b).tolist() == pytest.approx(whole.tolist(), abs=1e-12)


def test_equal_images_score_one() -> None:
    a, _ = smooth_pair(20, 20)
    assert ssim(a, a).tolist() == pytest.approx([1, 1], abs=1e-12)
    assert ssim3d(a, a).tolist() == pytest.approx([1, 1], abs=1e-9)


def test_smallest_image_has_one_window() -> None:
    a, b = smooth_pair(11, 11)
    assert ssim(a, b).tolist() == pytest.approx(by_scikit_image(a, b, 1.0), abs=1e-7)
    with pytest.raises(UsageError, match=r"11 x 10 pixels are too few for this metric. Use at least 11 x 11\."):
        ssim(a[:, :, :10], b[:, :, :10])


@pytest.mark.parametrize("window", [7, 11])
@pytest.mark.parametrize("peak", [1.0, 255.0])
def test_uniform_is_scikit_images_default(window: int, peak: float) -> None:
    a, b = (peak * x for x in smooth_pair(45, 61))
    expected = [
        structural_similarity(x.numpy(), y.numpy(), data_range=peak, win_size=window, channel_axis=0)
        for x, y in zip(a, b, strict=True)
    ]
    assert ssim_uniform(a, b, peak, window).tolist() == pytest.approx(expected, abs=1e-9)
    assert ssim_uniform(a.float(), b.float(), peak, window).tolist() == pytest.approx(expected, abs=1e-6)


def test_3d_agrees_with_kornia_over_replicated_borders() -> None:
    a, b = smooth_pair(13, 17)

    def volume(x: Tensor) -> Tensor:
        return F.pad(x[:, None], (5, 5, 5, 5, 5, 5), mode="replicate")

    expected = kornia_ssim3d(volume(a), volume(b), 11, 1.0, 0.0, "valid").mean((1, 2, 3, 4))
    assert ssim3d(a, b).tolist() == pytest.approx(expected.tolist(), abs=1e-9)


def test_3d_is_not_the_usual_one() -> None:
    a, b = smooth_pair(45, 61, sigma=0.1)
    assert bool((ssim3d(a, b) - ssim(a, b)).abs().min() > 0.01)
