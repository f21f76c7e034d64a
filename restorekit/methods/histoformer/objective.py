"""Mean absolute error, and correlation of all that an image holds: it must not only be near the truth but rise and fall with it.

Source: "Restoring Images in Adverse Weather Conditions via Histogram Transformer" (ECCV 2024), correlation loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.base import Batch


def pearson(prediction: Tensor, target: Tensor, eps: float = 1e-6) -> Tensor:
    """Pearson's correlation coefficient of each image, over its channels and pixels together: ``(B, ...)`` to ``(B,)``.

    ``sum(p g) / (|p| |g| + eps)`` of the centred ``p`` and ``g``. A constant image correlates with nothing, 0, and gets no
    gradient from its length, whose slope the formula as it stands makes infinite.
    """
    p, g = (x.flatten(1) - x.flatten(1).mean(1, keepdim=True) for x in (prediction, target))
    return (p * g).sum(1) / (_length(p) * _length(g) + eps)


def _length(x: Tensor) -> Tensor:
    return x.square().sum(1).clamp_min(1e-24).sqrt()  # below, the root's slope would be infinite


def correlation_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """``(1 - r) / 2`` with :func:`pearson`'s r, from 0 to 1, the mean over the images for which it is finite; NaN if for none."""
    losses = (1 - pearson(prediction, target)) / 2
    return torch.where(losses.isfinite(), losses, torch.nan).nanmean()


class L1AndCorrelation:
    """The objective of ``histoformer``: ``l1 * mean(|prediction - target|) + correlation * L_cor``.

    Args:
        l1: weight of the mean absolute error; 1 in the paper's code.
        correlation: weight of :func:`correlation_loss`; 1 in the paper's code.
    """

    def __init__(self, l1: float = 1.0, correlation: float = 1.0) -> None:
        self.l1 = l1
        self.correlation = correlation

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        image = network(batch.input).float()
        return {
            "l1": self.l1 * F.l1_loss(image, batch.target),
            "correlation": self.correlation * correlation_loss(image, batch.target),
        }
