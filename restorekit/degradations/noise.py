"""Noise as it looks after the camera has made a picture of it.

Photons and electronics add white noise to the raw mosaic. Demosaicing, white balance, the colour matrix, the tone curve and the
camera's own denoising then make it coloured, blotchy and dependent on brightness, and JPEG has the last word. Light goes back to
the raw and noise comes forward again, after "Unprocessing Images for Learned Raw Denoising" (Brooks et al., CVPR 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from kornia.filters import gaussian_blur2d
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, device_generator, log_uniform, uniform
from restorekit.degradations.sensor import SensorSettings, save_to_file

COLOUR_MATRIX = ((1.75, -0.55, -0.20), (-0.20, 1.55, -0.35), (0.02, -0.55, 1.53))
"""From white-balanced camera colours to linear sRGB, as typical of a Bayer camera in daylight; grey stays grey."""
LUMA = (0.299, 0.587, 0.114)
FINE_BLUR = 1.0
"""Standard deviation in pixels of the blur by which luma noise is sharpened or softened."""


@dataclass(frozen=True)
class NoiseSettings:
    """Cameras, from full frame to telephone, and what they do to their pictures. Ranges are uniform unless said otherwise.

    Attributes:
        iso: sensitivity, log-uniform.
        full_well: electrons that make white at ISO 100, log-uniform: about 60 000 in a large sensor, 5000 in a telephone.
        read: standard deviation of the read noise before the gain, in electrons.
        converter: standard deviation of the noise after the gain, relative to white, log-uniform.
        red_gain: white balance of red; green has 1.
        blue_gain: white balance of blue.
        colour: strength of the colour matrix: 0 for camera colours as they are, 1 for :data:`COLOUR_MATRIX`.
        demosaic: 0 for bilinear demosaicing, 1 for the gradient-corrected one of Malvar, He and Cutler (2004).
        contrast: exponent of the tone curve at black, see :func:`tone`.
        grey: where in [0, 1] the picture shows middle grey, 18 % of white.
        luma: how much the fine grain of the noise is softened (negative, to -1) or sharpened (positive).
        chroma: share of the colour noise that the camera's denoising smooths.
        chroma_blur: standard deviation of that smoothing, in pixels.
        plain: share of photographs that have Gaussian noise on their display values instead, as scans, enlarged pictures and most
            experiments have.
        plain_sigma: standard deviation of that, 1 being white, log-uniform.
        plain_grain: standard deviation in pixels of the blur that makes its grain coarse; 0 for white noise.
        plain_grey: share of its variance that all colours have in common.
        jpeg_probability: share of photographs saved as JPEG; the others are rounded to 8 bit.
        jpeg_quality: range of JPEG qualities.
    """

    iso: tuple[float, float] = (100.0, 12800.0)
    full_well: tuple[float, float] = (6000.0, 80000.0)
    read: tuple[float, float] = (0.7, 3.0)
    converter: tuple[float, float] = (5e-5, 4e-4)
    red_gain: tuple[float, float] = (1.2, 2.6)
    blue_gain: tuple[float, float] = (1.2, 2.4)
    colour: tuple[float, float] = (0.3, 1.1)
    demosaic: tuple[float, float] = (0.0, 1.0)
    contrast: tuple[float, float] = (0.6, 1.15)
    grey: tuple[float, float] = (0.42, 0.56)
    luma: tuple[float, float] = (-0.9, 0.2)
    chroma: tuple[float, float] = (0.5, 1.0)
    chroma_blur: tuple[float, float] = (0.8, 3.0)
    plain: float = 0.0
    plain_sigma: tuple[float, float] = (0.01, 0.3)
    plain_grain: tuple[float, float] = (0.0, 1.2)
    plain_grey: tuple[float, float] = (0.0, 1.0)
    jpeg_probability: float = 0.4
    jpeg_quality: tuple[int, int] = (80, 98)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and value[0] > value[1]:
                raise ValueError(f"{field.name} must be two numbers, the smaller first")
        if min(self.iso[0], self.full_well[0], self.converter[0], self.red_gain[0], self.blue_gain[0], self.chroma_blur[0]) <= 0:
            raise ValueError("iso, full_well, converter, red_gain, blue_gain and chroma_blur must be above 0")
        if self.read[0] < 0 or not 0.18 ** self.contrast[0] < self.grey[0] <= self.grey[1] < 1:
            raise ValueError("read must not be negative, and grey must lie above 0.18 ** contrast and below 1")
        if self.luma[0] < -1 or not 0 <= self.chroma[0] <= self.chroma[1] <= 1 or self.chroma_blur[1] > 3:
            raise ValueError("luma must be at least -1, chroma between 0 and 1 and chroma_blur at most 3")
        if not 0 <= self.plain <= 1 or self.plain_sigma[0] <= 0:
            raise ValueError("plain must lie in [0, 1] and plain_sigma be above 0")
        if self.plain_grain[0] < 0 or not 0 <= self.plain_grey[0] <= self.plain_grey[1] <= 1:
            raise ValueError("plain_grain must not be negative, and plain_grey lie between 0 and 1")


@dataclass(frozen=True)
class NoiseModel:
    """What the cameras of a batch make noise with and of, each number a tensor ``(B, 1, 1, 1)``.

    Attributes:
        shot: variance of the raw noise per unit of raw light, 1 being white.
        read: standard deviation of the raw noise without light.
        matrix: ``(B, 3, 3)``, from raw colours to linear sRGB, white balance included.
        demosaic: between bilinear (0) and gradient-corrected (1).
        contrast: exponent of the tone curve at black.
        grey: what the tone curve makes of middle grey.
        luma: softening or sharpening of the grain.
        chroma: share of colour noise that is smoothed.
        chroma_blur: standard deviation of that, in pixels.
    """

    shot: Tensor
    read: Tensor
    matrix: Tensor
    demosaic: Tensor
    contrast: Tensor
    grey: Tensor
    luma: Tensor
    chroma: Tensor
    chroma_blur: Tensor

    @classmethod
    def draw(cls, settings: NoiseSettings, count: int, generator: Generator) -> NoiseModel:
        """Cameras of ``count`` photographs, on the CPU."""
        shape = (count, 1, 1, 1)
        gain = log_uniform(generator, shape, *settings.iso) / 100
        shot = gain / log_uniform(generator, shape, *settings.full_well)
        before = uniform(generator, shape, *settings.read) * shot
        after = log_uniform(generator, shape, *settings.converter)
        red, blue = (uniform(generator, (count, 1), *limits) for limits in (settings.red_gain, settings.blue_gain))
        strength = uniform(generator, (count, 1, 1), *settings.colour)
        matrix = torch.lerp(torch.eye(3), torch.tensor(COLOUR_MATRIX), strength)
        return cls(
            shot,
            (before**2 + after**2).sqrt(),
            matrix * torch.cat([red, torch.ones_like(red), blue], 1).unsqueeze(1),
            uniform(generator, shape, *settings.demosaic),
            uniform(generator, shape, *settings.contrast),
            uniform(generator, shape, *settings.grey),
            uniform(generator, shape, *settings.luma),
            uniform(generator, shape, *settings.chroma),
            uniform(generator, shape, *settings.chroma_blur),
        )

    def to(self, device: torch.device) -> NoiseModel:
        """The same on another device."""
        return NoiseModel(*(getattr(self, field.name).to(device) for field in fields(self)))


class Noise:
    """Random camera noise; see :class:`NoiseSettings`.

    The mean of many shots is the clean photograph, clipping and compression apart: demosaicing is linear and the camera's
    denoising is taken to keep edges, so only the noise passes through them and the photograph stays as sharp as it is.
    """

    settings_type = NoiseSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"jpeg_probability": 0.0}
    margin = 12
    """Where demosaicing and smoothing look beyond the border."""

    def __init__(self, settings: NoiseSettings | None = None) -> None:
        self.settings = settings or NoiseSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``, each taken by a camera of its own."""
        settings, m = self.settings, self.margin
        camera = NoiseModel.draw(settings, clean.shape[0], generator).to(clean.device)
        target = clean[..., m:-m, m:-m].contiguous()
        noise = camera_noise(clean, camera, generator)
        if settings.plain:
            chosen = uniform(generator, (clean.shape[0], 1, 1, 1)) < settings.plain
            noise = torch.where(chosen.to(clean.device), plain_noise(clean, settings, generator), noise)
        noisy = target + noise[..., m:-m, m:-m]
        file = SensorSettings(jpeg_probability=settings.jpeg_probability, jpeg_quality=settings.jpeg_quality)
        return Pair(save_to_file(noisy, file, generator), target)


def camera_noise(image: Tensor, camera: NoiseModel, generator: Generator) -> Tensor:
    """What the camera adds to ``(B, 3, H, W)``, RGB in [0, 1]: noisy less clean, before rounding. ``generator`` is on the CPU."""
    linear = untone(image, camera.contrast, camera.grey)
    raw = torch.einsum("bij,bjhw->bihw", torch.linalg.inv(camera.matrix), linear).clamp_min_(0)
    grain = torch.empty_like(raw[:, :1]).normal_(generator=device_generator(generator, image.device))
    grain = demosaic(grain * (camera.shot * mosaic(raw) + camera.read**2).sqrt(), camera.demosaic)
    exposed = (linear + torch.einsum("bij,bjhw->bihw", camera.matrix, grain)).clamp_(0, 1)
    return _denoised(tone(exposed, camera.contrast, camera.grey) - image, camera)


def plain_noise(image: Tensor, settings: NoiseSettings, generator: Generator) -> Tensor:
    """Gaussian noise for ``(B, 3, H, W)``, whatever is on it; ``generator`` is on the CPU."""
    shape = (image.shape[0], 1, 1, 1)
    sigma = log_uniform(generator, shape, *settings.plain_sigma).to(image.device)
    grain = uniform(generator, shape[:2], *settings.plain_grain).clamp_min(0.1).to(image.device)  # 0.1 pixels change nothing
    grey = uniform(generator, shape, *settings.plain_grey).to(image.device)
    source = device_generator(generator, image.device)
    own, common = (torch.empty_like(part).normal_(generator=source) for part in (image, image[:, :1]))
    noise = gaussian_blur2d((1 - grey).sqrt() * own + grey.sqrt() * common, (9, 9), grain.expand(-1, 2))
    return sigma * noise / noise.std((1, 2, 3), keepdim=True)


def _denoised(noise: Tensor, camera: NoiseModel) -> Tensor:
    """Display-encoded noise after the camera has sharpened or softened its grain and smoothed its colour."""
    luma = torch.einsum("c,bchw->bhw", noise.new_tensor(LUMA), noise).unsqueeze(1)
    colour = noise - luma
    fine = luma - gaussian_blur2d(luma, (7, 7), (FINE_BLUR, FINE_BLUR))
    sigma = camera.chroma_blur.view(-1, 1).expand(-1, 2)
    smooth = gaussian_blur2d(colour, (17, 17), sigma)
    return luma + camera.luma * fine + torch.lerp(colour, smooth, camera.chroma)


def tone(light: Tensor, contrast: Tensor, grey: Tensor) -> Tensor:
    """A camera's tone curve, from linear light in [0, 1] to display values in [0, 1].

    ``(1 + c) u / (u + c)`` of ``u = light ** contrast``: a power law at black, whose highlights roll off; ``c`` is such that 0.18
    becomes ``grey``. It stands for encoding and picture style in one.
    """
    roll_off = _roll_off(contrast, grey)
    u = light**contrast
    return (1 + roll_off) * u / (u + roll_off)


def untone(image: Tensor, contrast: Tensor, grey: Tensor) -> Tensor:
    """The inverse of :func:`tone`."""
    roll_off = _roll_off(contrast, grey)
    return (roll_off * image / (1 + roll_off - image)) ** (1 / contrast)


def _roll_off(contrast: Tensor, grey: Tensor) -> Tensor:
    middle = 0.18**contrast
    return middle * (1 - grey) / (grey - middle)


def mosaic(raw: Tensor) -> Tensor:
    """The Bayer mosaic ``(B, 1, H, W)`` of ``(B, 3, H, W)``: red and green in even rows, green and blue in odd ones."""
    result = raw[:, 1:2].clone()
    result[..., ::2, ::2] = raw[:, :1, ::2, ::2]
    result[..., 1::2, 1::2] = raw[:, 2:, 1::2, 1::2]
    return result


def demosaic(bayer: Tensor, gradient: Tensor | float = 1.0) -> Tensor:
    """Three colours ``(B, 3, H, W)`` from a mosaic ``(B, 1, H, W)``, linearly.

    Args:
        bayer: as :func:`mosaic` gives it.
        gradient: 0 for bilinear, 1 for "High-quality linear interpolation for demosaicing of Bayer-patterned color images"
            (Malvar, He and Cutler, ICASSP 2004), anything in between for a blend; ``(B, 1, 1, 1)`` or a number.
    """
    height, width = bayer.shape[-2:]
    padded = F.pad(bayer, (2, 2 + width % 2, 2, 2 + height % 2), mode="reflect")
    plain, corrected = (F.pixel_shuffle(F.conv2d(padded, k.to(padded), stride=2), 2) for k in (_BILINEAR, _CORRECTED))
    return torch.lerp(plain, corrected, torch.as_tensor(gradient).to(plain))[..., :height, :width]


def _phase_kernels(green: Tensor, along: Tensor, diagonal: Tensor) -> Tensor:
    """5 x 5 filters as the kernels ``(12, 1, 6, 6)`` of a convolution with stride 2 that computes all 2 x 2 places of 3 colours.

    Args:
        green: green where red or blue was measured.
        along: red or blue where green was measured, between two of its own kind in the same row.
        diagonal: red where blue was measured, or blue where red was.
    """
    own = torch.zeros(5, 5)
    own[2, 2] = 1
    places = {
        "red": (own, along, along.T, diagonal),
        "green": (green, own, own, green),
        "blue": (diagonal, along.T, along, own),
    }
    kernels = torch.zeros(3, 4, 1, 6, 6)
    for colour, filters in enumerate(places.values()):
        for place, taps in enumerate(filters):
            row, column = divmod(place, 2)
            kernels[colour, place, 0, row : row + 5, column : column + 5] = taps
    return kernels.flatten(0, 1)


def _filter(*rows: tuple[float, ...]) -> Tensor:
    taps = torch.tensor(rows)
    return taps / taps.sum()


_BILINEAR = _phase_kernels(
    _filter((0, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 1, 0, 1, 0), (0, 0, 1, 0, 0), (0, 0, 0, 0, 0)),
    _filter((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 0, 0, 0, 0)),
    _filter((0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0), (0, 1, 0, 1, 0), (0, 0, 0, 0, 0)),
)
_CORRECTED = _phase_kernels(
    _filter((0, 0, -1, 0, 0), (0, 0, 2, 0, 0), (-1, 2, 4, 2, -1), (0, 0, 2, 0, 0), (0, 0, -1, 0, 0)),
    _filter((0, 0, 0.5, 0, 0), (0, -1, 0, -1, 0), (-1, 4, 5, 4, -1), (0, -1, 0, -1, 0), (0, 0, 0.5, 0, 0)),
    _filter((0, 0, -1.5, 0, 0), (0, 2, 0, 2, 0), (-1.5, 0, 6, 0, -1.5), (0, 2, 0, 2, 0), (0, 0, -1.5, 0, 0)),
)
