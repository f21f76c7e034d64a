"""What the estimates look at: copies and parts of a photograph that take no longer for a large one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from restorekit.images import Image, to_float
from restorekit.images.parts import starts

Array = NDArray[np.float32]

AREA = 1_000_000
"""Pixels of the reduced copy, about: the size of the photographs that the thresholds were found with."""
WINDOW = 384
"""Side in pixels of the parts that are looked at as they are."""
WINDOWS = 3
"""How many of those, at most, along each side."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def reduced(image: Image) -> Array:
    """A copy ``(h, w, C)`` in [0, 1], every n x n pixels averaged, n as small as brings it near :data:`AREA` pixels.

    The pixels of large sensors are softer than those of a small picture and no eye sees them singly, so that sharpness, streaks
    and haze are judged here.
    """
    step = max(1, round((image.width * image.height / AREA) ** 0.5))
    height, width = (max(1, side // step) for side in (image.height, image.width))
    pixels = image.pixels[: height * step, : width * step]
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA) if step > 1 else pixels
    return to_float(small.reshape(height, width, -1))


def windows(image: Image) -> Iterator[Array]:
    """Parts ``(h, w, C)`` in [0, 1] of the photograph as it is, evenly spread: noise is averaged away in a reduced copy."""
    for row, column in product(*(starts(side, WINDOW, WINDOWS) for side in (image.height, image.width))):
        yield to_float(image.pixels[row : row + WINDOW, column : column + WINDOW])


def luma(pixels: Array) -> Array:
    """Brightness ``(H, W)`` of grey or RGB ``(H, W, C)``."""
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels @ _LUMA


def tile_means(values: Array, side: int) -> Array:
    """Means ``(H // side, W // side)`` of the tiles that lie whole inside ``(H, W)``."""
    rows, columns = (length // side for length in values.shape)
    if not rows or not columns:
        return np.zeros((0, 0), np.float32)
    whole = np.ascontiguousarray(values[: rows * side, : columns * side])
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.float32).reshape(rows, columns)


def exposed(brightness: Array) -> NDArray[np.bool_]:
    """Which tiles are neither black nor white, as there whatever lies over the picture is cut off; all, if hardly any is left."""
    fit = (brightness > 0.08) & (brightness < 0.92)
    return fit if fit.sum() >= 8 else np.ones_like(fit)
