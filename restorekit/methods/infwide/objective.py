"""What INFWIDE is taught by: the sharp image at two scales, the blurred image without noise, and the answer blurred once more.

Source: "INFWIDE" (2023), section III, with the weights of the authors' configuration.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import DataError
from restorekit.layers import convolve_circular, unit_sum
from restorekit.losses import dssim, squared_variation
from restorekit.methods.base import Batch, Objective
from restorekit.methods.infwide import ImageTerms, InfwideObjectiveSettings, network_gain
from restorekit.methods.infwide.network import Infwide
from restorekit.metrics import crop_border


class ClosedLoop(Objective):
    """The objective of ``infwide``: ``M(half, T_half) + M(out, T) + 0.5 D(denoised, B) + 0.5 R(out, B)``.

    T is the sharp image, B the blurred image before any noise or clipping. M and D are weighted sums of :func:`image_loss`;
    R is the mean absolute difference between B and the answer blurred by its PSF (:func:`reblur_loss`).

    A batch has the PSFs ``(B, 1, kh, kw)`` in ``extras["psf"]``, and may have B in ``extras["blurred"]``; without it B is the
    target blurred by the PSF, which wraps around the border. ``extras["white"]``, where given, is the level at which inputs clip
    (see :meth:`restorekit.methods.infwide.Infwide.predict`).
    """

    def __init__(self, settings: InfwideObjectiveSettings) -> None:
        self.settings = settings

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The four terms, weighted. :class:`~restorekit.errors.DataError` if the batch has no PSFs."""
        if "psf" not in batch.extras:
            raise DataError(
                "infwide cannot learn from pairs without blur kernels", "Choose data or a degradation that gives PSFs"
            )
        settings, psf = self.settings, unit_sum(batch.extras["psf"])
        gain = network_gain(batch.extras)
        target = batch.target * gain
        blurred = batch.extras["blurred"] * gain if "blurred" in batch.extras else convolve_circular(target, psf)
        branches = network(batch.input * gain, psf, with_half=True)
        half, out, denoised = branches.half.float(), branches.out.float(), branches.denoised.float()
        return {
            "half": image_loss(half, at_size_of(target, half), settings.main),
            "full": image_loss(out, target, settings.main),
            "denoise": settings.denoise_weight * image_loss(denoised, blurred, settings.denoise),
            "reblur": settings.reblur_weight * reblur_loss(out, psf, blurred, settings.reblur_border),
        }

    def prepare(self, network: Infwide) -> None:
        """Called with a fresh network before its first step: one that answers corrections begins with its input."""
        if network.residual:
            network.start_from_input()


def image_loss(estimate: Tensor, truth: Tensor, weights: ImageTerms) -> Tensor:
    """The terms of :class:`~restorekit.methods.infwide.ImageTerms` of two ``(B, C, H, W)``, weighted and added up."""
    loss = weights.l1 * F.l1_loss(estimate, truth) + weights.mse * F.mse_loss(estimate, truth)
    if weights.ssim:
        loss = loss + weights.ssim * dssim(estimate, truth)
    if weights.tv:
        loss = loss + weights.tv * squared_variation(estimate)
    return loss


def reblur_loss(estimate: Tensor, psf: Tensor, blurred: Tensor, border: int = 0) -> Tensor:
    """Mean absolute difference of ``(B, C, H, W)``, blurred by ``(B, 1, kh, kw)`` around its border, from ``blurred``.

    ``border`` pixels on each side are left out; :class:`~restorekit.errors.UsageError` if nothing would be left. The authors'
    spatial convolution with 37 x 37 taps is a product of spectra here: the same sums.
    """
    return crop_border((convolve_circular(estimate, psf) - blurred).abs(), border).mean()


def at_size_of(target: Tensor, image: Tensor) -> Tensor:
    """The target reduced bilinearly to the size of a smaller image of it."""
    return F.interpolate(target, image.shape[-2:], mode="bilinear", align_corners=False)
