"""Small shapes with soft edges, and scattering them: what drops, flakes, streaks and points out of focus look like."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from restorekit.degradations.base import device_generator, uniform
from restorekit.layers import convolve_circular, unit_sum

KINDS = 2
"""How many shapes and directions falling things have at one distance."""


def disc(radius: Tensor, reach: int, centre: Tensor | None = None) -> Tensor:
    """Discs ``(B, 1, 2 reach + 1, 2 reach + 1)`` that sum to one: a point out of focus.

    Args:
        radius: in pixels, ``(B, 1, 1, 1)``. Edges are one pixel soft.
        reach: pixels from the middle of the kernel to its border.
        centre: x and y of the centres, ``(B, 2, 1, 1)``, in pixels from the middle.
    """
    x, y = _grid(radius, reach)
    if centre is not None:
        x, y = x - centre[:, :1], y - centre[:, 1:]
    return unit_sum((radius + 0.5 - torch.hypot(x, y)).clamp(1e-6, 1))


def streak(length: Tensor, width: Tensor, angle: Tensor, reach: int) -> Tensor:
    """Lines with round ends, ``(B, 1, 2 reach + 1, 2 reach + 1)``, at most 1; what a moving drop leaves.

    Args:
        length: from end to end in pixels, ``(B, 1, 1, 1)``.
        width: in pixels, ``(B, 1, 1, 1)``. Profiles are Gaussian; below one pixel a line is fainter instead of thinner.
        angle: from the vertical, in radians, ``(B, 1, 1, 1)``; positive where the lower end lies to the right.
        reach: pixels from the middle of the kernel to its border.
    """
    x, y = _grid(length, reach)
    sin, cos = torch.sin(angle), torch.cos(angle)
    along, across = x * sin + y * cos, x * cos - y * sin
    beyond = (along.abs() - (length - width).clamp_min(0) / 2).clamp_min(0)
    drawn = width.clamp_min(1)
    return width / drawn * torch.exp(-4 * (across**2 + beyond**2) / drawn**2)


def _grid(like: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    axis = torch.arange(-reach, reach + 1).to(like)
    return axis, axis.unsqueeze(1)


def scatter(density: Tensor, height: int, width: int, generator: Generator) -> Tensor:
    """Random points ``(B, 1, height, width)``: ``density`` a pixel, ``(B, 1, 1, 1)``, each with a weight uniform in [0, 1).

    ``generator`` lives on the device of ``density``.
    """
    shape = (density.shape[0], 1, height, width)
    chance = torch.empty(shape, device=density.device).uniform_(generator=generator)
    return torch.where(chance < density, chance / density.clamp_min(1e-12), 0)


def cover(points: Tensor, shape: Tensor) -> Tensor:
    """How much of each pixel is covered, in [0, 1], by ``shape`` ``(B, 1, k, k)`` at every point, weighted; borders wrap around.

    Where things overlap, what the one lets through the other may cover: ``1 - exp(-sum)``.
    """
    return 1 - torch.exp(-convolve_circular(points, shape).clamp_min(0))


@dataclass(frozen=True)
class Fall:
    """Things that fall through the picture while the shutter is open. Tensors are ``(B, 1, 1, 1)``, on the CPU.

    Attributes:
        layers: distances at which they are.
        step: how many times as far each is as the one before.
        amount: share of the picture they would cover if none overlapped, over all distances.
        length: of the nearest, in pixels.
        width: of the nearest, in pixels.
        angle: of the fall from the vertical, in radians.
        gust: largest difference of single ones from it, in radians.
        opacity: at most.
    """

    layers: int
    step: float
    amount: Tensor
    length: Tensor
    width: Tensor
    angle: Tensor
    gust: float
    opacity: Tensor


def falling(fall: Fall, size: tuple[int, ...], device: torch.device, generator: Generator) -> Tensor:
    """How much falling things hide of each pixel, ``(B, 1, *size)`` in [0, 1]; ``generator`` lives on the CPU.

    The farther, the shorter, thinner and more they are; each distance covers as much as any other.
    """
    shape = fall.amount.shape
    numbers = device_generator(generator, device)
    through = torch.ones((shape[0], 1, *size), device=device)
    for layer in range(fall.layers):
        nearness = fall.step**-layer
        for _ in range(KINDS):
            angle = fall.angle + fall.gust * uniform(generator, shape, -1, 1)
            length = fall.length * nearness * uniform(generator, shape, 0.7, 1.3)
            width = fall.width * nearness * uniform(generator, shape, 0.7, 1.3)
            reach = math.ceil(float(torch.maximum(length, width).max() / 2 + width.max()))
            kernel = streak(length, width, angle, min(reach, (min(size) - 1) // 2))
            density = fall.amount / (fall.layers * KINDS * _covered(kernel))
            points = scatter(density.to(device), size[0], size[1], numbers)
            through = through * (1 - fall.opacity.to(device) * cover(2 * points, kernel.to(device)))
    return 1 - through


def _covered(shape: Tensor) -> Tensor:
    """The pixels that one point of :func:`scatter`, twice its weight, makes :func:`cover` hide, on average, ``(B, 1, 1, 1)``."""
    twice = (2 * shape).clamp_min(1e-6)
    return (1 + torch.expm1(-twice) / twice).sum((2, 3), keepdim=True)
