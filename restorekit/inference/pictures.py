"""What methods give besides the image, as pictures to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from restorekit import images

Map = NDArray[np.float32]


def picture_of_map(name: str, values: Map) -> images.Image:
    """A map ``(H, W)`` or ``(H, W, C)`` in 16 bits, clipped to [0, 1]; of ``kernels``, whose values have no meaning of their own,
    0 is mid-grey.
    """
    if name == "kernels":
        values = 0.5 + values / max(2 * float(abs(values).max()), 1e-12)
    return images.Image.from_array(images.quantise(values, "uint16"))


def picture_of_disparity(disparity: Map, colours: str | None = None) -> images.Image:
    """A disparity ``(H, W)``, stretched to the range it has: near is bright, or what a colour map has at its end.

    Args:
        disparity: in any unit.
        colours: a colour map of OpenCV's, in lower case, for 8-bit colours; None for 16-bit grey.
    """
    low, high = float(disparity.min()), float(disparity.max())
    stretched = (disparity - low) / max(high - low, 1e-12)
    if colours is None:
        return images.Image(images.quantise(stretched, np.uint16)[:, :, None])
    import cv2

    number = getattr(cv2, f"COLORMAP_{colours.upper()}")
    return images.Image(cv2.cvtColor(cv2.applyColorMap(images.quantise(stretched, np.uint8), number), cv2.COLOR_BGR2RGB))
