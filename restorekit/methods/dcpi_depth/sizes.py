"""The sizes networks run at: padded to what they can halve, or brought to what they were trained at."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported
from restorekit.methods.dcpi_depth.fitting import STEP, fitted_size

__all__ = ["STEP", "estimate", "fitted_size", "pad_by_edge"]


def pad_by_edge(image: Tensor, multiple: int, least: int) -> Tensor:
    """``(B, C, H, W)`` continued to the right and below by its edge, to multiples of ``multiple``, and at least to ``least``."""
    bottom, right = (max(least, -(-side // multiple) * multiple) - side for side in image.shape[-2:])
    return F.pad(image, (0, right, 0, bottom), mode="replicate") if bottom or right else image


def estimate(network: Any, image: Tensor) -> Tensor:
    """The disparity ``(B, 1, H, W)``, in (0, 1), of photographs ``(B, 3, H, W)``, RGB in [0, 1], any size.

    The network answers best at the size it was trained at. Photographs are brought to it first, and the disparity is brought back
    to theirs.

    Args:
        network: a :class:`~restorekit.methods.dcpi_depth.network.DcpiDepth`, or what else has its ``trained_size`` and
            ``keep_aspect`` and takes images as it does.
        image: the photographs.
    """
    height, width = image.shape[-2:]
    if is_exported():  # photographs are brought to size outside the graph
        whole: Tensor = network(image)
        return whole
    size = fitted_size((height, width), network.trained_size) if network.keep_aspect else network.trained_size
    seen = image if size == (height, width) else F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)
    disparity: Tensor = network(seen)
    return F.interpolate(disparity, (height, width), mode="bilinear", align_corners=False)
