"""How blurred a photograph is where it is sharpest: what is out of focus on purpose does not count."""

from __future__ import annotations

import cv2
import numpy as np

from restorekit.diagnosis.views import Array

SHARE = 10.0
"""Which places are looked at, in percent: the sharpest."""
PLACE = 64
"""Side of a place in pixels."""
ENOUGH = 15
"""Edge pixels that a place must have to count."""

_FIRST, _SECOND, _COARSE = 0.5, 1.25**0.5, 2.0
"""Standard deviations in pixels of the smoothing: against single noisy pixels, blurred once more by one pixel, to find edges."""
_FAINT = 0.012
_REACH = np.ones((5, 5), np.uint8)
_NEXT = np.ones((3, 3), np.uint8)


def estimate_blur(brightness: Array) -> float | None:
    """Standard deviation in pixels of the Gaussian that edges in the sharpest places of ``(H, W)``, in [0, 1], look blurred with.

    After "Defocus map estimation from a single image" (Zhuo and Sim, Pattern Recognition 2011): an edge blurred once more, by a
    known Gaussian, loses the less of its gradient the more blurred it was. Each place has the median of its edges. None if there
    are no edges, as in a blank page or a plain sky, or if it is too small.
    """
    if min(brightness.shape) < 16:
        return None
    coarse = _gradient(brightness, _COARSE)
    edges = (coarse >= 0.98 * cv2.dilate(coarse, _NEXT)) & (coarse > max(_FAINT, float(np.percentile(coarse[::3, ::3], 90))))
    before, after = (cv2.dilate(_gradient(brightness, sigma), _REACH)[edges] for sigma in (_FIRST, _SECOND))
    ratio = before / np.maximum(after, 1e-6)
    variance = 1 / np.maximum(ratio**2 - 1, 1e-3) - _FIRST**2
    rows, columns = np.nonzero(edges)
    place = rows // PLACE * brightness.shape[1] + columns // PLACE
    places, counts = np.unique(place, return_counts=True)
    medians = [np.median(variance[place == one]) for one in places[counts >= ENOUGH]]
    return float(np.sqrt(max(0.0, float(np.percentile(medians, SHARE))))) if medians else None


def _gradient(brightness: Array, sigma: float) -> Array:
    smooth = cv2.GaussianBlur(brightness, (0, 0), sigma)
    across, down = (cv2.Scharr(smooth, cv2.CV_32F, *axes, scale=1 / 32) for axes in ((1, 0), (0, 1)))
    return np.asarray(cv2.magnitude(across, down), np.float32)
