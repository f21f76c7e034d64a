"""Rain: streaks at several distances, drawn out by the exposure, and the mist of those too far to be told apart.

A share can be painted as in DDN's pairs (Fu et al., CVPR 2017): noise, drawn out to streaks and laid over the photograph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from kornia.color import rgb_to_linear_rgb
from torch import Generator, Tensor

from restorekit.degradations.base import Pair, device_generator, log_uniform, require_ranges, uniform
from restorekit.degradations.depth import pseudo_depth
from restorekit.degradations.haze import draw_airlight, veil
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, save_to_file, take_picture
from restorekit.degradations.shapes import Fall, falling, streak
from restorekit.layers import convolve_circular


@dataclass(frozen=True)
class RainSettings:
    """How hard it rains. Ranges are uniform unless said otherwise.

    Attributes:
        layers: distances at which streaks lie, each 1.4 times as far as the one before.
        amount: share of the picture that streaks would cover if none overlapped, over all distances, log-uniform.
        length: of the nearest streaks in pixels, log-uniform.
        width: of the nearest streaks in pixels, log-uniform.
        angle: of the fall from the vertical, in degrees.
        gust: largest difference of single streaks from it, in degrees.
        opacity: of streaks, at most.
        light: display-encoded brightness of streaks, which see the whole sky.
        mist: optical thickness of the far rain at the farthest point.
        painted: share of photographs whose rain is painted, see :func:`paint_rain`; for these only the following count, and
            ``angle`` and what ``sensor`` says of the file.
        paint_length: of painted streaks in pixels, log-uniform.
        paint_width: of painted streaks in pixels, log-uniform.
        paint_density: -1 covers a sixth of the picture, 0 half, 2 nearly all.
        paint_strength: how much brighter the paint gets with each standard deviation of its noise, log-uniform.
        sensor: what the camera does after the lens.
    """

    layers: int = 5
    amount: tuple[float, float] = (0.05, 0.6)
    length: tuple[float, float] = (24.0, 80.0)
    width: tuple[float, float] = (0.9, 2.2)
    angle: tuple[float, float] = (-30.0, 30.0)
    gust: float = 4.0
    opacity: tuple[float, float] = (0.2, 0.7)
    light: tuple[float, float] = (0.6, 0.95)
    mist: tuple[float, float] = (0.0, 0.8)
    painted: float = 0.0
    paint_length: tuple[float, float] = (8.0, 50.0)
    paint_width: tuple[float, float] = (0.8, 2.5)
    paint_density: tuple[float, float] = (-1.0, 2.0)
    paint_strength: tuple[float, float] = (0.03, 0.12)
    sensor: SensorSettings = DAYLIGHT

    def __post_init__(self) -> None:
        require_ranges(self, "amount", "length", "width", "opacity", "light", "mist")
        require_ranges(self, "paint_length", "paint_width", "paint_strength")
        above = self.amount, self.length, self.width, self.paint_length, self.paint_width, self.paint_strength
        if self.layers < 1 or min(low for low, _ in above) == 0:
            raise ValueError("layers must be at least 1, and amount, length, width and those of the paint above 0")
        if not 0 <= self.painted <= 1 or self.paint_density[0] > self.paint_density[1]:
            raise ValueError("painted must be a share from 0 to 1, and paint_density begin with the smaller")
        if self.angle[0] > self.angle[1] or max(self.opacity[1], self.light[1]) > 1 or self.gust < 0:
            raise ValueError("angle must begin with the smaller, opacity and light be at most 1, and gust not negative")


class Rain:
    """Random rain; see :class:`RainSettings`. The extras hold how much streaks hide, ``streaks``, ``(B, 1, H, W)``."""

    settings_type = RainSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 0

    def __init__(self, settings: RainSettings | None = None) -> None:
        self.settings = settings or RainSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from as much, each with rain of its own."""
        painted = torch.zeros(clean.shape[0], dtype=torch.bool)
        if self.settings.painted:
            painted = uniform(generator, (clean.shape[0],)) < self.settings.painted
        image, streaks = torch.empty_like(clean), torch.empty_like(clean[:, :1])
        for chosen, rain in ((~painted, self._fall), (painted, self._paint)):
            if chosen.any():
                image[chosen], streaks[chosen] = rain(clean[chosen], generator)
        return Pair(image, clean, {"streaks": streaks})

    def _fall(self, clean: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        settings = self.settings
        shape = (clean.shape[0], 1, 1, 1)
        light = rgb_to_linear_rgb(clean)
        mist = uniform(generator, shape, *settings.mist).to(clean.device)
        colour = draw_airlight(settings.light, 0.03, len(clean), generator).to(clean.device)
        light = veil(light, torch.exp(-mist * pseudo_depth(clean, generator)), colour)
        rain = Fall(
            layers=settings.layers,
            step=1.4,
            amount=log_uniform(generator, shape, *settings.amount),
            length=log_uniform(generator, shape, *settings.length),
            width=log_uniform(generator, shape, *settings.width),
            angle=uniform(generator, shape, *settings.angle).deg2rad(),
            gust=math.radians(settings.gust),
            opacity=uniform(generator, shape, *settings.opacity),
        )
        streaks = falling(rain, clean.shape[-2:], clean.device, generator)
        # A drop is a wide lens: it shows the sky above it, and a little of the scene it hides.
        seen = 0.75 * colour + 0.25 * light.mean((2, 3), keepdim=True)
        rainy = torch.lerp(light, torch.maximum(seen, light), streaks)
        return take_picture(rainy, settings.sensor, generator), streaks

    def _paint(self, clean: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        settings = self.settings
        shape = (clean.shape[0], 1, 1, 1)
        length = log_uniform(generator, shape, *settings.paint_length)
        width = log_uniform(generator, shape, *settings.paint_width)
        angle = uniform(generator, shape, *settings.angle).deg2rad()
        density = uniform(generator, shape, *settings.paint_density)
        strength = log_uniform(generator, shape, *settings.paint_strength)
        length, width, angle, density, strength = (x.to(clean.device) for x in (length, width, angle, density, strength))
        image, layer = paint_rain(clean, length, width, angle, density, strength, generator)
        return save_to_file(image, settings.sensor, generator), layer


def paint_rain(
    clean: Tensor, length: Tensor, width: Tensor, angle: Tensor, density: Tensor, strength: Tensor, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Rain as image editors paint it: ``1 - (1 - clean)(1 - S)``, display-encoded, and the layer ``S``, ``(B, 1, H, W)``.

    ``S = strength max(0, n + density)``, no more than 1, for Gaussian noise ``n`` of variance 1, drawn out to streaks. Pairs of
    "Removing rain from single images via a deep detail network" (Fu et al., CVPR 2017) look so.

    Args:
        clean: ``(B, 3, H, W)`` in [0, 1].
        length: of streaks in pixels, ``(B, 1, 1, 1)``.
        width: of streaks in pixels, ``(B, 1, 1, 1)``.
        angle: from the vertical, in radians, ``(B, 1, 1, 1)``.
        density: -1 covers a sixth of the picture, 0 half, 2 nearly all, ``(B, 1, 1, 1)``.
        strength: how much brighter the layer gets with each standard deviation of the noise, ``(B, 1, 1, 1)``.
        generator: on the CPU.
    """
    reach = math.ceil(float((length / 2 + width).max()))
    kernel = streak(length, width, angle, reach)
    kernel = kernel / kernel.square().sum((2, 3), keepdim=True).sqrt()
    count, _, rows, columns = clean.shape
    noise = clean.new_empty(count, 1, rows + 2 * reach, columns + 2 * reach)
    noise.normal_(generator=device_generator(generator, clean.device))
    drawn_out = convolve_circular(noise, kernel)[..., reach : reach + rows, reach : reach + columns]
    layer = (strength * (drawn_out + density)).clamp(0, 1)
    return 1 - (1 - clean) * (1 - layer), layer
