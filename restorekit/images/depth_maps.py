"""Reading depth maps, whose values are lengths and no colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import ImageError
from restorekit.images.psf import first_array
from restorekit.images.reading import read

KITTI_SCALE = 256.0
"""Steps a metre in the 16-bit depth maps of KITTI; 0 stands for unknown."""

ARRAYS = (".npy", ".npz")
"""Extensions of files that hold a depth map as an array."""


def read_depth(path: Path, scale: float = KITTI_SCALE) -> NDArray[np.float32]:
    """A depth map ``(H, W)`` in metres, 0 where it is not known.

    Args:
        path: a 16-bit PNG or TIFF in steps of ``1 / scale`` metres, a TIFF of floats in metres, or a ``.npy`` file or the first
            array of an ``.npz``, in metres.
        scale: steps a metre of integers: 256 for KITTI, 1000 for millimetres.

    Raises:
        ImageError: for a file that cannot be read, has colours, or only 8 bits, too few for depths.
    """
    if path.suffix.lower() in ARRAYS:
        return _read_array(path)
    picture = read(path, any_floats=True)
    if not picture.is_grey:
        raise ImageError(f"{path} has colours: it is a picture of depths, not a depth map", "Give 16-bit grey or .npy")
    if picture.bit_depth == 8:
        raise ImageError(f"{path} has 8 bits, too few for depths", "Give 16-bit grey or .npy")
    values = picture.pixels[:, :, 0].astype(np.float32)
    return values / np.float32(scale) if picture.bit_depth == 16 else values


def _read_array(path: Path) -> NDArray[np.float32]:
    try:
        array = np.squeeze(np.asarray(first_array(path), np.float32))
    except Exception as error:  # NumPy and zipfile raise several kinds on damaged data
        raise ImageError(f"{path} cannot be read as an array: {error}", "Give a .npy file of numbers") from None
    if array.ndim != 2:
        raise ImageError(f"{path} has the shape {array.shape}, not (H, W)", "Give one depth map a file")
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)
