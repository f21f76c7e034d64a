"""Structural dissimilarity."""

from __future__ import annotations

import pytest
import torch

from restorekit.losses import dssim
from restorekit.metrics import ssim


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    a = torch.rand((2, 3, 24, 33), generator=generator, dtype=torch.float64)
    return a, (a + 0.2 * torch.randn(a.shape, generator=generator, dtype=torch.float64)).clamp(0, 1)


def test_is_one_less_the_metric(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = pair
    assert torch.allclose(dssim(a, b), 1 - ssim(a, b).mean(), atol=1e-10)


@pytest.mark.parametrize("transposed", [False, True])
def test_short_axis_is_not_smoothed(pair: tuple[torch.Tensor, torch.Tensor], transposed: bool) -> None:
    """Where all rows are alike, smoothing along columns changes nothing: five rows score as eleven do."""
    short, long = ([x[:, :, :1].expand(-1, -1, rows, -1) for x in pair] for rows in (5, 11))
    if transposed:
        short, long = ([x.mT for x in both] for both in (short, long))
    assert torch.allclose(dssim(*short), dssim(*long), atol=1e-10)


def test_gradient(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    a, b = (x[:1, :1, :5, :11] for x in pair)
    assert torch.autograd.gradcheck(lambda x: dssim(x, b), a.clone().requires_grad_())
    assert dssim(a, a).abs() < 1e-12
