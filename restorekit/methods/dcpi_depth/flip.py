"""Flip averaging: the usual trick of monocular depth when an answer may cost twice as much."""

from __future__ import annotations

import torch
from torch import Tensor


def blend_flipped(disparity: Tensor, of_mirrored: Tensor) -> Tensor:
    """The disparity of an image and that of its mirror image, both ``(..., H, W)``, as one.

    ``of_mirrored`` is as the network gave it, mirrored. In the middle the two are averaged; towards the sides, over columns 5 %
    to 10 % of the width from them, each gives way to the other, which has seen that side with more to its outside.
    """
    width = disparity.shape[-1]
    along = torch.linspace(0, 1, width, dtype=disparity.dtype, device=disparity.device)
    left = 1 - (20 * (along - 0.05)).clamp(0, 1)
    right, back = left.flip(-1), of_mirrored.flip(-1)
    return right * disparity + left * back + (1 - left - right) * (disparity + back) / 2
