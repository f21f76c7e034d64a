"""From features to images: what the backbones' last layers have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.layers import crop_to


class ManyHeaded(nn.Module):
    """What the backbones have in common: of images ``(B, 3, H, W)`` they make heads ``(B, n, 3, H, W)``.

    Attributes:
        gives_image: whether the answer is made of the input too, which then stands beside the heads; see
            :func:`~restorekit.methods.multi_output.network.build_network`.
    """

    gives_image: bool = False


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
