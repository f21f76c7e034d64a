"""An answer that does less where it is less sure. No PyTorch is needed here: ONNX Runtime's answers are made so, too."""

from __future__ import annotations

from typing import Any

DOUBT = 0.35
"""How much the disagreement of the heads counts. Of the mean of n heads that err independently it would be 1 / n, of heads that
err alike 1; measured on photographs (docs/methods/multi-output.md). Heads that were taught the cautious answer bear more.
"""

LEAST = 1e-8
"""Corrections far below a level of 8 bits (squared) are left out: there is nothing to gain."""


def cautious(image: Any, mean: Any, variance: Any, doubt: float = DOUBT) -> Any:
    """``image + c (mean - image)``, ``c = m / (m + doubt v)``: what is known least is shrunk most, as James and Stein shrink.

    m is the mean square over the colours of the correction ``mean - image``, pixel by pixel, and v the variance of the heads.
    Heads that agree are believed; where they contradict each other by more than they change the image, it is left as it is.

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
