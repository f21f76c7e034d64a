"""Surfaces with something to look at: waves, or a photograph, without aliasing at any distance."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import log_uniform, uniform

WAVES = 12
COARSEST = 0.15
"""Cycles a metre of the longest wave there may be."""

METRES = 4.0
"""How much of a wall the shorter side of a photograph covers."""


class Texture(Protocol):
    """Colours of a surface."""

    def __call__(self, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        """RGB in [0, 1], ``(N, 3)``, at places ``(N,)`` in metres, averaged over a footprint ``(N,)`` in metres."""
        ...


class Waves:
    """Procedural noise: a colour plus twelve plane waves, random in direction, phase and colour.

    ``clip(base + sum_k a_k sin(2 pi f_k (u cos th_k + v sin th_k) + ph_k) exp(-(2 pi f_k s / 2)^2 / 2), 0, 1)``, s the
    footprint and f_k from 0.15 to ``detail`` cycles a metre.
    """

    def __init__(self, generator: Generator, detail: float = 3.0) -> None:
        self.base = uniform(generator, (3,), 0.3, 0.7).double()
        frequency = log_uniform(generator, (WAVES,), COARSEST, detail).double()
        angle = uniform(generator, (WAVES,), 0, math.pi).double()
        self.phase = uniform(generator, (WAVES,), 0, 2 * math.pi).double()
        self.colours = (uniform(generator, (WAVES, 3), -1, 1) * 0.45 / math.sqrt(WAVES)).double()
        self.wave = 2 * math.pi * frequency
        self.direction = torch.stack([angle.cos(), angle.sin()]) * self.wave

    def __call__(self, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        phase = torch.stack([u, v], 1) @ self.direction + self.phase
        fading = torch.exp(-0.5 * (footprint[:, None] * self.wave / 2).square())
        return (self.base + (phase.sin() * fading) @ self.colours).clamp(0, 1)


class Poster:
    """A photograph ``(3, h, w)``, RGB in [0, 1], repeated endlessly with its mirror images from a random place.

    Each footprint is looked up between the two nearest of ever smaller copies.
    """

    def __init__(self, photograph: Tensor, generator: Generator) -> None:
        self.levels = [photograph[None].double()]
        while min(self.levels[-1].shape[2:]) >= 4:
            self.levels.append(F.avg_pool2d(self.levels[-1], 2))
        self.pixels_per_metre = min(photograph.shape[1:]) / METRES
        self.origin = uniform(generator, (2,), 0, METRES).double()

    def __call__(self, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
        height, width = self.levels[0].shape[2:]
        places = (torch.stack([u, v], 1) + self.origin) * self.pixels_per_metre
        grid = (2 * places / places.new_tensor([width, height]) - 1).view(1, 1, -1, 2)
        level = (footprint * self.pixels_per_metre).clamp_min(1).log2().clamp_max(len(self.levels) - 1)
        colours = torch.zeros_like(places[:, :1]).expand(-1, 3).clone()
        for number, pixels in enumerate(self.levels):
            share = (1 - (level - number).abs()).clamp_min(0)
            used = share > 0
            if used.any():
                seen = F.grid_sample(pixels, grid[:, :, used], padding_mode="reflection", align_corners=False)
                colours[used] += share[used, None] * seen[0, :, 0].T
        return colours
