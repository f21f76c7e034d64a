"""Rain: streaks at several distances, drawn out by the exposure, and the mist of those too far to be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from kornia.color import rgb_to_linear_rgb
from torch import Generator, Tensor

from restorekit.degradations.base import Pair, log_uniform, uniform
from restorekit.degradations.depth import pseudo_depth
from restorekit.degradations.haze import draw_airlight, veil
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, take_picture
from restorekit.degradations.shapes import Fall, falling


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
    sensor: SensorSettings = DAYLIGHT

    def __post_init__(self) -> None:
        for name in ("amount", "length", "width", "opacity", "light", "mist"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be two numbers, not negative, the smaller first")
        if self.layers < 1 or min(self.amount[0], self.length[0], self.width[0]) == 0:
            raise ValueError("layers must be at least 1, and amount, length and width above 0")
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
        settings, count = self.settings, clean.shape[0]
        shape = (count, 1, 1, 1)
        light = rgb_to_linear_rgb(clean)
        mist = uniform(generator, shape, *settings.mist).to(clean.device)
        colour = draw_airlight(settings.light, 0.03, count, generator).to(clean.device)
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
        return Pair(take_picture(rainy, settings.sensor, generator), clean, {"streaks": streaks})
