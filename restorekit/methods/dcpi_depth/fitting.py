"""The size photographs are brought to and what disparities mean, by arithmetic alone: both are needed where PyTorch is not."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STEP = 32
"""Sides of training images are multiples of this, and so are those that photographs are brought to."""


def fitted_size(image: tuple[int, int], trained: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns with about the area of ``trained`` and about the aspect of ``image``, in steps of :data:`STEP`."""
    scale = sqrt(trained[0] * trained[1] / (image[0] * image[1]))
    rows, columns = (max(1, round(side * scale / STEP)) * STEP for side in image)
    return rows, columns


def depth_of(disparity: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Depth in ``[min_depth, max_depth]`` of a disparity in [0, 1], any shape: ``1 / (1/max + (1/min - 1/max) disparity)``."""
    return 1 / (1 / max_depth + (1 / min_depth - 1 / max_depth) * disparity)
