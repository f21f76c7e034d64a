"""Wiener deconvolution with a noise estimate of its own, in image or feature space (INFWIDE, section III).

What differs from the published code, at equal numbers: all channels go through one ``rfft2`` (theirs: a complex transform each);
the PSF is transformed once an image (theirs: once a channel and branch); 3x3 medians are minima and maxima of sorted triples,
which is exact, and their gradient goes straight to the pixel that is the median; variances come from one fused pass. Constant
channels, which give theirs 0 / 0, pass unharmed. Half precision is widened to float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers import transfer_function, unit_sum
from restorekit.layers.fourier import FourierProducts
from restorekit.layers.tracing import is_exported

TINY = 1e-12


class Wiener:
    """Deconvolution of images or features of one size, each sample by its own PSF.

    ``Y = conj(K) X / (|K|^2 + NSR)``; X is the spectrum of the maps, replicated outwards by the PSF's *height* on all four sides.

    Args:
        psf: ``(B, 1, kh, kw)``, or ``(1, 1, kh, kw)`` for all; any positive sum. ``kw`` at most ``width + 2 kh``.
        height: rows of the maps.
        width: their columns.
        square_count: take the number of padded pixels in the noise estimate to be the padded height squared, as the published
            code does; False counts them. The same for square maps.
    """

    def __init__(self, psf: Tensor, height: int, width: int, square_count: bool = True) -> None:
        self.margin = psf.shape[-2]
        self.size = (height + 2 * self.margin, width + 2 * self.margin)
        self.count = self.size[0] * self.size[0 if square_count else 1]
        psf = unit_sum(_widened(psf))
        if is_exported():
            self.products = FourierProducts(*self.size, psf)
            self.parts = self.products.forward_centred(psf)  # Re K, Im K
            self.power = self.parts[0].square() + self.parts[1].square()  # |K|^2
            return
        self.spectrum = transfer_function(psf, *self.size)  # K
        self.power = torch.view_as_real(self.spectrum).square().sum(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """Deconvolve ``(B, C, height, width)`` of any sign; same shape."""
        padded = self.surround(_widened(x))
        power = (self.power + self.noise_to_signal(padded)[..., None, None]).clamp_min(TINY)
        if is_exported():
            restored = self._divide_parts(padded, power)
        else:
            restored = torch.fft.irfft2(torch.fft.rfft2(padded) * self.spectrum.conj() / power, s=self.size)
        m = self.margin
        return restored[..., m:-m, m:-m]

    def _divide_parts(self, padded: Tensor, power: Tensor) -> Tensor:
        real, imaginary = self.products.forward(padded)
        k, m = self.parts
        return self.products.inverse((real * k + imaginary * m) / power, (imaginary * k - real * m) / power)

    def surround(self, x: Tensor) -> Tensor:
        """``(B, C, height, width)`` with its border replicated outwards."""
        return F.pad(x, (self.margin,) * 4, mode="replicate")

    def noise_to_signal(self, padded: Tensor) -> Tensor:
        """The NSR of each channel of :meth:`surround`'s answer, ``(B, C)``: ``var(median(x) - x) / std(x) * 8 / 30``.

        A variance over a standard deviation, as in the published code; both with the nominal count of pixels.
        """
        noise = _variance(median3x3(padded) - padded, self.count)
        signal = _variance(padded, self.count).clamp_min(TINY**2).sqrt()
        return noise / signal * (8 / 30)


def noise_level(image: Tensor) -> Tensor:
    """What the denoiser is told of each channel of ``(B, C, H, W)``, ``(B, C)``: the residual of a median over the signal's size.

    ``std(m - x) / sqrt(sum(m^2) / (HW - 1))`` with ``m = median3x3(x)``; not the NSR of :class:`Wiener`.
    """
    image = _widened(image)
    count = image.shape[-2] * image.shape[-1]
    median = median3x3(image)
    noise = _variance(median - image, count).clamp_min(TINY**2).sqrt()
    signal = median.square().sum((-2, -1)) / (count - 1)
    return noise / signal.clamp_min(TINY**2).sqrt()


def median3x3(x: Tensor) -> Tensor:
    """The median of each 3x3 neighbourhood of ``(B, C, H, W)``, H and W at least 2, borders reflected; same shape.

    Sort the three values of each column into low, middle and high. The median of nine is the median of the greatest low, the
    median middle and the least high.
    """
    x = F.pad(x, (1, 1, 1, 1), mode="reflect")
    if torch.is_grad_enabled() and x.requires_grad:
        median: Tensor = _Median.apply(x)
        return median
    return _median_of_nine(x)


class _Median(torch.autograd.Function):
    """:func:`_median_of_nine` with the gradient of a selection: it goes to the pixel that was chosen, in equal parts if several
    have its value. Through the minima and maxima it would take four times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        median = _median_of_nine(x)
        ctx.save_for_backward(x, median)
        return median

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, median = ctx.saved_tensors
        height, width = median.shape[-2:]
        windows = [(..., slice(i, i + height), slice(j, j + width)) for i in range(3) for j in range(3)]
        chosen = [x[window] == median for window in windows]
        share = gradients[0] / torch.stack(chosen).sum(0, dtype=gradients[0].dtype)
        gradient = torch.zeros_like(x)
        for window, here in zip(windows, chosen, strict=True):
            gradient[window] += share * here
        return gradient


def _median_of_nine(x: Tensor) -> Tensor:
    low, middle, high = _sorted(x[..., :-2, :], x[..., 1:-1, :], x[..., 2:, :])
    greatest_low = torch.maximum(torch.maximum(low[..., :-2], low[..., 1:-1]), low[..., 2:])
    median_middle = _median(middle[..., :-2], middle[..., 1:-1], middle[..., 2:])
    least_high = torch.minimum(torch.minimum(high[..., :-2], high[..., 1:-1]), high[..., 2:])
    return _median(greatest_low, median_middle, least_high)


def _sorted(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, b = torch.minimum(a, b), torch.maximum(a, b)
    middle, high = torch.minimum(b, c), torch.maximum(b, c)
    return torch.minimum(a, middle), torch.maximum(a, middle), high


def _median(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def _variance(x: Tensor, count: int) -> Tensor:
    """``sum((x - mu)^2) / (count - 1)`` with ``mu = sum(x) / count`` over the pixels of ``(B, C, H, W)``, ``(B, C)``.

    With the true number of pixels it is the unbiased variance. With another, the squares about ``mu`` are those about the true
    mean and a remainder, so one fused pass gives both.
    """
    pixels = x.shape[-2] * x.shape[-1]
    variance, mean = torch.var_mean(x, dim=(-2, -1), correction=0)
    return (variance + (mean * (1 - pixels / count)).square()) * (pixels / (count - 1))


def _widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
