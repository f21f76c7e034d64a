from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio
from torch import Tensor

from restorekit.errors import UsageError
from restorekit.metrics import psnr, ssim, ssim3d, ssim_uniform


def noisy_batch(sigma: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    a = torch.rand(2, 3, 37, 41, generator=generator)
    return a, (a + sigma * torch.randn(a.shape, generator=generator)).clamp(0, 1)


@pytest.mark.parametrize("sigma", [0.003, 0.05, 0.4])
def test_agrees_with_scikit_image(sigma: float) -> None:
    a, b = noisy_batch(sigma)
    expected = [peak_signal_noise_ratio(x.numpy(), y.numpy(), data_range=1.0) for x, y in zip(a, b, strict=True)]
    assert psnr(a, b).tolist() == pytest.approx(expected, abs=1e-4)


@given(st.floats(0.01, 1.0), st.sampled_from([1.0, 255.0]))
@settings(max_examples=20)
def test_constant_error_has_a_closed_form(step: float, peak: float) -> None:
    a = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    assert psnr(a, a + step * peak, peak).item() == pytest.approx(-20 * math.log10(step), abs=1e-9)


def test_equal_images_are_infinitely_good() -> None:
    a, _ = noisy_batch(0.1)
    assert psnr(a, a).tolist() == [math.inf, math.inf]


def test_one_score_an_image() -> None:
    a, b = noisy_batch(0.1)
    assert np.allclose(psnr(a, b), torch.cat([psnr(a[:1], b[:1]), psnr(a[1:], b[1:])]))


def test_shapes_must_agree() -> None:
    with pytest.raises(UsageError, match=r"\(1, 3, 4, 5\) and \(1, 3, 5, 4\) cannot be compared"):
        psnr(torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 5, 4))
    with pytest.raises(UsageError, match="Give two batches"):
        psnr(torch.zeros(3, 4, 5), torch.zeros(3, 4, 5))


@pytest.mark.parametrize("metric", [psnr, ssim, ssim_uniform, ssim3d])
def test_bytes_are_refused_rather_than_compared_as_they_wrap(metric: Callable[[Tensor, Tensor], Tensor]) -> None:
    a = torch.full((1, 3, 16, 16), 200, dtype=torch.uint8)
    with pytest.raises(UsageError, match=r"images of uint8 and float32 cannot be compared\. Give floats"):
        metric(a, a.float())
