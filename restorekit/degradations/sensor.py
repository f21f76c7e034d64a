"""What the camera does after the lens: highlights clip, photons and electronics add noise, files round and compress."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from kornia.color import linear_rgb_to_rgb
from torch import Generator, Tensor

from restorekit.degradations.base import device_generator, log_uniform, uniform


@dataclass(frozen=True)
class SensorSettings:
    """How often and how much.

    Attributes:
        noise_probability: share of photographs with noise.
        shot: range of the shot-noise gain (variance per unit of linear light), log-uniform; both 0 for none.
        read: range of the read-noise standard deviation in linear light, log-uniform; both 0 for none.
        saturation_probability: share of photographs whose highlights were brighter than the file can say.
        saturation_gain: largest factor, less one, by which such highlights are raised.
        jpeg_probability: share of photographs saved as JPEG; the others are rounded to 8 bit.
        jpeg_quality: range of JPEG qualities, uniform.
    """

    noise_probability: float = 0.5
    shot: tuple[float, float] = (1e-5, 1e-3)
    read: tuple[float, float] = (3e-4, 4e-3)
    saturation_probability: float = 0.2
    saturation_gain: float = 3.0
    jpeg_probability: float = 0.3
    jpeg_quality: tuple[int, int] = (75, 98)

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in (self.noise_probability, self.saturation_probability, self.jpeg_probability)):
            raise ValueError("noise_probability, saturation_probability and jpeg_probability must lie in [0, 1]")
        for name in ("shot", "read"):
            low, high = getattr(self, name)
            if not (0 < low <= high or low == high == 0):
                raise ValueError(f"{name} must be two positive numbers, the smaller first, or 0 twice for none")
        if self.saturation_gain < 0:
            raise ValueError("saturation_gain must not be negative")
        if not 1 <= self.jpeg_quality[0] <= self.jpeg_quality[1] <= 100:
            raise ValueError("jpeg_quality must be two numbers from 1 to 100, the smaller first")


DAYLIGHT = SensorSettings(noise_probability=0.3, shot=(1e-5, 3e-4), saturation_probability=0.0)
"""Of pictures whose trouble is the weather: little noise, and lights are as bright as they were."""
SILENT: Mapping[str, Any] = {"noise_probability": 0.0, "jpeg_probability": 0.0}
"""The settings of a sensor that only rounds: of what is not yet the final picture."""


def raise_highlights(linear: Tensor, settings: SensorSettings, generator: Generator) -> Tensor:
    """Give back to the white parts of ``(B, 3, H, W)`` linear light some of the brightness that clipping took, before a blur.

    Only where all three colours are within 5 % of white, so that nothing but lights, glints and burnt-out skies changes.
    """
    count = linear.shape[0]
    gain = uniform(generator, (count, 1, 1, 1), 0, settings.saturation_gain)
    gain = gain * (uniform(generator, (count, 1, 1, 1)) < settings.saturation_probability)
    if not gain.any():
        return linear
    whiteness = ((linear.amin(1, keepdim=True) - 0.95) / 0.05).clamp(0, 1)
    return linear * (1 + gain.to(linear.device) * whiteness)


def shot_read_noise(linear: Tensor, shot: Tensor, read: Tensor, generator: Generator) -> Tensor:
    """``linear`` light plus Gaussian noise of variance ``shot * linear + read ** 2``; ``shot`` and ``read`` broadcast against
    it.
    """
    noise = torch.empty_like(linear).normal_(generator=device_generator(generator, linear.device))
    return linear + noise * (shot * linear.clamp_min(0) + read**2).sqrt()


def random_noise(linear: Tensor, settings: SensorSettings, generator: Generator) -> Tensor:
    """:func:`shot_read_noise` at levels drawn for each photograph of ``(B, 3, H, W)``."""
    shape = (linear.shape[0], 1, 1, 1)
    noisy = (uniform(generator, shape) < settings.noise_probability).float()
    shot = log_uniform(generator, shape, *settings.shot) * noisy
    read = log_uniform(generator, shape, *settings.read) * noisy
    return shot_read_noise(linear, shot.to(linear.device), read.to(linear.device), generator)


def take_picture(light: Tensor, settings: SensorSettings, generator: Generator) -> Tensor:
    """What a file holds of linear light ``(B, 3, H, W)``: noise is added, highlights clip, sRGB encodes, the file rounds."""
    exposed = random_noise(light.clamp_min(0), settings, generator)
    return save_to_file(linear_rgb_to_rgb(exposed.clamp(0, 1)), settings, generator)


def jpeg(image: Tensor, quality: int) -> Tensor:
    """A photograph ``(3, H, W)`` in [0, 1] through a JPEG file (4:2:0) of the given quality; exact, not differentiable."""
    file = io.BytesIO()
    PIL.Image.fromarray(_to_bytes(image).permute(1, 2, 0).cpu().numpy()).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    decoded = torch.from_numpy(np.array(PIL.Image.open(file)))
    return decoded.permute(2, 0, 1).to(image.device).float() / 255


def save_to_file(image: Tensor, settings: SensorSettings, generator: Generator) -> Tensor:
    """``(B, 3, H, W)`` as an 8-bit file would hold it: rounded, or through JPEG for the drawn share."""
    count = image.shape[0]
    compressed = uniform(generator, (count,)) < settings.jpeg_probability
    low, high = settings.jpeg_quality
    qualities = torch.randint(low, high + 1, (count,), generator=generator).tolist()
    rounded = _to_bytes(image).float() / 255
    for index in compressed.nonzero().flatten().tolist():
        rounded[index] = jpeg(image[index], qualities[index])
    return rounded


def _to_bytes(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)
