"""Whole photographs, as files hold them, degraded: what ``restorekit degrade`` does."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from restorekit.degradations.base import Degradation, degrade_image, seeded_generator
from restorekit.images import Image, quantise, to_float

PHOTOGRAPH = 3
"""The stream of random numbers for photographs, apart from those of training and validation."""


@dataclass(frozen=True)
class PhotographPair:
    """What is left of a photograph, and what it was.

    Attributes:
        degraded: with the size, bit depth, alpha and metadata of the photograph.
        clean: likewise.
        psf: the blur kernel, grey, 16 bits, white where it is greatest; None where there is no one kernel, or none is known.
    """

    degraded: Image
    clean: Image
    psf: Image | None = None


def degrade_photograph(degradation: Degradation, image: Image, seed: int) -> Image:
    """The degraded side of :func:`make_pair`."""
    return make_pair(degradation, image, seed).degraded


def make_pair(degradation: Degradation, image: Image, seed: int) -> PhotographPair:
    """``image`` degraded, and its clean partner.

    What is drawn depends on the seed and the picture's own pixels, so that a photograph gets the same degradation under any name
    and in any company. Grey is degraded as three equal colours, of which the middle one is kept.
    """
    values = to_float(image.pixels)
    clean = torch.from_numpy(values).permute(2, 0, 1).expand(3, -1, -1)[None]
    generator = seeded_generator(seed, PHOTOGRAPH, zlib.crc32(image.pixels.tobytes()))
    pair = degrade_image(degradation, clean, generator)
    psf = pair.extras.get("psf")
    return PhotographPair(_like(image, pair.input), _like(image, pair.target), None if psf is None else _picture(psf))


def _like(image: Image, values: Tensor) -> Image:
    pixels = values[0].permute(1, 2, 0).numpy()
    return image.replace_pixels(quantise(pixels[..., 1:2] if image.is_grey else pixels, image.pixels.dtype))


def _picture(psf: Tensor) -> Image:
    kernel = psf[0, 0].numpy()
    return Image.from_array(quantise(kernel[..., None] / kernel.max(), np.uint16))
