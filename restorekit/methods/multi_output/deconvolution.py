"""A second stage for shaken photographs: what the heads leave of the blur is deconvolved, window by window. Ours.

A network that has learnt from examples answers with what is likely, which is still somewhat blurred. But a kernel k that takes
this answer x towards the truth leaves its mark on the photograph y: the difference ``y - k * x``, put back by Wiener's filter,

    ``x + trust F^-1[conj(K) F(y - k * x) / (|K|^2 + noise)]``,

is nearer to it. All of this is in linear light, where blur is a convolution. Where pixels are clipped, nothing is put back.
"""

from __future__ import annotations

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import convolve_circular, crop_to, reflect_to_multiple
from restorekit.layers.fourier import Spectra
from restorekit.layers.tracing import is_exported
from restorekit.layers.windows import STEP, Windows
from restorekit.losses import decibels
from restorekit.methods.multi_output.config import DeconvolutionConfig
from restorekit.methods.multi_output.kernels import Estimate, KernelEstimator

CLIPPED = 0.985
"""Of the range: brighter pixels may have been brighter still."""


class BlindDeconvolution(nn.Module):
    """Corrects heads by kernels estimated from the photograph and their mean.

    Args:
        config: side of the windows, and shape of the networks.
    """

    def __init__(self, config: DeconvolutionConfig) -> None:
        super().__init__()
        self.window = config.window
        self.kernels = KernelEstimator(config.support, config.width, config.edge_width, config.edge_versions, config.refinements)

    def forward(self, image: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
        """Correct the heads ``(B, n, 3, H, W)`` of images ``(B, 3, H, W)``, RGB in [0, 1], any H and W.

        Returns:
            the heads, all of them corrected alike, and for each of the m windows the kernels that were found on the way, the last
            of which counts, ``(B m, r, S, S)``.
        """
        height, width = image.shape[-2:]
        mean = heads.float().mean(1).clamp(0, 1)
        padded = [_at_least(reflect_to_multiple(each, STEP), self.least) for each in (image.float(), mean)]
        windows = windows_of(padded[0], self.window)
        blurred, guess = (windows.cut(each) for each in padded)
        estimate, restored = self.restore(blurred, guess)
        correction = crop_to(windows.merge(restored - guess), height, width)
        return heads + correction.unsqueeze(1), torch.cat(estimate.kernels, 1)

    @property
    def least(self) -> int:
        """The shortest side of a window: a kernel has room in it."""
        return -(-self.kernels.support // STEP) * STEP

    def restore(self, blurred: Tensor, guess: Tensor) -> tuple[Estimate, Tensor]:
        """What is found out about windows ``(N, 3, H, W)``, RGB in [0, 1], and the guess corrected by it, not below 0."""
        light, known = rgb_to_linear_rgb(blurred), rgb_to_linear_rgb(guess)
        estimate = self.kernels(blurred, guess, light, known)
        missing = put_back(light, known, valid_pixels(blurred), estimate.kernels[-1], estimate.noise)
        missing = missing * fade(missing, self.kernels.support // 2)  # what lies beyond the border is not known
        return estimate, linear_rgb_to_rgb((known + estimate.trust * missing).clamp(0.0, 1.2))


def windows_of(image: Tensor, side: int) -> Windows:
    """Where the windows of images ``(B, C, H, W)`` lie, H and W multiples of their step; neighbours share half of each."""
    return Windows(image.shape[-2], image.shape[-1], (side, side // 2))


def valid_pixels(image: Tensor) -> Tensor:
    """1 where no colour of ``(N, 3, H, W)`` is clipped, else 0, ``(N, 1, H, W)``."""
    return (image.amax(1, keepdim=True) < CLIPPED).to(image.dtype)


def put_back(light: Tensor, known: Tensor, valid: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """What is to be added to an answer, ``(N, 3, H, W)``, so that blurred again it is the photograph.

    Args:
        light: the photograph, linear light.
        known: the answer, likewise.
        valid: ``(N, 1, H, W)``, the share of what a pixel misses that counts.
        kernel: ``(N, 1, S, S)`` of sum 1.
        noise: ``(N, 1, 1, 1)``, added to the kernel's power.
    """
    margin = kernel.shape[-1] - 1
    surrounded = F.pad(known, (margin,) * 4, mode="replicate")
    spectra = Spectra(surrounded)
    k, m = spectra.forward_centred(kernel)
    real, imaginary = spectra.forward(surrounded)
    again = _inner(spectra.inverse(real * k - imaginary * m, real * m + imaginary * k), margin)
    real, imaginary = spectra.forward(F.pad((light - again) * valid, (margin,) * 4))
    power = k.square() + m.square() + noise
    return _inner(spectra.inverse((real * k + imaginary * m) / power, (imaginary * k - real * m) / power), margin)


def fade(like: Tensor, margin: int) -> Tensor:
    """``(H, W)``: 1, falling to 0 over ``margin`` pixels at each border."""
    height, width = (torch.arange(size, device=like.device) for size in like.shape[-2:])
    down, across = (torch.minimum(each + 1, each.flip(0) + 1).to(like.dtype) / (margin + 1) for each in (height, width))
    return torch.minimum(down[:, None], across).clamp_max(1.0)


def unexplained(kernel: Tensor, target: Tensor, image: Tensor) -> Tensor:
    """How much of images ``(N, 3, H, W)`` the truth, blurred by kernels ``(N, S, S)``, does not explain, in decibels ``(N,)``.

    Of the differences from pixel to pixel, in linear light, away from the border and from clipped pixels.
    """
    kernel, margin = kernel.unsqueeze(1), kernel.shape[-1] // 2
    light, known = rgb_to_linear_rgb(image), rgb_to_linear_rgb(target)
    error = _inner((convolve_circular(known, kernel) - light) * valid_pixels(image), margin)
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    energy = sum(each.square().mean((1, 2, 3)) for each in (across, down)) + error.square().mean((1, 2, 3)) / 4
    return decibels(energy, 3e-5)


def _inner(maps: Tensor, margin: int) -> Tensor:
    return maps[..., margin:-margin, margin:-margin]


def _at_least(x: Tensor, side: int) -> Tensor:
    """``(B, C, H, W)`` with its edge repeated on the right and at the bottom until H and W are at least ``side``."""
    if is_exported():  # graphs are made for tiles, which are larger
        return x
    height, width = x.shape[-2:]
    return F.pad(x, (0, max(0, side - width), 0, max(0, side - height)), mode="replicate")
