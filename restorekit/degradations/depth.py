"""Depth for photographs that come without it: invented, but such that a landscape could have it."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import uniform
from restorekit.layers import local_mean

SHORT_SIDE = 96
"""Depth is made at about this size and enlarged along the edges of the photograph."""


def pseudo_depth(image: Tensor, generator: Generator) -> Tensor:
    """A distance for each pixel of ``(B, 3, H, W)``, RGB in [0, 1]: ``(B, 1, H, W)``, smooth, from about 0 (near) to 1 (far).

    Three guesses in random proportions: the ground recedes towards the upper border; what is bright and grey is far, as skies and
    distant hills are; and things stand about, as smooth random hills. A guided filter makes the sum follow the edges of the
    photograph. ``generator`` lives on the CPU.
    """
    count, _, height, width = image.shape
    shape = (count, 1, 1, 1)
    scale = max(1.0, min(height, width) / SHORT_SIDE)
    rows, columns = (max(2, round(size / scale)) for size in (height, width))
    small = F.interpolate(image, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
    ground = _ground(shape, rows, columns, generator).to(image.device)
    hills = torch.randn((count, 1, 5, 5), generator=generator).to(image.device)
    hills = torch.sigmoid(F.interpolate(hills, (rows, columns), mode="bicubic", align_corners=True))
    pale = small.amin(1, keepdim=True)
    shares = torch.stack([uniform(generator, shape, *limits) for limits in ((0.4, 1.0), (0.1, 0.4), (0.1, 0.8))])
    shares = (shares / shares.sum(0)).to(image.device)
    guess = shares[0] * ground + shares[1] * hills + shares[2] * pale
    slope, offset = _guide(small.mean(1, keepdim=True), guess, min(rows, columns) // 3)
    slope, offset = (F.interpolate(x, (height, width), mode="bilinear", align_corners=False) for x in (slope, offset))
    return (slope * image.mean(1, keepdim=True) + offset).clamp(0, 1)


def _guide(guide: Tensor, guess: Tensor, window: int) -> tuple[Tensor, Tensor]:
    """Slope and offset, smooth, by which the guide gives the guess, both ``(B, 1, H, W)``: "Fast guided filter" (He and Sun,
    2015).
    """
    side = (max(window, 1),) * 2
    mean, level = local_mean(guide, side), local_mean(guess, side)
    variance = local_mean(guide**2, side) - mean**2
    slope = (local_mean(guide * guess, side) - mean * level) / (variance + 1e-3)
    return local_mean(slope, side), local_mean(level - slope * mean, side)


def _ground(shape: tuple[int, ...], rows: int, columns: int, generator: Generator) -> Tensor:
    """A plain seen from above it: distances rise like ``1 / (y - horizon)``, and stay at 1 above the horizon."""
    horizon = uniform(generator, shape, -0.3, 0.5)
    slant = uniform(generator, shape, -0.15, 0.15)
    y, x = torch.linspace(0, 1, rows).unsqueeze(1), torch.linspace(-0.5, 0.5, columns)
    below = (y + slant * x - horizon).clamp_min(0)
    return 0.12 / (below + 0.12)
