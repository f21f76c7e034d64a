"""From features to images: what the backbones' last layers have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple
from restorekit.methods.multi_output.caution import CELL


class ManyHeaded(nn.Module):
    """What the backbones have in common: of images ``(B, 3, H, W)`` they make heads ``(B, n, 3, H, W)``.

    Attributes:
        gives_image: whether the answer is made of the input too, which then stands beside the heads; see
            :func:`~restorekit.methods.multi_output.network.build_network`.
        region: over how many pixels a side the evidence for an answer is averaged, which then stands beside the heads too; 0
            for none.
    """

    gives_image: bool = False
    region: int = 0


def add_to_image(corrections: Tensor, image: Tensor) -> Tensor:
    """The heads ``(B, n, 3, H, W)``: an image ``(B, 3, H, W)`` plus each head's part of the corrections ``(B, 3n, H', W')``.

    Corrections larger than the image are cropped to it. The image is added in its own precision, so that under autocast only the
    corrections are rounded.
    """
    corrections = crop_to(corrections, *image.shape[-2:])
    return torch.unflatten(corrections, 1, (corrections.shape[1] // 3, 3)) + image.unsqueeze(1)


def pair_means(heads: Tensor) -> Tensor:
    """Parameter multiplexing: the K = n(n+1)/2 candidates ``(h_i + h_j) / 2``, i = 0..n-1, j = 0..i, of ``(B, n, 3, H, W)``
    heads.
    """
    i, j = torch.tril_indices(heads.shape[1], heads.shape[1], device=heads.device)
    return (heads[:, i] + heads[:, j]) / 2


def evidence(heads: Tensor, image: Tensor, region: int) -> Tensor:
    """How much heads ``(B, n, 3, H, W)`` change an image ``(B, 3, H, W)``, and how much they contradict each other.

    The mean square of the correction and their variance, unbiased, over squares of about ``region`` pixels: ``(B, 2, H, W)``.
    """
    count = heads.shape[1]
    corrections = heads.float() - image.float()[:, None]
    square = corrections.mean(1).square().mean(1, keepdim=True)
    variance = (corrections.square().mean((1, 2))[:, None] - square) * (count / (count - 1))
    return mean_around(torch.cat([square, variance], 1), region).clamp_min(0)  # what rounding takes from nothing


def mean_around(maps: Tensor, region: int) -> Tensor:
    """Of maps ``(B, C, H, W)`` the means over squares of about ``region`` pixels a side; beyond the border is nothing."""
    cells = F.avg_pool2d(reflect_to_multiple(maps, CELL), CELL)
    reach = max(1, region // CELL) // 2
    for size, padding in (((1, 2 * reach + 1), (0, reach)), ((2 * reach + 1, 1), (reach, 0))):
        cells = F.avg_pool2d(cells, size, 1, padding, count_include_pad=False)
    return crop_to(F.interpolate(cells, scale_factor=float(CELL), mode="bilinear"), *maps.shape[-2:])


class SupervisedAttention(nn.Module):
    """Between two stages: images are made of the features, and what they show of the truth chooses what goes on.

    ``heads = image + conv2(x)``, ``features = x + conv1(x) * sigmoid(conv3(heads))``. Source: MPRNet, there SAM.

    Args:
        channels: C.
        n_heads: images made.
        kernel_size: of the convolutions.
        bias: whether they have one.
    """

    def __init__(self, channels: int, n_heads: int, kernel_size: int, bias: bool) -> None:
        super().__init__()
        pad = kernel_size // 2
        self.conv1 = nn.Conv2d(channels, channels, kernel_size, padding=pad, bias=bias)
        self.conv2 = nn.Conv2d(channels, 3 * n_heads, kernel_size, padding=pad, bias=bias)
        self.conv3 = nn.Conv2d(3 * n_heads, channels, kernel_size, padding=pad, bias=bias)

    def forward(self, x: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """The features ``(B, C, H, W)`` that go on, and the heads ``(B, n, 3, H, W)``, of features and the degraded image."""
        heads = add_to_image(self.conv2(x), image)
        return x + self.conv1(x) * self.conv3(heads.flatten(1, 2)).sigmoid(), heads
