"""Whole photographs, as files hold them, degraded: what ``restorekit degrade`` does."""

from __future__ import annotations

import zlib

import torch

from restorekit.degradations.base import Degradation, degrade_image, seeded_generator
from restorekit.images import Image, quantise, to_float

PHOTOGRAPH = 3
"""The stream of random numbers for photographs, apart from those of training and validation."""


def degrade_photograph(degradation: Degradation, image: Image, seed: int) -> Image:
    """``image`` degraded, with its size, bit depth, alpha and metadata.

    What is drawn depends on the seed and the picture's own pixels, so that a photograph gets the same degradation under any name
    and in any company. Grey is degraded as three equal colours, of which the middle one is kept.
    """
    values = to_float(image.pixels)
    clean = torch.from_numpy(values).permute(2, 0, 1).expand(3, -1, -1)[None]
    generator = seeded_generator(seed, PHOTOGRAPH, zlib.crc32(image.pixels.tobytes()))
    degraded = degrade_image(degradation, clean, generator).input[0].permute(1, 2, 0).numpy()
    if image.is_grey:
        degraded = degraded[..., 1:2]
    return image.replace_pixels(quantise(degraded, image.pixels.dtype))
