"""Blur kernels (point spread functions) and their spectra. The centre of n samples is sample ``n // 2``, n even or odd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import UsageError


def unit_sum(psf: Tensor) -> Tensor:
    """``(B, 1, kh, kw)`` divided by the sum of each kernel."""
    return psf / psf.sum((-2, -1), keepdim=True)


def pad_to_square(psf: Tensor) -> Tensor:
    """``(B, 1, kh, kw)`` with zeros around it up to the longer side, centre on centre."""
    kh, kw = psf.shape[-2:]
    side = torch.sym_max(kh, kw)  # the plain one would fix in a graph which is the longer
    top, left = side // 2 - kh // 2, side // 2 - kw // 2
    return F.pad(psf, (left, side - kw - left, top, side - kh - top))  # type: ignore[arg-type]  # symbolic sizes are sizes


def transfer_function(psf: Tensor, height: int, width: int) -> Tensor:
    """The spectrum ``(B, 1, height, width // 2 + 1)``, complex, of kernels ``(B, 1, kh, kw)`` no larger than height x width.

    The non-redundant half of the unnormalised DFT of the kernel with its centre at the origin: multiply it with
    ``torch.fft.rfft2`` of images of that size to blur them.

    Raises:
        UsageError: if a kernel is larger.
    """
    kh, kw = psf.shape[-2:]
    if kh > height or kw > width:
        raise UsageError(
            f"a PSF of {kw} x {kh} pixels is larger than {width} x {height} pixels", "Use larger images or a smaller PSF"
        )
    plane = F.pad(psf, (0, width - kw, 0, height - kh))
    return torch.fft.rfft2(plane.roll((-(kh // 2), -(kw // 2)), (-2, -1)))


def convolve_circular(image: Tensor, psf: Tensor) -> Tensor:
    """``(B, C, H, W)`` blurred by ``(B, 1, kh, kw)``, or one kernel for all: true convolution, the border wraps around."""
    height, width = image.shape[-2:]
    spectrum = torch.fft.rfft2(image) * transfer_function(psf, height, width)
    return torch.fft.irfft2(spectrum, s=(height, width))
