"""Reflections in a pane of glass between the camera and the scene: two syntheses from the literature, and a physical one.

What the goldens of RRFormer check are :func:`ceil_synthesis` and :func:`perceptual_synthesis`: each takes transmission and
reflection ``(B, 3, H, W)`` and the numbers that are otherwise drawn, and gives a :class:`Mixture`. In the golden's words:
``attenuation`` is att, ``corner`` is (mask_x, mask_y), ``alpha`` is alpha2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, log_uniform, require_ranges, uniform
from restorekit.degradations.sensor import SILENT, SensorSettings, raise_highlights, save_to_file, take_picture
from restorekit.degradations.shapes import disc
from restorekit.layers import convolve_circular

VIGNETTE = 560
"""Rows and columns of the vignette of :func:`perceptual_synthesis`, for pictures that fit into it."""
REFRACTIVE_INDEX = 1.52
"""Of window glass."""


class Mixture(NamedTuple):
    """The layers of a photograph through glass, each ``(B, 3, H, W)`` in [0, 1] and display-encoded.

    Attributes:
        transmission: the scene behind the glass.
        reflection: what is added to it, as if it were alone.
        image: the photograph.
    """

    transmission: Tensor
    reflection: Tensor
    image: Tensor


@dataclass(frozen=True)
class ReflectionSettings:
    """How often and how much. The three shares are relative weights; ranges are uniform unless said otherwise.

    Attributes:
        ceil: share made by :func:`ceil_synthesis`, with a blur of 2 to 5 pixels.
        perceptual: share made by :func:`perceptual_synthesis`, with a blur of 1 to 5 pixels.
        physical: share made by :func:`pane_of_glass`.
        brightness: how much brighter the reflected scene is lit than the one behind the glass, log-uniform (physical).
        tilt: angle between the camera's axis and the normal of the pane, in degrees (physical).
        view: half the angle of view, in degrees (physical).
        defocus: radius in pixels of the disc that a point of the reflected scene becomes (physical).
        ghost: distance in pixels between the reflections of the two faces of the pane (physical).
        sensor: what the camera does after the lens (physical).
    """

    ceil: float = 0.25
    perceptual: float = 0.25
    physical: float = 0.5
    brightness: tuple[float, float] = (1.5, 8.0)
    tilt: tuple[float, float] = (0.0, 50.0)
    view: tuple[float, float] = (10.0, 35.0)
    defocus: tuple[float, float] = (0.5, 6.0)
    ghost: tuple[float, float] = (0.0, 8.0)
    sensor: SensorSettings = field(default_factory=lambda: SensorSettings(noise_probability=0.3))

    def __post_init__(self) -> None:
        if min(self.ceil, self.perceptual, self.physical) < 0 or self.ceil + self.perceptual + self.physical == 0:
            raise ValueError("the shares ceil, perceptual and physical must not be negative, nor all zero")
        require_ranges(self, "brightness", "tilt", "view", "defocus", "ghost")
        if self.brightness[0] == 0 or self.tilt[1] + self.view[1] >= 90:
            raise ValueError("brightness must be above 0, and tilt and view together below 90 degrees")
        if self.defocus[1] + self.ghost[1] > Reflection.margin:
            raise ValueError(f"defocus and ghost together must reach no further than {Reflection.margin} pixels")


class Reflection:
    """Random reflections; see :class:`ReflectionSettings`.

    What is reflected is the next photograph of the batch, or, for a single one, an enlarged part of itself, mirrored. The extras
    hold it as it appears in the picture, ``reflection``, ``(B, 3, H, W)``.
    """

    settings_type = ReflectionSettings
    whole: ClassVar[Mapping[str, Any]] = {"ceil": 0.0, "perceptual": 0.0}  # the physical one
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 16
    """Where blur and ghost look beyond the border."""

    def __init__(self, settings: ReflectionSettings | None = None) -> None:
        self.settings = settings or ReflectionSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``, each behind a pane of its own."""
        settings, count, m = self.settings, clean.shape[0], self.margin
        shares = torch.tensor([settings.ceil, settings.perceptual, settings.physical], dtype=torch.float32)
        kinds = torch.multinomial(shares, count, replacement=True, generator=generator)
        other = clean.roll(1, 0) if count > 1 else _elsewhere(clean, generator)
        inner = (..., slice(m, clean.shape[-2] - m), slice(m, clean.shape[-1] - m))
        target = clean[inner].contiguous()
        image, reflection = torch.empty_like(target), torch.empty_like(target)
        for kind, synthesis in enumerate((self._ceil, self._perceptual, self._physical)):
            chosen = torch.nonzero(kinds == kind).flatten()
            if len(chosen):
                mixture = synthesis(clean[chosen], other[chosen], generator)
                image[chosen], reflection[chosen] = mixture.image, mixture.reflection
        return Pair(image, target, {"reflection": reflection})

    def _ceil(self, clean: Tensor, other: Tensor, generator: Generator) -> Mixture:
        sigma = uniform(generator, (len(clean),), 2, 5)
        return self._saved(ceil_synthesis(_inside(clean), _inside(other), sigma), generator)

    def _perceptual(self, clean: Tensor, other: Tensor, generator: Generator) -> Mixture:
        """The draws of the paper; the vignette is stretched for photographs larger than it."""
        count, (height, width) = len(clean), clean.shape[-2:]
        side = _vignette_side(height, width)
        sigma = 1 + torch.randint(80, (count,), generator=generator) * (4 / 79)
        attenuation = 1.08 + uniform(generator, (count,)) / 10
        corner = [torch.randint(max(1, side - size - 10), (count,), generator=generator) for size in (width, height)]
        alpha = 1 - uniform(generator, (count,)) / 5
        mixture = perceptual_synthesis(clean, other, sigma, attenuation, torch.stack(corner, 1), alpha)
        return self._saved(Mixture(*map(_inside, mixture)), generator)

    def _physical(self, clean: Tensor, other: Tensor, generator: Generator) -> Mixture:
        pane = Pane.draw(self.settings, len(clean), generator).to(clean.device)
        scene, mirrored = (rgb_to_linear_rgb(x) for x in (clean, other))
        mirrored = raise_highlights(mirrored, self.settings.sensor, generator)
        light, reflected = (_inside(x) for x in pane_of_glass(scene, mirrored, pane))
        image = take_picture(light, self.settings.sensor, generator)
        return Mixture(_inside(clean), linear_rgb_to_rgb(reflected.clamp(0, 1)), image)

    def _saved(self, mixture: Mixture, generator: Generator) -> Mixture:
        return mixture._replace(image=save_to_file(mixture.image, self.settings.sensor, generator))


@dataclass(frozen=True)
class Pane:
    """Panes of glass and the scenes reflected in them, each number a tensor ``(B, 1, 1, 1)``.

    Attributes:
        brightness: of the reflected scene, relative to the one behind the glass.
        tilt: from the camera's axis to the normal of the pane, in radians.
        direction: in which direction of the picture the pane is tilted, in radians from the x axis.
        view: half the angle of view across the picture's longer side, in radians.
        defocus: radius of the disc a point becomes, in pixels.
        ghost: distance of the second reflection, in pixels.
    """

    brightness: Tensor
    tilt: Tensor
    direction: Tensor
    view: Tensor
    defocus: Tensor
    ghost: Tensor

    @classmethod
    def draw(cls, settings: ReflectionSettings, count: int, generator: Generator) -> Pane:
        """Panes of ``count`` photographs, on the CPU."""
        shape = (count, 1, 1, 1)
        return cls(
            log_uniform(generator, shape, *settings.brightness),
            uniform(generator, shape, *settings.tilt).deg2rad(),
            uniform(generator, shape, -math.pi, math.pi),
            uniform(generator, shape, *settings.view).deg2rad(),
            uniform(generator, shape, *settings.defocus),
            uniform(generator, shape, *settings.ghost),
        )

    def to(self, device: torch.device) -> Pane:
        """The same on another device."""
        values = (self.brightness, self.tilt, self.direction, self.view, self.defocus, self.ghost)
        return Pane(*(value.to(device) for value in values))


def pane_of_glass(scene: Tensor, mirrored: Tensor, pane: Pane) -> tuple[Tensor, Tensor]:
    """What a camera sees of a scene through glass, and the part of it that is reflection.

    ``T (1 - rho)^2 / (1 - rho_0)^2 + b rho (D_r * R + (1 - rho)^2 D_r * R shifted)``: both faces of the pane reflect the share
    ``rho`` of unpolarised light that Fresnel's equations give for the angle of each pixel; the second reflection is displaced
    along the tilt; ``D_r`` is the disc of defocus and ``rho_0`` the reflectance on the axis, for which the exposure makes up.

    Args:
        scene: linear light behind the glass, ``(B, 3, H, W)``.
        mirrored: linear light that is reflected, ``(B, 3, H, W)``; nothing is mirrored here.
        pane: how the glass stands.
    """
    height, width = scene.shape[-2:]
    rho = fresnel(_cosine(pane, height, width, scene))
    on_axis = fresnel(torch.cos(pane.tilt))
    radius = math.ceil(float((pane.defocus + pane.ghost).max()))
    shift = pane.ghost * torch.cat([torch.cos(pane.direction), torch.sin(pane.direction)], 1)
    second = (1 - on_axis) ** 2
    faces = disc(pane.defocus, radius) + second * disc(pane.defocus, radius, shift)
    reflected = pane.brightness * rho * convolve_circular(mirrored, faces).clamp_min(0)
    return scene * ((1 - rho) / (1 - on_axis)) ** 2 + reflected, reflected


def fresnel(cosine: Tensor) -> Tensor:
    """The share of unpolarised light that one face reflects, for the cosine of the angle of incidence; 0.043 straight on."""
    index = REFRACTIVE_INDEX
    inside = (1 - (1 - cosine**2) / index**2).sqrt()
    across = (cosine - index * inside) / (cosine + index * inside)
    along = (inside - index * cosine) / (inside + index * cosine)
    return (across**2 + along**2) / 2


def _cosine(pane: Pane, height: int, width: int, like: Tensor) -> Tensor:
    """The cosine of the angle between each pixel's ray and the normal of the pane, ``(B, 1, H, W)``."""
    y, x = (torch.linspace(-size, size, size).to(like) / max(height, width) for size in (height, width))
    reach = torch.tan(pane.view)
    x, y = x * reach, y.unsqueeze(1) * reach
    along = x * torch.cos(pane.direction) + y * torch.sin(pane.direction)
    return (torch.cos(pane.tilt) + torch.sin(pane.tilt) * along) / (1 + x**2 + y**2).sqrt()


def ceil_synthesis(transmission: Tensor, reflection: Tensor, sigma: Tensor, gamma: float = 1.3, kernel: int = 11) -> Mixture:
    """The synthesis of CEILNet (Fan et al., ICCV 2017), on display-encoded values.

    The reflection is blurred and, if the sum exceeds 1 anywhere, lowered by ``gamma`` times the mean excess.

    Args:
        transmission: ``(B, 3, H, W)``.
        reflection: ``(B, 3, H, W)``.
        sigma: standard deviation of the Gaussian of each pair in pixels, ``(B,)``; darkness beyond the border.
        gamma: see above.
        kernel: side of the Gaussian, odd.
    """
    blurred = _gaussian(reflection, sigma, [kernel] * len(sigma), "constant")
    total = transmission + blurred
    bright = total > 1
    excess = (total * bright).sum((1, 2, 3), keepdim=True) / bright.sum((1, 2, 3), keepdim=True).clamp_min(1) - 1
    lowered = torch.where(bright.any(3).any(2).any(1)[:, None, None, None], (blurred - excess * gamma).clamp(0, 1), blurred)
    return Mixture(transmission, lowered, (transmission + lowered).clamp(0, 1))


def perceptual_synthesis(
    transmission: Tensor, reflection: Tensor, sigma: Tensor, attenuation: Tensor, corner: Tensor, alpha: Tensor
) -> Mixture:
    """The synthesis of "Single image reflection separation with perceptual losses" (Zhang et al., CVPR 2018), in gamma 2.2 light.

    Args:
        transmission: ``(B, 3, H, W)``.
        reflection: ``(B, 3, H, W)``.
        sigma: standard deviation of the Gaussian of each pair in pixels, ``(B,)``; borders are mirrored.
        attenuation: by how many times the mean excess over 1 the reflection is lowered, ``(B,)``.
        corner: upper left corner of the picture in the vignette, ``(B, 2)``: x and y, whole numbers.
        alpha: what the glass lets through, ``(B,)``.
    """
    scene = transmission**2.2
    light = _gaussian(reflection**2.2, sigma, [2 * math.ceil(2 * s) + 1 for s in sigma.tolist()], "reflect")
    total = light + scene
    bright = total > 1
    mean = ((total * bright).sum((2, 3), keepdim=True) / (bright.sum((2, 3), keepdim=True) + 1e-6)).clamp_min(1)
    alpha, attenuation = (value.to(light).view(-1, 1, 1, 1) for value in (alpha, attenuation))
    lowered = (light - (mean - 1) * attenuation).clamp(0, 1) * _vignette(corner, *light.shape[-2:]).to(light)
    return Mixture(transmission, lowered ** (1 / 2.2), (lowered + alpha * scene).clamp(0, 1) ** (1 / 2.2))


def _vignette(corner: Tensor, height: int, width: int) -> Tensor:
    """Pieces ``(B, 1, height, width)`` of a Gaussian that is 1 in its middle and spans +-3 standard deviations."""
    side = _vignette_side(height, width)
    edge = 3 + 3.5 / side
    steps = torch.special.ndtr(torch.linspace(-edge, edge, side + 1, dtype=torch.float64)).diff()
    profile = (steps / steps.max()).sqrt()
    pieces = [torch.outer(profile[y : y + height], profile[x : x + width]) for x, y in corner.tolist()]
    return torch.stack(pieces).unsqueeze(1)


def _vignette_side(height: int, width: int) -> int:
    return max(VIGNETTE, height + 10, width + 10)


def _inside(image: Tensor) -> Tensor:
    m = Reflection.margin
    return image[..., m : image.shape[-2] - m, m : image.shape[-1] - m]


def _elsewhere(clean: Tensor, generator: Generator) -> Tensor:
    """A random half of the width and height of ``(1, 3, H, W)``, mirrored and enlarged to the whole."""
    height, width = clean.shape[-2:]
    top, left = (int(torch.randint(size - size // 2, (), generator=generator)) for size in (height, width))
    part = clean[..., top : top + (height + 1) // 2, left : left + (width + 1) // 2].flip(3)
    return F.interpolate(part, (height, width), mode="bilinear", align_corners=False)


def _gaussian(image: Tensor, sigma: Tensor, sizes: list[int], border: str) -> Tensor:
    each = zip(image.unsqueeze(1), sigma.tolist(), sizes, strict=True)
    return torch.cat([gaussian_blur2d(one, (k, k), (s, s), border_type=border) for one, s, k in each])
