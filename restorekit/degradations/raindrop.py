"""Drops on a pane of glass near the lens: each shows the scene small, upside down and out of focus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from kornia.color import rgb_to_linear_rgb
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, device_generator, log_uniform, require_ranges, uniform
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, take_picture
from restorekit.degradations.shapes import disc, scatter
from restorekit.layers import convolve_circular

SIZES = 4
"""How many sizes drops come in on one pane, before each gets a size of its own."""


@dataclass(frozen=True)
class RaindropSettings:
    """What the glass is covered with. Ranges are uniform unless said otherwise.

    Attributes:
        amount: share of the glass that drops would cover if none overlapped, log-uniform.
        radius: of drops in pixels; those on one pane range from a quarter of what is drawn to all of it.
        bend: how far from its place a drop shows the scene at its rim, in pixels.
        defocus: radius of the disc a point on the glass becomes, in pixels.
        rim: how dark the rim of a drop is, where light is reflected inside it: 0 not at all, 1 black.
        sky: how much brighter a drop is below, where it shows the sky, than above.
        sensor: what the camera does after the lens.
    """

    amount: tuple[float, float] = (0.08, 0.6)
    radius: tuple[float, float] = (8.0, 28.0)
    bend: tuple[float, float] = (20.0, 120.0)
    defocus: tuple[float, float] = (0.7, 5.0)
    rim: tuple[float, float] = (0.2, 0.8)
    sky: tuple[float, float] = (0.0, 0.7)
    sensor: SensorSettings = DAYLIGHT

    def __post_init__(self) -> None:
        require_ranges(self, "amount", "radius", "bend", "defocus", "rim", "sky")
        if self.amount[0] == 0 or self.radius[0] < 1 or max(self.rim[1], self.sky[1]) > 1:
            raise ValueError("amount must be above 0, radius at least 1, and rim and sky at most 1")
        if self.defocus[1] > Raindrop.margin:
            raise ValueError(f"defocus must be at most {Raindrop.margin}")


class Raindrop:
    """Random drops on glass; see :class:`RaindropSettings`. The extras hold what they cover, ``drops``, ``(B, 1, H, W)``."""

    settings_type = RaindropSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 8
    """Where defocus looks beyond the border."""

    def __init__(self, settings: RaindropSettings | None = None) -> None:
        self.settings = settings or RaindropSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``, each behind a pane of its own."""
        settings, count, m = self.settings, clean.shape[0], self.margin
        shape = (count, 1, 1, 1)
        height = water(settings, shape, clean.shape[-2:], clean.device, generator)
        bend, defocus, rim, sky = (
            uniform(generator, shape, *limits).to(clean.device)
            for limits in (settings.bend, settings.defocus, settings.rim, settings.sky)
        )
        light = rgb_to_linear_rgb(clean)
        seen, covered = through_drops(light, height, bend, rim, sky)
        blur = disc(defocus, math.ceil(float(defocus.max())))
        layer = convolve_circular(torch.cat([seen * covered, covered], 1), blur).clamp_min(0)
        inner = (..., slice(m, clean.shape[-2] - m), slice(m, clean.shape[-1] - m))
        drops = layer[:, 3:].clamp_max(1)
        wet = (layer[:, :3] + (1 - drops) * light)[inner]
        return Pair(
            take_picture(wet, settings.sensor, generator), clean[inner].contiguous(), {"drops": drops[inner].contiguous()}
        )


def water(
    settings: RaindropSettings, shape: tuple[int, ...], size: tuple[int, ...], device: torch.device, generator: Generator
) -> Tensor:
    """How high water stands on the glass, in pixels, negative where it is dry: ``(B, 1, *size)``.

    Drops are caps of paraboloids, rounded by surface tension; where they touch they run together, and dirt on the glass makes
    their outlines uneven. ``generator`` lives on the CPU.
    """
    largest = uniform(generator, shape, *settings.radius)
    amount = log_uniform(generator, shape, *settings.amount)
    numbers = device_generator(generator, device)
    total = torch.zeros((shape[0], 1, *size), device=device)
    for step in range(SIZES):
        radius = largest * 4 ** (-step / (SIZES - 1)) * uniform(generator, shape, 0.85, 1.15)
        reach = min(math.ceil(float(radius.max())), (min(size) - 1) // 2)
        axis = torch.arange(-reach, reach + 1)
        drop = radius * (1 - (axis**2 + axis.unsqueeze(1) ** 2) / radius**2).clamp_min(0)
        density = (amount / SIZES / (math.pi * radius**2)).to(device)
        points = scatter(density, size[0], size[1], numbers)
        total += convolve_circular(points.sqrt(), drop.to(device))
    cell = float(settings.radius[0]) / 2
    coarse = [max(2, round(side / cell)) for side in size]
    dirt = torch.empty((shape[0], 1, *coarse), device=device).normal_(generator=numbers)
    dirt = F.interpolate(dirt, size, mode="bicubic", align_corners=True)
    return total - (0.07 + 0.03 * dirt.clamp(-2, 2)) * largest.to(device)


def through_drops(light: Tensor, height: Tensor, bend: Tensor, rim: Tensor, sky: Tensor) -> tuple[Tensor, Tensor]:
    """What drops show, ``(B, 3, H, W)``, linear light, and how much of each pixel they cover, ``(B, 1, H, W)``.

    The slope of the surface bends rays towards the thick of the drop, so that left and right, above and below change places.

    Args:
        light: linear light of the scene, ``(B, 3, H, W)``.
        height: of the water, ``(B, 1, H, W)``, in pixels.
        bend: pixels by which a slope of 2, as at a rim, displaces the scene, ``(B, 1, 1, 1)``.
        rim: how dark rims are.
        sky: how much brighter drops are below.
    """
    rows, columns = light.shape[-2:]
    level = F.pad(height.clamp_min(0), (1, 1, 1, 1), mode="replicate")
    across = (level[..., 1:-1, 2:] - level[..., 1:-1, :-2]) / 2
    down = (level[..., 2:, 1:-1] - level[..., :-2, 1:-1]) / 2
    slope = torch.cat([across, down], 1)
    slope = slope / (1 + slope.square().sum(1, keepdim=True) / 16).sqrt()  # steep places where drops meet
    grid = F.affine_grid(torch.eye(2, 3).to(light).expand(len(light), 2, 3), [len(light), 1, rows, columns], align_corners=False)
    step = (bend * slope).permute(0, 2, 3, 1) / light.new_tensor([columns / 2, rows / 2])
    small = F.avg_pool2d(light, min(4, rows, columns), ceil_mode=True)
    seen = F.grid_sample(small, grid + step, mode="bilinear", padding_mode="reflection", align_corners=False)
    steepness = (slope.square().sum(1, keepdim=True) / 4).clamp_max(1)
    shade = (1 - rim * steepness**2) * (1 - sky * slope[:, 1:] / 2).clamp(0.3, 1.7)
    return seen * shade, height.clamp(0, 1)
