"""How noisy a photograph is."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from restorekit.diagnosis.views import Array, exposed, luma, tile_means

SHARE = 5.0
"""Which tiles are looked at, in percent: those that have the least."""
TILE = 8
"""Side of a tile, in pixels of the reduced window."""

_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
_COLOUR, _GREY = 4, 2
"""By how much windows are reduced."""
_QUIET_COLOUR, _QUIET_GREY = 0.64, 0.76
"""What is found in :data:`SHARE` of the tiles at most, where there is nothing but noise, relative to that."""
_TINY = 1e-8


def estimate_noise(windows: Iterable[Array], *, grey: bool) -> float:
    """Standard deviation of the noise, in [0, 1], found from parts ``(H, W, C)`` of a photograph; 0 if they are too small.

    A second difference in both directions (Immerkaer 1996) leaves noise and fine texture. Texture is bright and dark, hence alike
    in red, green and blue; noise is each colour's own. So what counts is the variance of green less what red and blue explain of
    it, times the share that this is of all its variance: tile by tile, in a copy reduced by 4, where the grain that demosaicing
    and JPEG have spread is still there. The tiles that have least of it, the quiet places of the scene, tell the noise. That is
    right for white noise, independent in each colour, and too little where a camera has made the colours alike. In grey
    photographs, which have nothing to compare, it is the plain variance, in a copy reduced by 2, and texture counts.
    """
    found = [_own_variance(window, grey) for window in windows]
    variances = np.concatenate([values for values in found if values.size] or [np.zeros(1, np.float32)])
    return float(np.sqrt(np.percentile(variances, SHARE)))


def is_grey(pixels: Array) -> bool:
    """Whether the colours of ``(H, W, C)`` are equal, but for what JPEG makes of them."""
    return pixels.shape[2] == 1 or float(np.percentile(np.ptp(pixels, axis=2), 99)) < 0.015


def _own_variance(window: Array, grey: bool) -> Array:
    """Variance of the noise in every tile that is neither black nor white, as before the reduction."""
    step = _GREY if grey else _COLOUR
    height, width = (side // step for side in window.shape[:2])
    if min(height, width) < TILE:
        return np.zeros(0, np.float32)
    small = cv2.resize(window[: height * step, : width * step], (width, height), interpolation=cv2.INTER_AREA)
    brightness = luma(np.asarray(small, np.float32).reshape(height, width, -1))
    fit = exposed(tile_means(brightness, TILE))
    if grey:
        fine = cv2.filter2D(brightness, -1, _MASK)
        return (step / _QUIET_GREY) ** 2 * tile_means(fine * fine, TILE)[fit]
    red, green, blue = cv2.split(cv2.filter2D(small, -1, _MASK))
    rr, gg, bb, rg, rb, gb = (
        tile_means(first * second, TILE).astype(np.float64)
        for first, second in ((red, red), (green, green), (blue, blue), (red, green), (red, blue), (green, blue))
    )
    rr, bb = rr + _TINY, bb + _TINY
    shared = (rg**2 * bb + gb**2 * rr - 2 * rg * gb * rb) / np.maximum(rr * bb - rb**2, _TINY**2)
    own: Array = (np.maximum(gg - shared, 0) ** 2 / (gg + _TINY)).astype(np.float32)
    return (step / _QUIET_COLOUR) ** 2 * own[fit]
