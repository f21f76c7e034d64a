"""How much light of the air lies over a photograph."""

from __future__ import annotations

import cv2
import numpy as np

from restorekit.diagnosis.views import Array, luma, tile_means

SIDE = 400
"""Longer side in pixels of the copy that is looked at."""
PATCH = 9
"""Side in pixels of a neighbourhood in it."""
DARKEST = 0.1
"""Share in percent of single pixels: where as many are dark, such as the letters of a page, no veil lies over them."""

TILE = 32
"""Side in pixels of a tile, of which a third of the photograph has some with structure in them."""
STRUCTURE = (0.004, 0.05)
"""Standard deviation of the fine structure: more than a plain sky has, and in the median not as much as near things have."""
ENOUGH = (0.3, 6)
"""What share of a third's tiles must have structure, and how many."""

_GRAIN, _FINE = 1.0, 3.0


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


def estimate_distant_veil(pixels: Array) -> float:
    """The brightness that even the darkest places in the haziest third of ``(H, W, C)`` have, in [0, 1]; 0 where no third tells.

    Haze lies before what is far, and that mostly lies in rows of its own, while something near and dark may be anywhere else.
    Looked at are all thirds of the height, half over one another, and in each the tiles with structure, for a plain sky is bright
    without haze: of every tile the darkest pixels, of all these the darkest twentieth.
    """
    darkest, brightness = np.ascontiguousarray(pixels.min(axis=2)), luma(pixels)
    smooth, coarse = (cv2.GaussianBlur(brightness, (0, 0), sigma) for sigma in (_GRAIN, _FINE))
    fine = smooth - coarse  # without the grain, which skies have too
    structure = np.sqrt(tile_means(fine * fine, TILE))
    rows, columns = structure.shape
    if not structure.size:
        return 0.0
    tiles = darkest[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE).swapaxes(1, 2).reshape(rows, columns, -1)
    dark = np.percentile(tiles, 2, axis=2)
    found = 0.0
    for sixth in range(5):
        top = sixth * rows // 6
        part = slice(top, max(top + 1, (sixth + 2) * rows // 6))
        there = structure[part] > STRUCTURE[0]
        if there.mean() >= ENOUGH[0] and there.sum() >= ENOUGH[1] and np.median(structure[part][there]) <= STRUCTURE[1]:
            found = max(found, float(np.percentile(dark[part][there], 5)))
    return found
