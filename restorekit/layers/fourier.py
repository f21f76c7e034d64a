"""Fourier transforms as products of matrices, of real and imaginary parts: for graphs that other runtimes run.

ONNX Runtime's own transform is slower than this, 25 to 145 times less exact, and fails on sizes that were not known beforehand.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from restorekit.layers.psf import transfer_function
from restorekit.layers.tracing import is_exported


class FourierProducts:
    """The real transforms of maps of one size, which need not be known while a graph is made.

    Args:
        height: rows H of the maps.
        width: their columns W.
        like: a tensor of the device and type to compute in.
    """

    def __init__(self, height: int, width: int, like: Tensor) -> None:
        self._rows, self._columns = _positions(height, like), _positions(width, like)
        half = _positions(width // 2 + 1, like)
        self._half = half
        self._vertical = _tables(self._rows, self._rows, self._rows, like)
        self._horizontal = _tables(self._columns, half, self._columns, like)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``torch.fft.rfft2`` of ``(..., H, W)``: real and imaginary parts, ``(..., H, W // 2 + 1)`` each."""
        return _transformed(x, self._vertical, self._horizontal)

    def forward_centred(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """The same of a small ``(..., h, w)`` in the middle of nothing, with its centre, ``(h // 2, w // 2)``, at the origin."""
        height, width = kernel.shape[-2:]
        rows, columns = _positions(height, kernel) - height // 2, _positions(width, kernel) - width // 2
        vertical = _tables(self._rows, rows, self._rows, kernel)
        return _transformed(kernel, vertical, _tables(columns, self._half, self._columns, kernel))

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """``torch.fft.irfft2`` of the parts: ``(..., H, W)``. Imaginary parts that no real map has are ignored, as there."""
        cos, sin = self._vertical
        weight = self._weights(real)
        a, b = cos @ real - sin @ imaginary, cos @ imaginary + sin @ real
        cos, sin = self._horizontal
        return (a * weight) @ cos.mT - (b * weight) @ sin.mT

    def inverse_centred(self, real: Tensor, imaginary: Tensor, side: int) -> Tensor:
        """Of what :meth:`inverse` gives the ``(..., side, side)`` around the origin, which lands in the middle; side odd.

        Only these pixels are computed, so that it is faster than the whole by an FFT.
        """
        places = _positions(side, real) - side // 2
        cos, sin = (table * self._weights(real)[:, None] for table in _tables(self._half, places, self._columns, real))
        parts = real @ torch.cat([cos, sin], 1) + imaginary @ torch.cat([-sin, cos], 1)
        cos, sin = _tables(places, self._rows, self._rows, real)
        a, b = torch.split(parts, side, -1)
        return cos @ a - sin @ b

    def _weights(self, like: Tensor) -> Tensor:
        """What each column of a half spectrum counts in the inverse transform, ``(W // 2 + 1,)``."""
        count = _length(self._columns)
        single = (self._half == 0) | (2 * self._half == count)  # the other frequencies stand for their negatives too
        return torch.where(single, 1.0, 2.0).to(like.dtype) / (count * _length(self._rows)).to(like.dtype)


def _transformed(x: Tensor, vertical: tuple[Tensor, Tensor], horizontal: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    cos, sin = horizontal
    a, b = x @ cos, -(x @ sin)
    cos, sin = vertical
    return cos @ a + sin @ b, cos @ b - sin @ a


def _positions(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)


def _length(positions: Tensor) -> Tensor:
    """How many positions there are, as a tensor: a size that is no number yet cannot divide one."""
    return positions[-1:] + 1


def _tables(down: Tensor, across: Tensor, period: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine of ``2 pi down across / n``; whole turns are taken off while the numbers are whole."""
    length = _length(period)
    angles = torch.remainder(down[:, None] * across, length).to(like.dtype) * (2 * math.pi / length.to(like.dtype))
    return angles.cos(), angles.sin()


class Spectra:
    """The real transforms of maps of one size in real and imaginary parts: by the FFT or, in graphs, by :class:`FourierProducts`.

    Args:
        like: a map ``(..., H, W)`` of that size, and of the device and type to compute in.
    """

    def __init__(self, like: Tensor) -> None:
        self.size = (like.shape[-2], like.shape[-1])
        self._products = FourierProducts(*self.size, like) if is_exported() else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FourierProducts.forward`."""
        if self._products is not None:
            return self._products.forward(x)
        real, imaginary = torch.view_as_real(torch.fft.rfft2(x)).unbind(-1)
        return real, imaginary

    def forward_centred(self, kernel: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FourierProducts.forward_centred`; kernels no larger than the maps."""
        if self._products is not None:
            return self._products.forward_centred(kernel)
        real, imaginary = torch.view_as_real(transfer_function(kernel, *self.size)).unbind(-1)
        return real, imaginary

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """See :meth:`FourierProducts.inverse`."""
        if self._products is not None:
            return self._products.inverse(real, imaginary)
        return torch.fft.irfft2(torch.complex(real, imaginary), s=self.size)

    def inverse_centred(self, real: Tensor, imaginary: Tensor, side: int) -> Tensor:
        """See :meth:`FourierProducts.inverse_centred`; side no larger than the maps."""
        products = self._products or FourierProducts(*self.size, real)
        with torch.autocast(real.device.type, enabled=False):  # products of matrices would be rounded to half precision
            return products.inverse_centred(real, imaginary, side)
