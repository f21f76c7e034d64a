"""How much light of the air lies over a photograph."""

from __future__ import annotations

import cv2
import numpy as np

from restorekit.diagnosis.views import Array

SIDE = 400
"""Longer side in pixels of the copy that is looked at."""
PATCH = 9
"""Side in pixels of a neighbourhood in it."""
DARKEST = 0.1
"""Share in percent of single pixels: where as many are dark, such as the letters of a page, no veil lies over them."""


def estimate_veil(pixels: Array) -> float:
    """The brightness that even the darkest places of ``(H, W, C)`` have, in [0, 1].

    The first percentile of the dark channel, "Single image haze removal using dark channel prior" (He et al., CVPR 2009): of
    every neighbourhood the darkest colour of the darkest pixel. A photograph without haze has something near black somewhere; if
    that is as fine as a line of ink, the reduced copy has lost it, and the pixels as they are tell.
    """
    height, width = pixels.shape[:2]
    step = max(1, round(max(height, width) / SIDE))
    size = (max(1, width // step), max(1, height // step))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if step > 1 else pixels
    darkest = small if small.ndim == 2 else small.min(axis=2)
    channel = cv2.erode(np.ascontiguousarray(darkest), np.ones((PATCH, PATCH), np.uint8))
    return float(min(np.percentile(channel, 1), np.percentile(pixels.min(axis=2), DARKEST)))
