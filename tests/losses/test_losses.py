from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from restorekit.losses import charbonnier, decibels, laplacian
from restorekit.metrics import psnr


def test_charbonnier_is_smooth_at_zero_and_absolute_far_away() -> None:
    assert charbonnier(torch.tensor([0.0, 0.003, -1.0])).tolist() == pytest.approx([1e-3, 3.1623e-3, 1.0], abs=1e-6)
    x = torch.zeros(3, requires_grad=True)
    charbonnier(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 0]


def test_decibels_are_psnr_down_to_eps() -> None:
    target = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    error = (0.03 * target).square().mean()
    assert float(decibels(error)) == pytest.approx(-float(psnr(1.03 * target, target)), abs=1e-3)
    assert float(decibels(torch.zeros(()), 1e-4)) == pytest.approx(-40, abs=1e-4)
    halved = decibels(error) - decibels(error / 2)
    assert float(halved) == pytest.approx(float(decibels(9 * error) - decibels(9 * error / 2)), abs=1e-3)


@pytest.mark.parametrize("size", [(8, 10), (7, 9), (1, 3)])
def test_laplacian_agrees_with_scipy(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def smooth(x: np.ndarray) -> np.ndarray:
        taps = [0.05, 0.25, 0.4, 0.25, 0.05]
        return correlate1d(correlate1d(x, taps, axis=2, mode="nearest"), taps, axis=3, mode="nearest")

    kept = np.zeros(image.shape)
    kept[:, :, ::2, ::2] = 4 * smooth(image.numpy())[:, :, ::2, ::2]
    assert np.allclose(laplacian(image), image.numpy() - smooth(kept), atol=1e-7)


def test_laplacian_is_linear() -> None:
    a, b = torch.rand(2, 1, 3, 9, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(laplacian(a) - laplacian(b), laplacian(a - b), atol=1e-12)
