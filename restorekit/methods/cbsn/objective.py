"""The downsampled invariance loss: a network learns to denoise from noisy photographs alone.

Source: "Self-supervised Image Denoising with Downsampled Invariance Loss and Conditional Blind-Spot Network" (ICCV 2023).

Noise of pixels that lie far apart in a photograph is nearly independent. So a blind network on every fifth pixel cannot foretell
the noise of the pixel it does not see, and learns the signal; the network that sees every pixel then learns to agree with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.degradations.base import seeded_generator
from restorekit.errors import SettingError
from restorekit.methods.base import Batch, Objective
from restorekit.methods.cbsn import CbsnObjectiveSettings
from restorekit.methods.cbsn.denoise import measure
from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork, pass_through


@dataclass(frozen=True)
class Terms:
    """The three terms of the loss, each a mean absolute error, without their weights.

    Attributes:
        blind: L_blind: the blind network's images against the noisy ones.
        own: L_self: the seeing network's images against the noisy ones.
        invariance: L_inv: the seeing network's images, subsampled, against the blind network's images of the subsampled noisy
            ones. Its gradient goes to the former only.
    """

    blind: Tensor
    own: Tensor
    invariance: Tensor


def space_to_batch(x: Tensor, stride: int) -> Tensor:
    """S2B: the sub-images ``x[:, :, dy::s, dx::s]`` of ``(B, C, H, W)``: ``(s s B, C, H/s, W/s)``, by dy, then dx, then image."""
    b, c, h, w = x.shape
    cells = x.reshape(b, c, h // stride, stride, w // stride, stride)
    return cells.permute(3, 5, 0, 1, 2, 4).reshape(-1, c, h // stride, w // stride)


def batch_to_space(x: Tensor, stride: int) -> Tensor:
    """B2S: the inverse of :func:`space_to_batch`."""
    _, c, h, w = x.shape
    cells = x.reshape(stride, stride, -1, c, h, w)
    return cells.permute(2, 3, 4, 0, 5, 1).reshape(-1, c, h * stride, w * stride)


def subsample(x: Tensor, choice: Tensor, stride: int) -> Tensor:
    """RS: one pixel of each ``stride`` x ``stride`` cell of ``(B, C, H, W)``, the same for all channels: ``(B, C, H/t, W/t)``.

    Args:
        x: images; H and W are multiples of the stride t.
        choice: ``(B, H/t, W/t)``, whole numbers ``k = dy t + dx`` from 0 to ``t t - 1``.
        stride: t.
    """
    b, c, h, w = x.shape
    cells = F.pixel_unshuffle(x, stride).reshape(b, c, stride**2, h // stride, w // stride)
    return cells.take_along_dim(choice[:, None, None], dim=2).squeeze(2)


def draw_choice(patches: Tensor, stride: int, *key: int) -> Tensor:
    """A ``choice`` for :func:`subsample`, uniform and independent for each cell and image.

    It follows from ``key`` and the patch's own bits alone, whatever batch, process or resumed run the patch comes in.
    """
    size = [side // stride for side in patches.shape[-2:]]
    bits = patches.detach().float().contiguous().view(torch.int32).flatten(1).sum(1).tolist()
    generators = (seeded_generator(*key, own % 2**63) for own in bits)
    return torch.stack([torch.randint(stride**2, size, generator=g) for g in generators]).to(patches.device)


def blind_images(network: nn.Module, x: Tensor, stride: int) -> Tensor:
    """``B2S(f_M(S2B(x)))``: what the blind network makes of the sub-images, put together, ``(B, C, H, W)``."""
    return batch_to_space(network(space_to_batch(x, stride), blind=True), stride)


def compute_terms(network: nn.Module, x: Tensor, choice: Tensor, stride_b: int = 5, stride_i: int = 2) -> Terms:
    """The terms for normalised patches ``(B, C, H, W)``, H and W multiples of both strides.

    Args:
        network: called as ``network(x, blind=...)``; perhaps compiled or wrapped.
        x: patches of mean 0 and standard deviation 1.
        choice: see :func:`subsample`, with ``stride_i``.
        stride_b: stride of the sub-images of L_blind: 5 for noise that demosaicing and compression have spread over several
            pixels, 1 or 2 for noise that is independent from pixel to pixel.
        stride_i: stride of the random subsampler of L_inv.
    """
    with torch.no_grad():
        taught = network(subsample(x, choice, stride_i), blind=True).to(x.dtype)
    blind = F.l1_loss(blind_images(network, x, stride_b).to(x.dtype), x)
    seeing = network(x, blind=False).to(x.dtype)
    return Terms(blind, F.l1_loss(seeing, x), F.l1_loss(subsample(seeing, choice, stride_i), taught))


class DownsampledInvariance(Objective):
    """The objective of ``cbsn``: ``L_blind + r (L_self + lambda L_inv)``, r rising from 0 to 1. ``batch.target`` does not matter,
    but for a supervised one.

    Patches are normalised one by one, and trimmed at the right and the bottom to multiples of both strides. The step, which r
    depends on, is ``batch.extras["step"]``, a tensor of one whole number, where batches have it; else the calls are counted.
    What the subsampler draws depends on ``extras["draw"]`` likewise, or else on the step.

    Args:
        settings: strides and weights.

    Attributes:
        self_supervised: whether it does without the target.
    """

    def __init__(self, settings: CbsnObjectiveSettings) -> None:
        self.settings = settings
        self.self_supervised = not settings.supervised
        self._calls = 0

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        settings, step = self.settings, int(batch.extras.get("step", self._calls))
        self._calls = step + 1
        patches = self._trim(batch.input)
        mean, std = measure(patches)
        x = (patches - mean) / std
        if settings.supervised:
            return self._compare(network, x, self._trim(batch.target), mean, std)
        choice = draw_choice(patches, settings.stride_i, settings.seed, int(batch.extras.get("draw", step)))
        terms = compute_terms(network, x, choice, settings.stride_b, settings.stride_i)
        ramp = self.ramp_at(step)
        return {"blind": terms.blind, "self": ramp * terms.own, "invariance": ramp * settings.lambda_inv * terms.invariance}

    def prepare(self, network: ConditionalBlindSpotNetwork) -> None:
        """Called with a fresh network before its first step: a supervised one begins with leaving photographs as they are."""
        if self.settings.supervised:
            pass_through(network)

    def _compare(self, network: nn.Module, x: Tensor, clean: Tensor, mean: Tensor, std: Tensor) -> dict[str, Tensor]:
        """Mean absolute errors of images of the photographs' range: normalised, flat patches would count for most."""

        def error(image: Tensor, shown: int) -> Tensor:
            return F.l1_loss(image.to(x.dtype) * std[:shown] + mean[:shown], clean[:shown])

        settings, losses = self.settings, {"clean": error(network(x, blind=False), len(x))}
        shown = math.ceil(settings.blind_share * len(x))
        if shown:
            losses["blind_clean"] = settings.blind_weight * error(blind_images(network, x[:shown], settings.stride_b), shown)
        return losses

    def ramp_at(self, step: int) -> float:
        """r: the weight of the terms of the seeing network at ``step``."""
        return min(step / self.settings.ramp, 1.0) if self.settings.ramp else 1.0

    def _trim(self, patches: Tensor) -> Tensor:
        multiple = math.lcm(self.settings.stride_b, self.settings.stride_i)
        height, width = (side - side % multiple for side in patches.shape[-2:])
        if not height or not width:
            raise SettingError(
                f"patches of {patches.shape[-2]} x {patches.shape[-1]} pixels are too small for the strides of cbsn",
                f"Set train.patch to a multiple of {multiple}",
            )
        return patches[..., :height, :width]
