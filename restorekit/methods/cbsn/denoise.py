"""From a photograph to the normalised, padded image the network works on, and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported

if TYPE_CHECKING:
    from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork


def measure(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(B, C, 1, 1)`` of each image and channel of ``(B, C, H, W)``, in float32 or better.

    The standard deviation is the population's, and at least ``1 / sqrt(H W)``, so that a flat image is not divided by nothing.
    The authors' three floors (1/P for training patches, 1/256 for validation blocks, this one for photographs) are all this one.
    """
    exact = image.to(torch.promote_types(image.dtype, torch.float32))
    variance, mean = torch.var_mean(exact, dim=(2, 3), correction=0, keepdim=True)
    return mean, variance.sqrt().clamp_min(1 / math.sqrt(image.shape[2] * image.shape[3]))


def denoise(
    network: ConditionalBlindSpotNetwork,
    image: Tensor,
    mean: Tensor | None = None,
    std: Tensor | None = None,
    pad: int | None = None,
) -> Tensor:
    """The denoised image ``(B, 3, H, W)``, not clipped, of ``(B, 3, H, W)``, RGB in [0, 1], any H and W.

    The authors surround photographs with 32 pixels of their mirror image. No answer depends on more than ``network.reach`` of
    them (29 in the paper's configuration), so no more are made: the numbers are the same.

    Args:
        network: sees every pixel (f, not f_M).
        image: a whole photograph, or a tile of one whose ``mean`` and ``std`` are given: ``network.reach`` pixels from its cut
            edges it then gives what the whole would.
        mean: as :func:`measure` gives it for the whole photograph; by default of ``image``.
        std: likewise.
        pad: surround with this many pixels instead, if it is less.
    """
    if mean is None or std is None:
        mean, std = measure(image)
    height, width = image.shape[-2:]
    pad = network.reach if pad is None else min(pad, network.reach)
    surrounded = mirror((image - mean) / std, pad)
    answer = network(surrounded)[..., pad : pad + height, pad : pad + width]
    return answer.to(std.dtype) * std + mean


def mirror(image: Tensor, pad: int) -> Tensor:
    """``(B, C, H, W)`` with ``pad`` pixels of its mirror image on all sides, the edge not repeated.

    As NumPy's ``reflect``, small images are mirrored again and again; PyTorch's refuses them.
    """
    if is_exported():
        return F.pad(image, (pad,) * 4, mode="reflect")
    rows, columns = (_mirrored(side, pad, image.device) for side in image.shape[-2:])
    return image.index_select(2, rows).index_select(3, columns)


def _mirrored(side: int, pad: int, device: torch.device) -> Tensor:
    """The pixels 0 .. side - 1 in the order of a walk from ``-pad`` to ``side + pad - 1`` that turns round at both ends."""
    period = max(2 * (side - 1), 1)
    walk = torch.arange(-pad, side + pad, device=device) % period
    return torch.minimum(walk, period - walk) if side > 1 else torch.zeros_like(walk)
