"""An answer that does less where it is less sure. No PyTorch is needed here: ONNX Runtime's answers are made so, too.

m is the mean square over the colours of the correction ``mean - image``, and v the variance of the heads. Heads that agree are
believed; where they contradict each other by more than they change the image, it is left as it is.
"""

from __future__ import annotations

from typing import Any

DOUBT = 0.35
"""How much the disagreement of the heads counts. Of the mean of n heads that err independently it would be 1 / n, of heads that
err alike 1; measured on photographs (docs/methods/multi-output.md). Heads that were taught the cautious answer bear more.
"""

LEAST = 1e-8
"""Corrections far below a level of 8 bits (squared) are left out: there is nothing to gain."""

CELL = 8
"""Side, in pixels, of what is averaged first where a mean over surroundings is asked for."""


def cautious(image: Any, mean: Any, variance: Any, doubt: float = DOUBT, *, square: Any | None = None, power: float = 1.0) -> Any:
    """``image + c (mean - image)``, ``c = m^p / (m^p + (doubt v)^p)``: what is known least is shrunk most, as James and Stein do.

    Each pixel is judged for itself, or by means over its surroundings: whether a photograph is to be changed at all many pixels
    tell better than one, so well that a steeper curve, of a higher power, can decide by it.

    Args:
        image: the input, ``(B, 3, H, W)``; tensors or arrays.
        mean: the mean of the heads, ``(B, 3, H, W)``.
        variance: v, of the heads, unbiased, its mean over the colours, ``(B, 1, H, W)``.
        doubt: how much their disagreement counts; 0 gives the mean.
        square: m, ``(B, 1, H, W)``, where it is not each pixel's own.
        power: p.

    Returns:
        ``(B, 3, H, W)``, not clipped.
    """
    correction = mean - image
    if square is None:
        square = (correction**2).mean(1)[:, None]
    told = square**power
    return image + told / (told + (doubt * variance) ** power + LEAST**power) * correction
