"""Drawn cloth: stripes, checks and threads. Photographs have too few for a network to know them from streaks of motion."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import log_uniform, uniform

FINEST, COARSEST = 2.5, 12.0
"""Pixels from thread to thread."""


def drape(crop: Tensor, generator: Generator) -> Tensor:
    """``crop``, ``(3, H, W)`` in [0, 1], with cloth over a part of it that has a smooth outline.

    The cloth has the crop's own light and shade, its threads waver, and every other cloth is woven in two directions. Threads
    that are near the finest are waves, coarser ones may have edges, so that nothing is above what pixels can hold.
    """
    height, width = crop.shape[1:]
    wave = _threads(height, width, generator)
    if float(uniform(generator, (1,))) < 0.5:
        wave = (wave + _threads(height, width, generator)) / 2
    shade = F.avg_pool2d(F.pad(crop[None], (8, 8, 8, 8), mode="replicate"), 17, 1)[0]
    contrast = uniform(generator, (1, 1, 1), 0.05, 0.5) * (1 + uniform(generator, (3, 1, 1), -0.3, 0.3))
    cloth = (shade * (1 + contrast * wave) + 0.25 * contrast * wave).clamp(0, 1)
    outline = torch.sigmoid(_smooth(height, width, 4, generator) * 20 + 4)
    return torch.lerp(crop, cloth, outline)


def _threads(height: int, width: int, generator: Generator) -> Tensor:
    """Parallel threads that waver, ``(1, H, W)`` in [-1, 1]."""
    spacing = float(log_uniform(generator, (1,), FINEST, COARSEST))
    angle = float(uniform(generator, (1,), 0, math.pi))
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    wavering = _smooth(height, width, 5, generator) * 0.1 * min(height, width) * float(uniform(generator, (1,)) ** 2)
    along = x * math.cos(angle) + y * math.sin(angle) + wavering
    wave = torch.sin(2 * math.pi * along / spacing)
    edge = float(uniform(generator, (1,), 0, max(spacing / FINEST - 1, 0))) + 1e-3
    return torch.tanh(edge * wave) / math.tanh(edge)


def _smooth(height: int, width: int, cells: int, generator: Generator) -> Tensor:
    """A smooth random field ``(1, H, W)`` of about unit deviation."""
    coarse = torch.randn((1, 1, cells, cells), generator=generator)
    return F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)[0]
