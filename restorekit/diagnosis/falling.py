"""Whether something falls through the picture: the traces of rain and snow lie everywhere, also where the scene is quiet."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restorekit.diagnosis.views import Array, exposed, tile_means

TILE = 32
"""Side of a tile in pixels."""
QUIET = 15.0
CALM = 40.0
"""Shares of the tiles, in percent, those with the least fine structure."""

_FINE = 3.0
_SMOOTH = 0.7


@dataclass(frozen=True)
class Falling:
    """What the fine structure of a photograph has in common everywhere.

    Attributes:
        contrast: its standard deviation in [0, 1], in quiet tiles.
        upright: how much of it runs from above to below, from -1 (across) to 1: the mean of quiet, calm or all tiles, the least.
        bright: its skewness, above 0 where single bright things lie over it: the median of quiet, calm or all tiles, the least.
    """

    contrast: float = 0.0
    upright: float = 0.0
    bright: float = 0.0


def estimate_falling(brightness: Array) -> Falling:
    """Of ``(H, W)`` in [0, 1]; all 0 if it is too small."""
    fine = brightness - cv2.GaussianBlur(brightness, (0, 0), _FINE)
    variance, skew = tile_means(fine * fine, TILE), tile_means(fine**3, TILE)
    if variance.size < 6:
        return Falling()
    smooth = cv2.GaussianBlur(fine, (0, 0), _SMOOTH)
    across, down = (np.asarray(cv2.Scharr(smooth, cv2.CV_32F, *axes, scale=1 / 32), np.float32) for axes in ((1, 0), (0, 1)))
    xx, yy = tile_means(across * across, TILE), tile_means(down * down, TILE)
    fit = exposed(tile_means(brightness, TILE))
    variance, skew, xx, yy = variance[fit], skew[fit], xx[fit], yy[fit]
    upright = (xx - yy) / (xx + yy + 3e-7)
    bright = skew / np.maximum(variance, 6e-7) ** 1.5
    parts = [variance <= np.percentile(variance, share) for share in (QUIET, CALM, 100.0)]
    return Falling(
        contrast=float(np.sqrt(np.median(variance[parts[0]]))),
        upright=min(float(upright[part].mean()) for part in parts),
        bright=min(float(np.median(bright[part])) for part in parts),
    )
