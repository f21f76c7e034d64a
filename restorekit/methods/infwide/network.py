"""INFWIDE: one blurred, noisy, saturated photograph and its PSF in, the sharp photograph out.

Paper: "INFWIDE: Image and Feature Space Wiener Deconvolution Network for Non-blind Image Deblurring in Low-Light Conditions"
(2023, https://arxiv.org/abs/2207.08201). State dicts have the authors' keys and shapes.

What differs from the published code, at equal numbers: the Wiener deconvolution (see :mod:`restorekit.methods.infwide.wiener`);
the half-size image, which only the loss needs, is made only when asked for; residual blocks add in place and skip a
multiplication by one. Under autocast the deconvolutions and noise estimates stay in float32, as a spectrum spans more
than half precision can hold.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from restorekit.errors import ImageError, UsageError
from restorekit.methods.infwide import InfwideConfig
from restorekit.methods.infwide.blocks import entry
from restorekit.methods.infwide.denoiser import ResUNet
from restorekit.methods.infwide.fusion import Fusion, resize
from restorekit.methods.infwide.refinement import FeatureRefinement
from restorekit.methods.infwide.wiener import Wiener, noise_level


class Branches(NamedTuple):
    """What the network says: every map ``(B, C, H, W)`` in the image's range, not clipped.

    Attributes:
        out: the answer, merged from both branches.
        features: the image of the feature branch, free of ringing.
        denoised: the image branch before its deconvolution: the input without noise, still blurred.
        deconvolved: the image branch after it, with more detail.
        half: the answer at half size (rounded half to even); None unless asked for.
    """

    out: Tensor
    features: Tensor
    denoised: Tensor
    deconvolved: Tensor
    half: Tensor | None = None


class FeatureExtractor(nn.Module):
    """``feat`` signed feature maps of an image, each to be deconvolved like an image."""

    def __init__(self, n_colors: int, feat: int) -> None:
        super().__init__()
        self.FeatureBlock = entry(n_colors, feat)

    def forward(self, image: Tensor) -> Tensor:
        return self.FeatureBlock(image)


class Infwide(nn.Module):
    """Wiener deconvolution in image space and in feature space, merged.

    Args:
        config: its hyper-parameters.

    Attributes:
        n_colors: channels of the image. A network of one channel takes the colours of an image one by one.
        denoise_input: whether the denoiser is used; it is part of the state dict in any case.
        square_count: see :class:`~restorekit.methods.infwide.wiener.Wiener`.
        residual: whether the denoiser's answer is added to the noisy image, and the fusion's to the denoised one.
    """

    def __init__(self, config: InfwideConfig) -> None:
        super().__init__()
        self.n_colors = config.n_colors
        self.denoise_input = config.input_denoise == "ResUnet"
        self.square_count = config.square_count
        self.residual = config.residual
        self.FeatModule1 = FeatureExtractor(config.n_colors, config.feat)
        self.FSRefineModule = FeatureRefinement(config.feat, config.width, config.n_colors, config.n_resblock)
        self.DenoiseUnet = ResUNet(config.n_colors, config.denoise)
        self.MergeRefineModule = Fusion(config.width, config.n_colors, config.n_resblock, config.n_conv)

    def forward(self, image: Tensor, psf: Tensor, with_half: bool = False) -> Branches:
        """Deblur ``(B, C, H, W)``, H and W at least 2, by PSFs ``(B, 1, kh, kw)``, or one ``(1, 1, kh, kw)`` for all.

        PSFs may have any positive sum. Images are expected to clip at :data:`~restorekit.methods.infwide.HEADROOM`'s inverse. The
        border is handled by the PSF's height: give wide ones as squares (:func:`~restorekit.layers.pad_to_square`).

        Raises:
            ImageError: if an image is too small, or too narrow for its PSF.
            UsageError: if the PSFs are not one or one an image.
        """
        _check(image, psf)
        if self.n_colors == 1 < image.shape[1]:
            return self._one_by_one(image, psf, with_half)
        height, width = image.shape[-2:]
        deconvolve = Wiener(psf, height, width, self.square_count)
        denoised = self.denoise(image)
        features = self.FSRefineModule(deconvolve(self.FeatModule1(image)))
        deconvolved = deconvolve(denoised)
        out, half = self.MergeRefineModule(deconvolved, features, with_half)
        if self.residual:
            out = denoised + out
            half = None if half is None else resize(denoised, half.shape[-2:]) + half
        return Branches(out, features, denoised, deconvolved, half)

    def denoise(self, image: Tensor) -> Tensor:
        """The image ``(B, C, H, W)`` without noise, still blurred; the image itself in a network without denoiser."""
        if not self.denoise_input:
            return image
        answer: Tensor = self.DenoiseUnet(image, noise_level(image))
        return image + answer if self.residual else answer

    def start_from_input(self) -> None:
        """Let a fresh network whose answers are corrections correct nothing yet."""
        for values in (*self.DenoiseUnet.m_tail.parameters(), *self.MergeRefineModule.OutBlock_b.outLayers[-1].parameters()):
            nn.init.zeros_(values)

    def _one_by_one(self, image: Tensor, psf: Tensor, with_half: bool) -> Branches:
        """Each colour as an image of its own, blurred by the same PSF."""
        count, colours = image.shape[:2]

        def regrouped(x: Tensor) -> Tensor:
            return x.view(count, colours, *x.shape[-2:])

        each = psf.expand(count, -1, -1, -1).repeat_interleave(colours, 0)
        out, features, denoised, deconvolved, half = self(image.reshape(-1, 1, *image.shape[-2:]), each, with_half)
        return Branches(
            regrouped(out),
            regrouped(features),
            regrouped(denoised),
            regrouped(deconvolved),
            None if half is None else regrouped(half),
        )


def _check(image: Tensor, psf: Tensor) -> None:
    count, _, height, width = image.shape
    if min(height, width) < 2:
        raise ImageError(f"an image of {width} x {height} pixels is too small for INFWIDE", "Use at least 2 x 2 pixels")
    if psf.ndim != 4 or psf.shape[1] != 1 or psf.shape[0] not in (1, count):
        raise UsageError(
            f"PSFs of shape {tuple(psf.shape)} do not fit {count} images", f"Give them as (1, 1, h, w) or ({count}, 1, h, w)"
        )
    if psf.shape[3] > width + 2 * psf.shape[2]:
        raise ImageError(
            f"a PSF of {psf.shape[3]} x {psf.shape[2]} pixels is too wide for an image of {width} pixels",
            "Pad it with zeros to a square",
        )
