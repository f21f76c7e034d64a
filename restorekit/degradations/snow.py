"""Snow: flakes at several distances, the near ones large, soft and drawn out, and the white of those too far to be told apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from kornia.color import rgb_to_linear_rgb
from torch import Generator, Tensor

from restorekit.degradations.base import Pair, log_uniform, require_ranges, uniform
from restorekit.degradations.depth import pseudo_depth
from restorekit.degradations.haze import draw_airlight, veil
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, take_picture
from restorekit.degradations.shapes import Fall, falling


@dataclass(frozen=True)
class SnowSettings:
    """How hard it snows. Ranges are uniform unless said otherwise.

    Attributes:
        layers: distances at which flakes are, each 1.6 times as far as the one before.
        amount: share of the picture that flakes would cover if none overlapped, over all distances, log-uniform.
        flake: diameter of the nearest flakes in pixels, log-uniform.
        motion: how far a flake falls during the exposure, in diameters.
        angle: of the fall from the vertical, in degrees.
        flutter: largest difference of single flakes from it, in degrees.
        opacity: of flakes, at most.
        light: display-encoded brightness of flakes and of the air.
        veil: optical thickness of the far snow at the farthest point.
        sensor: what the camera does after the lens.
    """

    layers: int = 5
    amount: tuple[float, float] = (0.02, 0.25)
    flake: tuple[float, float] = (5.0, 18.0)
    motion: tuple[float, float] = (0.0, 1.5)
    angle: tuple[float, float] = (-45.0, 45.0)
    flutter: float = 25.0
    opacity: tuple[float, float] = (0.6, 1.0)
    light: tuple[float, float] = (0.75, 1.0)
    veil: tuple[float, float] = (0.0, 0.8)
    sensor: SensorSettings = DAYLIGHT

    def __post_init__(self) -> None:
        require_ranges(self, "amount", "flake", "motion", "opacity", "light", "veil")
        if self.layers < 1 or min(self.amount[0], self.flake[0]) == 0:
            raise ValueError("layers must be at least 1, and amount and flake above 0")
        if self.angle[0] > self.angle[1] or max(self.opacity[1], self.light[1]) > 1 or self.flutter < 0:
            raise ValueError("angle must begin with the smaller, opacity and light be at most 1, and flutter not negative")


class Snow:
    """Random snow; see :class:`SnowSettings`. The extras hold how much flakes hide, ``flakes``, ``(B, 1, H, W)``."""

    settings_type = SnowSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 0

    def __init__(self, settings: SnowSettings | None = None) -> None:
        self.settings = settings or SnowSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from as much, each with snow of its own."""
        settings, count = self.settings, clean.shape[0]
        shape = (count, 1, 1, 1)
        white = draw_airlight(settings.light, 0.02, count, generator).to(clean.device)
        thickness = uniform(generator, shape, *settings.veil).to(clean.device)
        light = veil(rgb_to_linear_rgb(clean), torch.exp(-thickness * pseudo_depth(clean, generator)), white)
        flake = log_uniform(generator, shape, *settings.flake)
        snow = Fall(
            layers=settings.layers,
            step=1.6,
            amount=log_uniform(generator, shape, *settings.amount),
            length=flake * (1 + uniform(generator, shape, *settings.motion)),
            width=flake,
            angle=uniform(generator, shape, *settings.angle).deg2rad(),
            gust=math.radians(settings.flutter),
            opacity=uniform(generator, shape, *settings.opacity),
        )
        flakes = falling(snow, clean.shape[-2:], clean.device, generator)
        snowy = torch.lerp(light, white, flakes)
        return Pair(take_picture(snowy, settings.sensor, generator), clean, {"flakes": flakes})
