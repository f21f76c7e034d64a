"""Whole photographs, as files hold them, degraded: what ``restorekit degrade`` does."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

from restorekit.degradations.base import Degradation, degrade_image, seeded_generator
from restorekit.images import Image, quantise, to_float

PHOTOGRAPH = 3
"""The stream of random numbers for photographs, apart from those of training and validation."""


def degrade_photograph(degradation: Degradation, image: Image, seed: int) -> Image:
    """The degraded side of :func:`make_pair`."""
    return make_pair(degradation, image, seed)[0]


def make_pair(degradation: Degradation, image: Image, seed: int) -> tuple[Image, Image]:
    """``image`` degraded, and its clean partner, both with the size, bit depth, alpha and metadata of ``image``.

    What is drawn depends on the seed and the picture's own pixels, so that a photograph gets the same degradation under any name
    and in any company. Grey is degraded as three equal colours, of which the middle one is kept.
    """
    values = to_float(image.pixels)
    clean = torch.from_numpy(values).permute(2, 0, 1).expand(3, -1, -1)[None]
    generator = seeded_generator(seed, PHOTOGRAPH, zlib.crc32(image.pixels.tobytes()))
    pair = degrade_image(degradation, clean, generator)
    return _like(image, pair.input), _like(image, pair.target)


def _like(image: Image, values: Tensor) -> Image:
    pixels = values[0].permute(1, 2, 0).numpy()
    return image.replace_pixels(quantise(pixels[..., 1:2] if image.is_grey else pixels, image.pixels.dtype))
