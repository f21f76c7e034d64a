"""Mean absolute errors of pixels and of frequencies, of every stage before and after its kernels, at both scales.

Source: "DeepRFTv2: Kernel-level Learning for Image Deblurring" (2025).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers.pyramid import half_size
from restorekit.methods.base import Batch, Objective
from restorekit.methods.deeprft import DeepRftObjectiveSettings


def pixel_loss(images: Sequence[Tensor], target: Tensor) -> Tensor:
    """The mean over the images of ``mean |image - target|``; all are ``(B, 3, H, W)``."""
    return torch.stack([F.l1_loss(image, target) for image in images]).mean()


def spectrum_loss(images: Sequence[Tensor], target: Tensor) -> Tensor:
    """The mean over the images of ``mean |rfft2(image) - rfft2(target)|``, unnormalised, over the half spectrum.

    The transform is linear: each difference is transformed, in place of image and target.
    """
    return torch.stack([torch.fft.rfft2(image - target).abs().mean() for image in images]).mean()


class TwoScales(Objective):
    """The objective of ``deeprft``: ``l1 * pixel_loss + fft * spectrum_loss`` at full size, plus ``half`` times the same at half
    size, where the target is smoothed and halved as the network's input is.

    Args:
        settings: the weights.
    """

    def __init__(self, settings: DeepRftObjectiveSettings | None = None) -> None:
        self.settings = settings or DeepRftObjectiveSettings()

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        answers = network(batch.input, everything=True)
        return self.terms([x.float() for x in answers.images], [x.float() for x in answers.halves], batch.target)

    def terms(self, images: Sequence[Tensor], halves: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        """The losses of images ``(B, 3, H, W)`` and ``(B, 3, H // 2, W // 2)`` against a target ``(B, 3, H, W)``."""
        weights, small = self.settings, half_size(target)
        return {
            "l1": weights.l1 * pixel_loss(images, target),
            "fft": weights.fft * spectrum_loss(images, target),
            "half_l1": weights.half * weights.l1 * pixel_loss(halves, small),
            "half_fft": weights.half * weights.fft * spectrum_loss(halves, small),
        }
