"""The edges of an image: what a Gaussian pyramid loses in one step down and up.

Source: the edge loss of MPRNet (2021, arXiv 2102.02808).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_BINOMIAL = (0.05, 0.25, 0.4, 0.25, 0.05)


def laplacian(x: Tensor) -> Tensor:
    """The finest level of the Laplacian pyramid of ``(B, C, H, W)``, same shape, any range and size.

    ``x - G(U(D(G(x))))``: G smooths with the separable 5-tap kernel over a replicated border, D keeps even rows and columns,
    U puts them back between zeros and multiplies by 4. Linear: the Laplacian of a difference is the difference of Laplacians.
    """
    kept = torch.zeros_like(x)
    kept[..., ::2, ::2] = 4 * _smooth(x)[..., ::2, ::2]
    return x - _smooth(kept)


def _smooth(x: Tensor) -> Tensor:
    taps = x.new_tensor(_BINOMIAL).repeat(x.shape[1], 1, 1, 1)
    padded = F.pad(x, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, taps.transpose(2, 3), groups=x.shape[1])
    return F.conv2d(rows, taps, groups=x.shape[1])
