"""Mean absolute error, and correlation of all that an image holds: it must not only be near the truth but rise and fall with it.

Source: "Restoring Images in Adverse Weather Conditions via Histogram Transformer" (ECCV 2024), correlation loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.losses import decibels
from restorekit.methods.base import Batch, Objective
from restorekit.methods.histoformer import HistoformerObjectiveSettings


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


class L1AndCorrelation(Objective):
    """The objective of ``histoformer``: ``l1 * mean(|prediction - target|) + correlation * L_cor``, and beyond the paper
    ``- psnr * PSNR``, where asked for; see :class:`~restorekit.methods.histoformer.HistoformerObjectiveSettings`.
    """

    def __init__(self, settings: HistoformerObjectiveSettings) -> None:
        self.settings = settings

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        image, settings = network(batch.input).float(), self.settings
        losses = {
            "l1": settings.l1 * F.l1_loss(image, batch.target),
            "correlation": settings.correlation * correlation_loss(image, batch.target),
        }
        if settings.psnr:
            errors = (image - batch.target).square().flatten(1).mean(1)
            losses["psnr"] = settings.psnr * decibels(errors, settings.eps).mean()
        return losses
