"""Camera trajectories: where the picture moves while the shutter is open."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import uniform

STEPS = 64
"""Moments a trajectory is followed at."""


def hand_held(count: int, dimensions: int, generator: Generator, tangled: float = 0.0) -> Tensor:
    """Trajectories of a hand-held camera, ``(count, STEPS, dimensions)``, centred on their mean and scaled to extent 1.

    A hand is heavy: velocity persists (inertia) and drifts with random acceleration; now and then it is jerked, as when the
    shutter is pressed; and it trembles a few times within the exposure. How much of each is drawn for every trajectory, from a
    straight pan to a knot. The extent is twice the largest distance from the mean position. All on the CPU.

    ``tangled`` is the share, 0 to 1, of trajectories that are knots for certain: a hand that tries to hold still wanders back and
    forth over a small place and dwells here and there, as in the kernels Levin et al. measured (CVPR 2009).
    """
    shape = (count, 1, dimensions)
    inertia = 1 - 0.5 * uniform(generator, (count, 1, 1)) ** 2.5
    drift = torch.randn((count, STEPS, dimensions), generator=generator)
    jerk = torch.randn((count, STEPS, dimensions), generator=generator) * (uniform(generator, (count, STEPS, 1)) < 0.03)
    restlessness = 0.6 * uniform(generator, (count, 1, 1)) ** 2
    if tangled:
        knot = uniform(generator, (count, 1, 1)) < tangled
        inertia = torch.where(knot, uniform(generator, (count, 1, 1), 0.5, 0.95), inertia)
        restlessness = torch.where(knot, uniform(generator, (count, 1, 1), 0.2, 1.0), restlessness)
    velocity = torch.randn(shape, generator=generator).squeeze(1)
    velocities = []
    for moment in range(STEPS):
        push = restlessness * drift[:, moment : moment + 1] + 4 * restlessness * jerk[:, moment : moment + 1]
        velocity = inertia.squeeze(1) * velocity + push.squeeze(1)
        velocities.append(velocity)
    path = torch.stack(velocities, 1).cumsum(1)
    path = _unit_extent(path) + _tremor(count, dimensions, generator)
    return _unit_extent(path)


def _tremor(count: int, dimensions: int, generator: Generator) -> Tensor:
    time = torch.linspace(0, 1, STEPS)[None, :, None]
    frequency = uniform(generator, (count, 1, 1), 1, 5)
    phase = uniform(generator, (count, 1, dimensions), 0, 2 * math.pi)
    amplitude = 0.12 * uniform(generator, (count, 1, dimensions)) ** 2
    return amplitude * torch.sin(2 * math.pi * frequency * time + phase)


def _unit_extent(path: Tensor) -> Tensor:
    path = path - path.mean(1, keepdim=True)
    extent = 2 * path.norm(dim=2, keepdim=True).amax(1, keepdim=True)
    return path / extent.clamp_min(1e-6)


def resample(path: Tensor, steps: int) -> Tensor:
    """A trajectory ``(B, N, D)`` at ``steps`` evenly spaced moments, straight lines in between."""
    return F.interpolate(path.transpose(1, 2), steps, mode="linear", align_corners=True).transpose(1, 2)


def rasterise(path: Tensor, radius: int) -> Tensor:
    """The blur kernels ``(B, 2 radius + 1, 2 radius + 1)`` of trajectories ``(B, N, 2)`` in pixels (x, y), each summing to one.

    Every moment leaves the same light, spread bilinearly over four pixels; moments beyond ``radius`` are held at it.
    """
    size = 2 * radius + 1
    fine = resample(path, 4 * path.shape[1]).clamp(-radius, radius - 1e-3) + radius
    corner = fine.floor()
    fraction = fine - corner
    kernels = path.new_zeros(path.shape[0], size * size)
    for dx in (0, 1):
        for dy in (0, 1):
            weight = (fraction[..., 0] if dx else 1 - fraction[..., 0]) * (fraction[..., 1] if dy else 1 - fraction[..., 1])
            index = (corner[..., 1].long() + dy) * size + corner[..., 0].long() + dx
            kernels.scatter_add_(1, index, weight)
    return (kernels / fine.shape[1]).view(-1, size, size)
