"""Between the samples of a file and the floats of a network: uint8, uint16 and float32, all standing for [0, 1].

Everything works on blocks of rows, so that a large photograph never has a second copy in floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from restorekit.errors import ImageError

Array = NDArray[Any]

DTYPES = ("uint8", "uint16", "float32")
"""The sample types an image may have."""

_BLOCK = 2**20
_SAMPLE = 2**16


def to_float(pixels: Array) -> NDArray[np.float32]:
    """Samples of any shape as float32 in [0, 1]: integers divided by their greatest value, floats clipped, not a number as 0.

    Raises:
        ImageError: for samples that are neither uint8, uint16 nor floating point.
    """
    if pixels.dtype in (np.uint8, np.uint16):
        result: NDArray[np.float32] = np.divide(pixels, np.float32(np.iinfo(pixels.dtype).max), dtype=np.float32)
        return result
    if np.issubdtype(pixels.dtype, np.floating):
        return _clipped(pixels).astype(np.float32, copy=False)
    raise unknown_dtype(pixels.dtype)


def check_white(pixels: Array, name: str) -> None:
    """Refuse floats that are not meant to have white at 1: restoring would clip most of the picture.

    Raises:
        ImageError: if more than half of a sample of them are above it.
    """
    if not np.issubdtype(pixels.dtype, np.floating):
        return
    sample = pixels.reshape(-1)[:: max(1, pixels.size // _SAMPLE)]
    sample = sample[np.isfinite(sample)]
    if sample.size and np.median(sample) > 1:
        raise ImageError(
            f"most samples of {name} are above 1.0, which is white where samples are floats; the greatest are {sample.max():.6g}",
            "Divide them by what stands for white, such as 255 or 65535",
        )


def quantise(values: Array, dtype: DTypeLike) -> Array:
    """Floats of any shape, meant to lie in [0, 1], as samples of ``dtype``: clipped, scaled and rounded half to even.

    ``quantise(to_float(x), x.dtype)`` is ``x``, bit for bit. Not a number becomes 0.

    Args:
        values: floating point, any shape.
        dtype: uint8, uint16 or float32; float32 is only clipped.

    Raises:
        ImageError: for another ``dtype``, or values that are not floats.
    """
    kind = np.dtype(dtype)
    if not np.issubdtype(values.dtype, np.floating):
        raise unknown_dtype(values.dtype)
    if kind == np.float32:
        return _clipped(values).astype(np.float32, copy=False)
    if kind not in (np.uint8, np.uint16):
        raise unknown_dtype(kind)
    result = np.empty(values.shape, kind)
    top = np.iinfo(kind).max
    for rows in _blocks(values):
        result[rows] = np.rint(_clipped(values[rows]).astype(np.float32, copy=False) * np.float32(top))
    return result


def change_depth(pixels: Array, dtype: DTypeLike) -> Array:
    """The same picture with samples of another type, rounded to the nearest; the very same array if it has that type already."""
    kind = np.dtype(dtype)
    if pixels.dtype == kind:
        return pixels
    if pixels.dtype == np.uint8 and kind == np.uint16:
        wide: Array = pixels.astype(np.uint16)
        wide *= np.uint16(257)
        return wide
    if pixels.dtype == np.uint16 and kind == np.uint8:
        result = np.empty(pixels.shape, np.uint8)
        for rows in _blocks(pixels):
            result[rows] = (pixels[rows].astype(np.uint32) + 128) // 257  # 257 is odd, so there are no ties
        return result
    if kind == np.float32:
        return to_float(pixels)
    return quantise(pixels, kind)


def unknown_dtype(dtype: DTypeLike) -> ImageError:
    """The error for samples no image has here."""
    return ImageError(f"samples of type {np.dtype(dtype).name} are not supported", f"Convert them to {', '.join(DTYPES)}")


def _clipped(values: Array) -> Array:
    low: Array = np.fmax(values, values.dtype.type(0))  # fmax and fmin prefer the number to not-a-number
    np.fmin(low, values.dtype.type(1), out=low)
    return low


def _blocks(array: Array) -> Iterator[slice]:
    if not array.ndim:
        raise ImageError("a picture has at least one row")
    rows = max(1, _BLOCK * len(array) // max(1, array.size))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)
