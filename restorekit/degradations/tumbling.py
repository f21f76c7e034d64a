"""Blur kernels of a camera that tumbles freely, as INFWIDE is trained and tested with."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import uniform

STEPS = 250
SIDES = (5, 27)
"""Rows and columns of a kernel before it is enlarged."""
STEEPNESS = 0.15
STRETCHED = 0.25
"""Share of kernels that are enlarged to one to five times the size, of which the middle is left."""
LEAST = 0.1
"""Sum of what is left, below which a Gaussian takes its place."""


def tumbling_kernels(count: int, size: int, generator: Generator) -> Tensor:
    """Kernels ``(count, size, size)``, not negative, each of sum 1; their centres of mass are not in the middle.

    As INFWIDE's code draws them (TIP 2023, data synthesis): a path of :data:`STEPS` steps whose speed and turns get a shock at
    every step, less and less, counted into the cells of a small square. ``size`` is odd, and 37 there.
    """
    kernels = [_raster(path, generator) for path in _paths(count, generator)]
    return torch.stack([_fit(kernel, size, generator) for kernel in kernels])


def _paths(count: int, generator: Generator) -> Tensor:
    """Where the camera is at each step: ``(count, STEPS, 2)``."""
    place = torch.zeros(count, 3)
    turn = torch.zeros(count, 3)
    speed = torch.randn((count, 3), generator=generator)
    places = [place]
    for step in range(1, STEPS):
        shock = torch.randn((2, count, 3), generator=generator) / (step + 1)
        turn = turn + 2 * math.pi / STEPS * (shock[0] + turn)
        speed = speed + shock[1]
        place = place + torch.einsum("nij,nj->ni", _rotation(turn), speed)
        places.append(place)
    return torch.stack(places, 1)[..., :2]


def _rotation(angles: Tensor) -> Tensor:
    """``Rz Ry Rx``, ``(n, 3, 3)``, of ``(n, 3)`` in radians."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().T, angles.sin().T
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def _raster(path: Tensor, generator: Generator) -> Tensor:
    """How often the path is in each cell of a square of odd, random side, softened towards the end by half a cell; sum 1."""
    drawn = SIDES[0] - math.log(max(float(uniform(generator, (1,), 0, 1)), 1e-30)) / STEEPNESS
    side = round(min(drawn, SIDES[1]))
    side += 1 - side % 2
    low, high = path.amin(0), path.amax(0)
    cells = ((path - low) / (high - low).clamp_min(1e-12) * (side - 1)).long().clamp_max(side - 2)
    counts = torch.zeros(side * side).index_add_(0, cells[:, 0] * side + cells[:, 1], torch.ones(len(path))).view(side, side)
    taps = torch.exp(-torch.tensor([[0.0, 1.0], [1.0, 2.0]]) / 2)
    soft = F.conv2d(F.pad(counts, (1, 0, 1, 0))[None, None], taps.flip(0, 1)[None, None])[0, 0]
    return soft / soft.sum()


def _fit(kernel: Tensor, size: int, generator: Generator) -> Tensor:
    """A kernel in the middle of ``(size, size)``, enlarged if chance will have it; sum 1."""
    side = len(kernel)
    if side > size:
        kernel = F.interpolate(kernel[None, None], (size, size), mode="area")[0, 0]
        side = size
    before = (size - side) // 2
    after = size - side - before
    kernel = F.pad(kernel, (before, after, before, after))
    if float(uniform(generator, (1,), 0, 1)) < STRETCHED:
        height, width = (int(torch.randint(size, 5 * size + 1, (1,), generator=generator)) for _ in range(2))
        large = F.interpolate(kernel[None, None], (height, width), mode="bilinear")[0, 0]
        top, left = (height - size) // 2, (width - size) // 2
        kernel = large[top : top + size, left : left + size]
    if float(kernel.sum()) < LEAST:
        sigma = LEAST + 6 * float(uniform(generator, (1,), 0, 1))
        taps = torch.exp(-((torch.arange(size) - size // 2) ** 2) / (2 * sigma**2))
        kernel = torch.outer(taps, taps)
    return kernel / kernel.sum()
