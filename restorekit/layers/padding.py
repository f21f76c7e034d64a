"""Padding to the sizes a network needs, and back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported


def pad_to_multiple(x: Tensor, multiple: int, mode: str = "constant") -> Tensor:
    """``x`` of shape ``(B, C, H, W)`` padded on the right and at the bottom until H and W are multiples of ``multiple``."""
    height, width = x.shape[-2:]
    bottom, right = -height % multiple, -width % multiple
    return F.pad(x, (0, right, 0, bottom), mode=mode) if bottom or right or is_exported() else x


def reflect_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """``(B, C, H, W)`` padded on the right and at the bottom by reflection, or by its edge where it is too small for that."""
    bottom, right = (-size % multiple for size in x.shape[-2:])
    if is_exported():  # then no side is too small: OnnxBackend fills small pictures up
        return F.pad(x, (0, right, 0, bottom), mode="reflect")
    for size, pad, where in ((x.shape[-2], bottom, (0, 0, 0, bottom)), (x.shape[-1], right, (0, right, 0, 0))):
        if pad:
            x = F.pad(x, where, mode="reflect" if pad < size else "replicate")
    return x


def crop_to(x: Tensor, height: int, width: int) -> Tensor:
    """The top left ``height`` x ``width`` of the last two dimensions: undoes the padding to a multiple."""
    return x[..., :height, :width]
