"""Mean square errors on the scale of PSNR."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def decibels(error: Tensor, eps: float = 1e-8) -> Tensor:
    """``10 log10(error + eps)``, the negative PSNR of mean square errors of images in [0, 1]: halving any error counts the same.

    Args:
        error: of each image, not negative, any shape.
        eps: what keeps a perfect image from taking all the gradient; the scale ends at ``-10 log10(eps)`` dB.
    """
    return 10 / math.log(10) * torch.log(error + eps)
