"""Crops cut at random from photographs in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


def random_crop(levels: Sequence[Tensor], size: int, generator: Generator, tries: int = 1, augment: bool = True) -> Tensor:
    """A square of one of ``levels``, each ``(C, H, W)`` uint8, as ``(C, size, size)`` in [0, 1]; to ``augment`` what there is, it
    is mirrored, flipped and transposed at random.

    Of ``tries`` places the one with the most detail is taken: skies teach little. What is smaller than ``size`` is surrounded by
    its mirror image.
    """
    photograph = levels[below(len(levels), generator)]
    height, width = photograph.shape[1:]
    places = [(below(height - size + 1, generator), below(width - size + 1, generator)) for _ in range(tries)]
    cut = (photograph[:, y : y + size, x : x + size].float() / 255 for y, x in places)
    crop = max(cut, key=detail)
    return surround(one_of_eight(crop, generator) if augment else crop, size)


def below(limit: int, generator: Generator) -> int:
    """A whole number from 0 up to, not including, ``limit``; 0 if there is no room."""
    return int(torch.randint(max(limit, 1), (), generator=generator))


def one_of_eight(crop: Tensor, generator: Generator) -> Tensor:
    """``crop`` in one of the eight ways a square can lie."""
    mirror, flip, transpose = (torch.rand(3, generator=generator) < 0.5).tolist()
    crop = crop.flip(-1) if mirror else crop
    crop = crop.flip(-2) if flip else crop
    return crop.transpose(-1, -2) if transpose else crop


def detail(crop: Tensor) -> float:
    """Mean absolute step between neighbours, of grey."""
    grey = crop.mean(0)
    return float((grey[:, 1:] - grey[:, :-1]).abs().mean() + (grey[1:] - grey[:-1]).abs().mean())


def surround(crop: Tensor, size: int) -> Tensor:
    """``crop`` with its mirror image below and to the right, as often as it takes to be ``size`` high and wide."""
    while any(missing := [max(size - side, 0) for side in crop.shape[1:]]):
        bottom, right = (min(lack, side - 1) for lack, side in zip(missing, crop.shape[1:], strict=True))
        if bottom + right == 0:  # a line of single pixels has no mirror image
            return F.pad(crop, (0, missing[1], 0, missing[0]), mode="replicate")
        crop = F.pad(crop, (0, right, 0, bottom), mode="reflect")
    return crop
