"""The Charbonnier penalty: an absolute value without its corner."""

from __future__ import annotations

from torch import Tensor


def charbonnier(difference: Tensor, eps: float = 1e-3) -> Tensor:
    """``sqrt(difference^2 + eps^2)``, element by element, of any shape: ``|difference|`` far from zero, smooth at zero."""
    return (difference.square() + eps**2).sqrt()
