"""Haze: what is far fades into the light that the air scatters, and loses its sharpness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from kornia.color import rgb_to_linear_rgb
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, log_uniform, require_ranges, uniform
from restorekit.degradations.depth import pseudo_depth
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, take_picture

WAVELENGTHS = (0.61, 0.54, 0.46)
"""Of red, green and blue, in micrometres."""


@dataclass(frozen=True)
class HazeSettings:
    """How much air lies between. Ranges are uniform unless said otherwise.

    Attributes:
        thickness: optical thickness at the farthest point, log-uniform: 1 lets 37 % of the light through.
        nearest: optical thickness at the nearest point, relative to that.
        airlight: display-encoded brightness of the scattered light.
        tint: largest difference of its red and blue from its green.
        exponent: scattering goes with the wavelength to the power of minus this: 0 for droplets, up to 4 for clear air.
        unevenness: standard deviation of the logarithm of the haze's density from place to place.
        scattering: standard deviation in pixels of the blur of light that is scattered forward on its way.
        sensor: what the camera does after the lens.
    """

    thickness: tuple[float, float] = (0.5, 3.0)
    nearest: tuple[float, float] = (0.0, 0.3)
    airlight: tuple[float, float] = (0.65, 0.95)
    tint: float = 0.04
    exponent: tuple[float, float] = (0.0, 0.8)
    unevenness: tuple[float, float] = (0.0, 0.2)
    scattering: tuple[float, float] = (0.5, 3.0)
    sensor: SensorSettings = DAYLIGHT

    def __post_init__(self) -> None:
        require_ranges(self, "thickness", "nearest", "airlight", "exponent", "unevenness", "scattering")
        if self.thickness[0] == 0 or self.airlight[1] > 1 or self.tint < 0:
            raise ValueError("thickness must be above 0, airlight at most 1, and tint not negative")
        if not 0 < self.scattering[0] <= self.scattering[1] <= Haze.margin / 3:
            raise ValueError(f"scattering must lie above 0 and be at most {Haze.margin / 3:g}")


class Haze:
    """Random haze, over a depth that is invented by :mod:`~restorekit.degradations.depth`; see :class:`HazeSettings`.

    The extras hold the transmission of green light, ``transmission``, ``(B, 1, H, W)``.
    """

    settings_type = HazeSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 12
    """Where scattered light comes from beyond the border."""

    def __init__(self, settings: HazeSettings | None = None) -> None:
        self.settings = settings or HazeSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``, each with air of its own."""
        settings, count, m = self.settings, clean.shape[0], self.margin
        shape = (count, 1, 1, 1)
        depth = pseudo_depth(clean, generator)
        thickness = log_uniform(generator, shape, *settings.thickness)
        nearest = uniform(generator, shape, *settings.nearest)
        exponent = uniform(generator, shape, *settings.exponent)
        colours = (torch.tensor(WAVELENGTHS)[:, None, None] / WAVELENGTHS[1]) ** -exponent
        uneven = torch.randn((count, 1, 6, 6), generator=generator) * uniform(generator, shape, *settings.unevenness)
        uneven = F.interpolate(uneven.to(clean.device), clean.shape[-2:], mode="bicubic", align_corners=True).exp()
        thickness, nearest, colours = (value.to(clean.device) for value in (thickness, nearest, colours))
        path = thickness * (nearest + (1 - nearest) * depth) * uneven
        sigma = uniform(generator, (count, 1), *settings.scattering).expand(-1, 2).to(clean.device)
        light = scatter_forward(rgb_to_linear_rgb(clean), path, sigma)
        transmission = torch.exp(-path * colours)
        airlight = draw_airlight(settings.airlight, settings.tint, count, generator).to(clean.device)
        inner = (..., slice(m, clean.shape[-2] - m), slice(m, clean.shape[-1] - m))
        hazy = veil(light[inner], transmission[inner], airlight)
        extras = {"transmission": transmission[:, 1:2][inner]}
        return Pair(take_picture(hazy, settings.sensor, generator), clean[inner].contiguous(), extras)


def veil(light: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    """Koschmieder's law, ``J t + A (1 - t)``, for linear light ``J``; all broadcast against ``(B, 3, H, W)``."""
    return airlight + (light - airlight) * transmission


def scatter_forward(light: Tensor, path: Tensor, sigma: Tensor) -> Tensor:
    """Linear light ``(B, 3, H, W)``, of which the share ``1 - exp(-path / 2)`` arrives blurred.

    Droplets throw most of what they scatter nearly straight on. After "Shedding light on the weather" (Narasimhan and Nayar, CVPR
    2003), which finds such halos to grow with the optical thickness; a Gaussian stands for them here.

    Args:
        light: linear light.
        path: optical thickness, ``(B, 1, H, W)``.
        sigma: of the Gaussian, in pixels, ``(B, 2)``.
    """
    size = 2 * int(3 * float(sigma.max())) + 1
    return torch.lerp(light, gaussian_blur2d(light, (size, size), sigma), 1 - torch.exp(-path / 2))


def draw_airlight(brightness: tuple[float, float], tint: float, count: int, generator: Generator) -> Tensor:
    """Linear colours ``(count, 3, 1, 1)`` of scattered light, bluish or yellowish, on the CPU.

    Args:
        brightness: range of the display-encoded green.
        tint: largest difference of display-encoded red and blue from it.
        count: how many.
        generator: on the CPU.
    """
    green = uniform(generator, (count, 1, 1, 1), *brightness)
    blue = uniform(generator, (count, 1, 1, 1), -tint, tint)
    return rgb_to_linear_rgb(torch.cat([green - blue, green, green + blue], 1).clamp(0, 1))
