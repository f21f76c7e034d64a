"""What every metric asks of its two images."""

from __future__ import annotations

from torch import Tensor

from restorekit.errors import UsageError


def check_pair(a: Tensor, b: Tensor, minimum: int = 1) -> None:
    """Raise ``UsageError`` unless both are floats ``(B, C, H, W)`` of one shape, with H and W at least ``minimum``."""
    if not (a.is_floating_point() and b.is_floating_point()):
        kinds = f"{a.dtype} and {b.dtype}".replace("torch.", "")
        raise UsageError(f"images of {kinds} cannot be compared", "Give floats: of 8-bit samples, divide by 255")
    if a.ndim != 4 or a.shape != b.shape:
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise UsageError(f"images of shapes {shapes} cannot be compared", "Give two batches (B, C, H, W) of one shape")
    height, width = a.shape[-2:]
    if min(height, width) < minimum:
        raise UsageError(f"{width} x {height} pixels are too few for this metric", f"Use at least {minimum} x {minimum}")
