"""Blur kernels: where their centre is, and that a product of spectra is the convolution it stands for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.errors import UsageError
from restorekit.layers import convolve_circular, pad_to_square, transfer_function, unit_sum

sides = st.integers(1, 9)


@settings(max_examples=30)
@given(kh=sides, kw=sides, height=st.integers(9, 20), width=st.integers(9, 20))
def test_convolution_by_the_sum(kh: int, kw: int, height: int, width: int) -> None:
    """``y[i] = sum_j k[j] x[i - (j - n // 2)]``, wrapped around."""
    generator = torch.Generator().manual_seed(1)
    image = torch.rand((2, 3, height, width), generator=generator, dtype=torch.float64)
    psf = torch.rand((2, 1, kh, kw), generator=generator, dtype=torch.float64)
    expected = torch.zeros_like(image)
    for i in range(kh):
        for j in range(kw):
            expected += psf[:, :, i : i + 1, j : j + 1] * image.roll((i - kh // 2, j - kw // 2), (2, 3))
    assert torch.allclose(convolve_circular(image, psf), expected, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 8), (8, 3), (4, 7), (7, 4), (5, 5), (1, 6)])
def test_squared_psf_blurs_alike(shape: tuple[int, int]) -> None:
    image, psf = torch.rand(1, 2, 12, 11), torch.rand(1, 1, *shape)
    square = pad_to_square(psf)
    assert square.shape[-2:] == (max(shape), max(shape))
    assert torch.allclose(convolve_circular(image, square), convolve_circular(image, psf), atol=1e-5)


def test_one_kernel_serves_a_batch() -> None:
    image, psf = torch.rand(3, 2, 8, 9), torch.rand(1, 1, 3, 3)
    assert torch.equal(convolve_circular(image, psf), convolve_circular(image, psf.expand(3, -1, -1, -1)))


def test_unit_sum() -> None:
    sums = unit_sum(torch.rand(4, 1, 5, 3) + 0.1).sum((1, 2, 3))
    assert torch.allclose(sums, torch.ones(4))


def test_kernel_larger_than_the_image() -> None:
    with pytest.raises(UsageError, match="a PSF of 9 x 3 pixels is larger than 8 x 20 pixels"):
        transfer_function(torch.rand(1, 1, 3, 9), 20, 8)
