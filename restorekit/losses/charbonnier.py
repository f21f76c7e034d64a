"""The Charbonnier penalty: an absolute value without its corner."""

from __future__ import annotations

from torch import Tensor


def charbonnier(difference: Tensor) -> Tensor:
    """``sqrt(difference^2 + 0.001^2)``, element by element, of any shape: ``|difference|`` far from zero, smooth at zero."""
    return (difference.square() + 1e-6).sqrt()
