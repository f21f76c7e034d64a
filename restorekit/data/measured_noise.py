"""The noise of a photograph, measured where it is flat, and made anew on other pictures.

Cameras smooth, sharpen and compress, each in its own way, so that noise synthesised for all cameras is right for none. What is
left of a flat place once its slow shading is taken away is noise of this very camera, after "Image Blind Denoising With
Generative Adversarial Network Based Noise Modeling" (Chen et al., CVPR 2018). Instead of such blocks themselves, their strength
at every brightness and their mean spectrum are kept: a filter that gives white noise of any size the same grain and colour.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Generator, Tensor
from torch.nn import functional as F

BLOCK = 32
"""Side of the blocks that noise is measured in, in pixels: slower noise counts as shading."""
LEVELS = 9
"""Brightnesses from 0 to 1 at which its strength is known."""

_STEP = 8
"""Pixels between blocks that are looked at."""
_FLATTEST = 0.06
_LEAST = 24
"""Share of the blocks that counts as flat, and how many at least."""
_LESS_FLAT = 4.0
"""How much more detail than those the flattest of another brightness may have."""
_NEARLY_CLIPPED = 0.02
_BREADTH = 0.12
"""Standard deviation, in brightness, of the weights by which blocks tell the strength at a level."""


@dataclass(frozen=True)
class MeasuredNoise:
    """How strong noise is, and how it looks.

    Attributes:
        strength: standard deviation of the mean of the three colours at :data:`LEVELS` brightnesses from 0 to 1, ``(LEVELS,)``.
        grain: the filter ``(3, 3, BLOCK, BLOCK)`` that makes three planes of white noise the noise of red, green and blue where
            the strength is 1.
    """

    strength: Tensor
    grain: Tensor

    def at(self, brightness: Tensor) -> Tensor:
        """The strength at brightnesses of any shape, interpolated."""
        return _between(self.strength, brightness)

    def make(self, clean: Tensor, generator: Generator) -> Tensor:
        """Noise for a clean ``(3, H, W)`` in [0, 1], of that shape. ``generator`` is on the CPU."""
        height, width = clean.shape[-2:]
        white = torch.randn((1, 3, height + BLOCK - 1, width + BLOCK - 1), generator=generator).to(clean.device)
        return F.conv2d(white, self.grain)[0] * self.at(clean.mean(0))


def measure_noise(photograph: Tensor, denoised: Tensor) -> MeasuredNoise | None:
    """What noise a photograph has; None if it is smaller than a block.

    Args:
        photograph: ``(3, H, W)`` in [0, 1].
        denoised: the same without most of its noise, by which flat places are found.
    """
    if min(photograph.shape[-2:]) < BLOCK:
        return None
    blocks, brightness = _flat_blocks(photograph, denoised)
    strength = blocks.mean(1).flatten(1).std(1).clamp_min(1e-5)
    flat = strength <= 2 * strength.median()  # the others have something in them
    blocks, brightness, strength = blocks[flat], brightness[flat], strength[flat]
    levels = torch.linspace(0, 1, LEVELS, device=photograph.device)
    weights = torch.exp(-(((brightness - levels[:, None]) / _BREADTH) ** 2)) + 1e-4
    curve = (weights * strength).sum(1) / weights.sum(1)
    return MeasuredNoise(curve, _filter_of(blocks / _between(curve, brightness)[:, None, None, None]))


def _between(levels: Tensor, brightness: Tensor) -> Tensor:
    """What is known at :data:`LEVELS` brightnesses, interpolated at others."""
    place = brightness.clamp(0, 1) * (LEVELS - 1)
    low = place.floor().clamp(0, LEVELS - 2).long()
    return torch.lerp(levels[low], levels[low + 1], place - low)


def _flat_blocks(photograph: Tensor, denoised: Tensor) -> tuple[Tensor, Tensor]:
    """The noise of the flattest blocks ``(n, 3, BLOCK, BLOCK)``, and their brightness ``(n,)``."""
    slope = spatial_gradient(gaussian_blur2d(denoised[None], (9, 9), (1.5, 1.5)), "diff")[0].square().sum((0, 1))
    detail = F.avg_pool2d(slope[None, None], BLOCK, _STEP).flatten()
    colour = F.avg_pool2d(photograph[None], BLOCK, _STEP)[0].flatten(1)
    clipped = (colour.amin(0) < _NEARLY_CLIPPED) | (colour.amax(0) > 1 - _NEARLY_CLIPPED)
    detail = torch.where(clipped, detail + detail.max() + 1, detail)
    count = max(_LEAST, int(_FLATTEST * len(detail)))
    chosen = set(detail.argsort()[:count].tolist())
    limit = _LESS_FLAT * detail.sort().values[:count].max()
    levels = (colour.mean(0) * LEVELS).long()
    for level in range(LEVELS):  # the flattest of all may have but one tone
        alike = (levels == level).nonzero()[:, 0]
        flattest = alike[detail[alike].argsort()][: max(_LEAST, int(_FLATTEST * len(alike)))]
        chosen |= set(flattest[detail[flattest] <= limit].tolist())
    blocks = photograph.unfold(1, BLOCK, _STEP).unfold(2, BLOCK, _STEP).flatten(1, 2)[:, sorted(chosen)].transpose(0, 1)
    return _without_shading(blocks), blocks.mean((1, 2, 3))


def _without_shading(blocks: Tensor) -> Tensor:
    """Blocks ``(n, 3, BLOCK, BLOCK)`` less the surfaces of second order that fit them best."""
    axis = torch.linspace(-1, 1, BLOCK, device=blocks.device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    surfaces = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y]).flatten(1).T
    basis = torch.linalg.qr(surfaces)[0]
    values = blocks.flatten(2)
    return (values - values @ basis @ basis.T).view_as(blocks)


def _filter_of(blocks: Tensor) -> Tensor:
    """The symmetric filter ``(3, 3, BLOCK, BLOCK)`` that gives white noise the mean spectrum of ``(n, 3, BLOCK, BLOCK)``, cross
    spectra of the colours included: the square root of the matrix of each frequency.
    """
    window = torch.hann_window(BLOCK, periodic=False, device=blocks.device).sqrt()
    window = window * window[:, None]
    spectra = torch.fft.fft2(blocks * window) / window.square().sum().sqrt()
    power = torch.einsum("nihw,njhw->hwij", spectra, spectra.conj()) / len(blocks)
    values, vectors = torch.linalg.eigh(power)
    root = (vectors * values.clamp_min(0).sqrt()[..., None, :]) @ vectors.mH
    taps = torch.fft.fftshift(torch.fft.ifft2(root.permute(2, 3, 0, 1)).real, dim=(-2, -1))
    return taps.flip(-1, -2).contiguous()  # a convolution of PyTorch's is a correlation
