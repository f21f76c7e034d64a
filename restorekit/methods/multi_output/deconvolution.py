"""A second stage for shaken photographs: what the heads leave of the blur is deconvolved, window by window. Ours.

A network that has learnt from examples answers with what is likely, which is still somewhat blurred. But a kernel k that takes
this answer x towards the truth leaves its mark on the photograph y: the difference ``y - k * x``, put back by Wiener's filter,

    ``F^-1[conj(K) F(y - k * x) / (|K|^2 + noise)]``,

is what x misses, and noise. All of this is in linear light, where blur is a convolution. Where pixels are clipped, nothing is
put back. A small network, which sees the photograph and the answer, weighs it pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

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
from restorekit.methods.multi_output.kernels import KernelEstimator
from restorekit.methods.multi_output.two_levels import TwoLevels, silent

CLIPPED = 0.985
"""Of the range: brighter pixels may have been brighter still."""
COARSE = 8.0
"""How much more noise is allowed for in a second inversion, which brings back less."""
AT_ONCE = 16
"""Windows whose kernels are estimated together: of all that a large tile has, the planes would fill the memory."""


class Pass(NamedTuple):
    """What one pass of the second stage over images gives.

    Attributes:
        heads: ``(B, n, 3, H, W)``, corrected.
        kernels: of each of the m windows those found one after another, the last of which counts, ``(B m, r, S, S)``.
        inverted: ``(B, 3, H, W)``, the mean of the heads with all that the last kernels put back.
    """

    heads: Tensor
    kernels: Tensor
    inverted: Tensor


class BlindDeconvolution(nn.Module):
    """Corrects heads by kernels estimated from the photograph and their mean, several times with the same weights.

    A mean that is corrected is sharper, tells more of the kernel, and leaves less to be put back. Each pass is taught for itself,
    on what the one before it gave.

    Args:
        config: how many passes, side of the windows, and shape of the networks.
    """

    def __init__(self, config: DeconvolutionConfig) -> None:
        super().__init__()
        self.passes = config.passes
        self.window = config.window
        self.kernels = KernelEstimator(config.support, config.width, config.edge_width, config.edge_versions, config.refinements)
        self.scales = Scales(config.scales_width, config.surroundings)

    def forward(self, image: Tensor, heads: Tensor) -> list[Pass]:
        """Correct the heads ``(B, n, 3, H, W)`` of images ``(B, 3, H, W)``, RGB in [0, 1], any H and W.

        All heads move alike, but for how far they lie apart, which tells of doubt.
        """
        height, width = image.shape[-2:]
        values = heads.float()
        mean = values.mean(1)
        apart = values - mean[:, None]
        spread = (apart.square().mean((1, 2)) + 1e-8).sqrt().unsqueeze(1)
        image, spread = (self._prepared(each) for each in (image.float(), spread))
        passes: list[Pass] = []
        for _ in range(self.passes):
            known = self._prepared(mean.clamp(0, 1))
            kernels, found = self.find(image, known)
            correction, doubt = (crop_to(each, height, width) for each in self.scales(image, known, spread, found))
            corrected = mean + correction
            inverted = crop_to(known + found[:, :3], height, width)
            passes.append(Pass(corrected[:, None] + doubt[:, None] * apart, kernels, inverted))
            mean = corrected.detach()
        return passes

    def _prepared(self, maps: Tensor) -> Tensor:
        return _at_least(reflect_to_multiple(maps, STEP), self.least)

    @property
    def least(self) -> int:
        """The shortest side of a window: a kernel has room in it."""
        return -(-self.kernels.support // STEP) * STEP

    def find(self, image: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels of all windows, ``(B m, r, S, S)``, and what they put back.

        Args:
            image, mean: ``(B, 3, H, W)``, RGB in [0, 1], H and W multiples of 4: the photograph and the answer.

        Returns:
            kernels, and maps ``(B, 7, H, W)``: what the answer misses, as encoded colours; the same where more noise is allowed
            for; how much the kernel is trusted.
        """
        light, known = rgb_to_linear_rgb(image), rgb_to_linear_rgb(mean)
        edges = self.kernels.edges(image, mean)
        windows = windows_of(image, self.window)
        cut = windows.cut(torch.cat([light, known, valid_pixels(image), edges], 1))
        portions = (cut,) if is_exported() else torch.split(cut, AT_ONCE)  # a graph is for one window
        kernels, maps = zip(*(self._find_in_windows(portion) for portion in portions), strict=True)
        merged = windows.merge(torch.cat(maps))
        colours = [linear_rgb_to_rgb((known + merged[:, i : i + 3]).clamp(0.0, 1.2)) - mean for i in (0, 3)]
        return torch.cat(kernels), torch.cat([*colours, merged[:, 6:]], 1)

    def _find_in_windows(self, cut: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels ``(N, r, S, S)`` and, in linear light, the maps of windows of all that is known."""
        light, known, valid, edges = cut[:, :3], cut[:, 3:6], cut[:, 6:7], cut[:, 7:]
        estimate = self.kernels(light, known, edges)
        missing = put_back(light, known, valid, estimate.kernels[-1], (estimate.noise, COARSE * estimate.noise))
        weights = fade(cut, self.kernels.support // 2)  # what lies beyond the border is not known
        return torch.cat(estimate.kernels, 1), weights * torch.cat([*missing, estimate.trust.expand_as(valid)], 1)


class Scales(nn.Module):
    """Weighs what was found, pixel by pixel.

    Args:
        width: of its network.
        surroundings: channels of what it is told of the wider surroundings.
    """

    def __init__(self, width: int, surroundings: int) -> None:
        super().__init__()
        self.surroundings = Surroundings(14, 3 * width, surroundings)
        self.network = TwoLevels(14 + surroundings, width, 6)

    def forward(self, image: Tensor, mean: Tensor, spread: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
        """The correction ``(B, 3, H, W)``, and by how much heads shall lie farther apart, ``(B, 1, H, W)``: 1 is as they are.

        Args:
            image, mean: ``(B, 3, H, W)``, H and W multiples of 4: the photograph and the answer.
            spread: ``(B, 1, H, W)``, standard deviation of the heads.
            found: ``(B, 7, H, W)``, see :meth:`BlindDeconvolution.find`.
        """
        fine, coarse, trust = found[:, :3], found[:, 3:6], found[:, 6:]
        seen = torch.cat([2 * image - 1, 2 * mean - 1, 20 * spread, 5 * fine, 5 * coarse, trust], 1)
        written = self.network(torch.cat([seen, self.surroundings(seen)], 1)).float()
        first, second = torch.sigmoid(written[:, :2] - 1.5).chunk(2, 1)
        return first * fine + second * coarse + 0.1 * written[:, 2:5], torch.exp(3 * torch.tanh(written[:, 5:] / 3))


class Surroundings(nn.Module):
    """Tells each pixel of what is around it, 122 pixels far: the most and the mean of features there.

    Whether a soft edge is blurred or was soft is not seen at the edge; the sharpest one nearby may tell.

    Args:
        given: channels of what it reads.
        width: channels of its features.
        asked: channels of what it writes, which are 0 until it has learnt.
    """

    REACH = 15  # of features, which lie 8 pixels apart

    def __init__(self, given: int, width: int, asked: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(given, width, 6, stride=4, padding=1), nn.GELU(), nn.Conv2d(width, width, 3, stride=2, padding=1), nn.GELU()
        )
        self.told = nn.Sequential(nn.Conv2d(2 * width, width, 1), nn.GELU(), silent(nn.Conv2d(width, asked, 1)))

    def forward(self, maps: Tensor) -> Tensor:
        """``(B, given, H, W)``, H and W multiples of 4, to ``(B, asked, H, W)``."""
        most = mean = self.features(maps)
        for across in (True, False):
            size, padding = ((1, 2 * self.REACH + 1), (0, self.REACH)) if across else ((2 * self.REACH + 1, 1), (self.REACH, 0))
            most = F.max_pool2d(most, size, 1, padding)
            mean = F.avg_pool2d(mean, size, 1, padding, count_include_pad=False)
        told = F.interpolate(self.told(torch.cat([most, mean], 1)), scale_factor=8.0)
        return crop_to(told, *maps.shape[-2:])


def windows_of(image: Tensor, side: int) -> Windows:
    """Where the windows of images ``(B, C, H, W)`` lie, H and W multiples of their step; neighbours share a quarter of each."""
    return Windows(image.shape[-2], image.shape[-1], (side, side // 4))


def valid_pixels(image: Tensor) -> Tensor:
    """1 where no colour of ``(N, 3, H, W)`` is clipped, else 0, ``(N, 1, H, W)``."""
    return (image.amax(1, keepdim=True) < CLIPPED).to(image.dtype)


def put_back(light: Tensor, known: Tensor, valid: Tensor, kernel: Tensor, noises: Iterable[Tensor]) -> list[Tensor]:
    """What is to be added to an answer, ``(N, 3, H, W)``, so that blurred again it is the photograph; for each noise.

    Args:
        light: the photograph, linear light.
        known: the answer, likewise.
        valid: ``(N, 1, H, W)``, the share of what a pixel misses that counts.
        kernel: ``(N, 1, S, S)`` of sum 1.
        noises: ``(N, 1, 1, 1)`` each, added to the kernel's power.
    """
    margin = kernel.shape[-1] - 1
    surrounded = F.pad(known, (margin,) * 4, mode="replicate")
    spectra = Spectra(surrounded)
    k, m = spectra.forward_centred(kernel)
    real, imaginary = spectra.forward(surrounded)
    again = _inner(spectra.inverse(real * k - imaginary * m, real * m + imaginary * k), margin)
    real, imaginary = spectra.forward(F.pad((light - again) * valid, (margin,) * 4))
    power, real, imaginary = k.square() + m.square(), real * k + imaginary * m, imaginary * k - real * m
    return [_inner(spectra.inverse(real / (power + noise), imaginary / (power + noise)), margin) for noise in noises]


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
