"""How well a frame is explained by its neighbours, warped; and how smooth a disparity should be.

Source: the frame of monodepth2 (ICCV 2019), as DCPI-Depth takes it over.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def structural_distance(a: Tensor, b: Tensor) -> Tensor:
    """``clamp((1 - SSIM) / 2, 0, 1)`` at every pixel of two ``(B, C, H, W)`` in [0, 1], from 3 x 3 means over a mirrored border.

    The means of an image come side by side as channels of one depthwise convolution, half the time of an average pooling, and
    those of ``b`` apart, so that a target costs nothing on the way back.
    """
    a, b = (F.pad(image, (1, 1, 1, 1), mode="reflect") for image in (a, b))
    mean_a, square_a, product = _means(a, a * a, a * b)
    mean_b, square_b = _means(b, b * b)
    c1, c2 = 0.01**2, 0.03**2
    means = mean_a.square() + mean_b.square()
    variances = square_a + square_b - means
    similarity = (2 * mean_a * mean_b + c1) * (2 * (product - mean_a * mean_b) + c2) / ((means + c1) * (variances + c2))
    return ((1 - similarity) / 2).clamp(0, 1)


def _means(*maps: Tensor) -> tuple[Tensor, ...]:
    stacked = torch.cat(maps, 1)
    window = stacked.new_full((stacked.shape[1], 1, 3, 3), 1 / 9)
    return F.conv2d(stacked, window, groups=len(window)).chunk(len(maps), 1)


def photometric_error(image: Tensor, target: Tensor, ssim: float = 0.85) -> Tensor:
    """``pe = ssim * mean_c structural distance + (1 - ssim) * mean_c |image - target|``, ``(B, 1, H, W)``."""
    structure = structural_distance(image, target).mean(1, keepdim=True)
    return ssim * structure + (1 - ssim) * (image - target).abs().mean(1, keepdim=True)


def least_error(images: Sequence[Tensor], target: Tensor, ssim: float = 0.85) -> Tensor:
    """At every pixel the smallest :func:`photometric_error` of several images ``(B, 3, H, W)``: ``(B, 1, H, W)``.

    The minimum leaves out what only one neighbour hides.
    """
    return torch.stack([photometric_error(image, target, ssim) for image in images]).amin(0)


def auto_masked(warped: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """The smaller of the errors of warped and of plain neighbours, and where the warped one is smaller (bool).

    A pixel that a neighbour explains unwarped moves with the camera, has no texture, or the camera stands: it teaches nothing.
    A tie goes to the plain one, which the authors' noise of 1e-5 would decide at random.
    """
    wins = warped < identity
    return torch.where(wins, warped, identity), wins


def smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Edge-aware smoothness of ``(B, 1, H, W)`` given ``(B, 3, H, W)``:
    ``mean(|dx d| exp(-mean_c |dx I|)) + mean(|dy d| exp(-mean_c |dy I|))``.

    d is the disparity divided by its spatial mean, so that doubling it changes nothing.
    """
    from kornia.losses import inverse_depth_smoothness_loss

    return inverse_depth_smoothness_loss(disparity / (disparity.mean((2, 3), keepdim=True) + 1e-7), image)
