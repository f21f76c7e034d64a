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


def cautious(image: Any, mean: Any, variance: Any, doubt: float = DOUBT) -> Any:
    """``image + c (mean - image)``, ``c = m / (m + doubt v)``: what is known least is shrunk most, as James and Stein shrink.

    Each pixel is judged for itself.

    Args:
        image: the input, ``(B, 3, H, W)``; tensors or arrays.
        mean: the mean of the heads, ``(B, 3, H, W)``.
        variance: of the heads, unbiased, its mean over the colours, ``(B, 1, H, W)``.
        doubt: how much their disagreement counts; 0 gives the mean.

    Returns:
        ``(B, 3, H, W)``, not clipped.
    """
    correction = mean - image
    square = (correction**2).mean(1)[:, None]
    return image + square / (square + doubt * variance + LEAST) * correction


def cautious_in_regions(image: Any, mean: Any, evidence: Any, doubt: float = DOUBT) -> Any:
    """``image + c (mean - image)``, ``c = m^2 / (m^2 + (doubt v)^2)``, m and v being means over the surroundings of each pixel.

    Whether a photograph is to be changed at all is told by many pixels better than by one: their ratio is known so well that a
    steeper curve can decide by it.

    Args:
        image: the input, ``(B, 3, H, W)``; tensors or arrays.
        mean: the mean of the heads, ``(B, 3, H, W)``.
        evidence: m and v, ``(B, 2, H, W)``.
        doubt: how much the disagreement of the heads counts; 0 gives the mean.

    Returns:
        ``(B, 3, H, W)``, not clipped.
    """
    square, variance = evidence[:, :1], evidence[:, 1:]
    return image + square**2 / (square**2 + (doubt * variance) ** 2 + LEAST**2) * (mean - image)
