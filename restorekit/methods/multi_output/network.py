"""NAFNet with several heads: one blurred photograph in, n sharp candidates out.

Papers: "Simple Baselines for Image Restoration" (NAFNet, 2022, arXiv 2204.04676), "Multi-Outputs Is All You Need For Deblur"
(2022, arXiv 2208.13029) and, for the local means, TLC (2021, arXiv 2112.04491). State dicts have the authors' keys and shapes.

What differs from the published code, at equal numbers: layer normalisation runs through PyTorch's fused kernel; local means take
two one-dimensional passes; only the n heads are computed, as the pair averages of "parameter multiplexing" follow from them
(:func:`pair_means`); the padded size is used throughout, so that any image size works.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import LayerNorm2d, LocalMean2d, crop_to, pad_to_multiple

Window = tuple[int, int]


def gate(x: Tensor) -> Tensor:
    """SimpleGate: the first half of the channels times the second, ``(B, 2C, H, W)`` to ``(B, C, H, W)``."""
    a, b = x.chunk(2, dim=1)
    return a * b


class NAFBlock(nn.Module):
    """A nonlinear-activation-free block: gated depthwise convolution with channel attention, then a gated feed-forward part.

    ``y = x + beta * conv3(sca(gate(conv2(conv1(norm1(x))))))``, ``z = y + gamma * conv5(gate(conv4(norm2(y))))``; ``sca``
    multiplies by a 1x1 convolution of the (local) mean. ``beta`` and ``gamma`` start at zero: a new block is the identity.
    """

    def __init__(self, channels: int, window: Window | None = None) -> None:
        super().__init__()
        c = channels
        self.norm1 = LayerNorm2d(c)
        self.conv1 = nn.Conv2d(c, 2 * c, 1)
        self.conv2 = nn.Conv2d(2 * c, 2 * c, 3, padding=1, groups=2 * c)
        self.sca = nn.Sequential(LocalMean2d(window), nn.Conv2d(c, c, 1))
        self.conv3 = nn.Conv2d(c, c, 1)
        self.norm2 = LayerNorm2d(c)
        self.conv4 = nn.Conv2d(c, 2 * c, 1)
        self.conv5 = nn.Conv2d(c, c, 1)
        self.beta = nn.Parameter(torch.zeros(1, c, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        u = gate(self.conv2(self.conv1(self.norm1(x))))
        y = x + _scaled_conv1x1(u * self.sca(u), self.conv3, self.beta)
        return y + _scaled_conv1x1(gate(self.conv4(self.norm2(y))), self.conv5, self.gamma)


def _scaled_conv1x1(x: Tensor, conv: nn.Conv2d, scale: Tensor) -> Tensor:
    """``scale * conv(x)`` with the scale of each output channel moved into the weights: one pass over the map less, both ways."""
    s = scale.flatten()
    return F.conv2d(x, conv.weight * s[:, None, None, None], None if conv.bias is None else conv.bias * s)


class NAFNet(nn.Module):
    """U-shaped NAFNet whose last layer gives ``n_heads`` images.

    Args:
        width: channels at full resolution; they double at each level.
        enc_blk_nums: blocks of each encoder level, finest first.
        middle_blk_num: blocks at the coarsest resolution.
        dec_blk_nums: blocks of each decoder level, coarsest first.
        n_heads: images the last layer gives; 1 is the plain NAFNet.
        train_size: rows and columns of the training crops. Given, channel attention takes means over windows of 1.5 times that
            size (TLC) instead of the whole map; None leaves them global.
    """

    def __init__(
        self,
        width: int,
        enc_blk_nums: tuple[int, ...],
        middle_blk_num: int,
        dec_blk_nums: tuple[int, ...],
        n_heads: int = 1,
        train_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        levels = len(enc_blk_nums)
        windows = tlc_windows(train_size, levels)
        self.n_heads = n_heads
        self.multiple = 2**levels
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.ending = nn.Conv2d(width, 3 * n_heads, 3, padding=1)
        self.encoders, self.downs = nn.ModuleList(), nn.ModuleList()
        self.ups, self.decoders = nn.ModuleList(), nn.ModuleList()
        c = width
        for blocks, window in zip(enc_blk_nums, windows, strict=False):
            self.encoders.append(nn.Sequential(*(NAFBlock(c, window) for _ in range(blocks))))
            self.downs.append(nn.Conv2d(c, 2 * c, 2, stride=2))
            c *= 2
        self.middle_blks = nn.Sequential(*(NAFBlock(c, windows[levels]) for _ in range(middle_blk_num)))
        for blocks, window in zip(dec_blk_nums, reversed(windows[:levels]), strict=True):
            self.ups.append(nn.Sequential(nn.Conv2d(c, 2 * c, 1, bias=False), nn.PixelShuffle(2)))
            c //= 2
            self.decoders.append(nn.Sequential(*(NAFBlock(c, window) for _ in range(blocks))))

    def forward(self, image: Tensor) -> Tensor:
        """The heads ``(B, n_heads, 3, H, W)`` for an image ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        The image is added in its own precision, so that under autocast only the correction is rounded.
        """
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, self.multiple)
        x = self.intro(padded)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        corrections = crop_to(self.ending(x), height, width)
        return torch.unflatten(corrections, 1, (self.n_heads, 3)) + image.unsqueeze(1)


def tlc_windows(train_size: tuple[int, int] | None, levels: int) -> list[Window | None]:
    """TLC windows (rows, columns) of each level, finest first, the middle last: 1.5 times the feature size at a padded
    training crop.
    """
    if train_size is None:
        return [None] * (levels + 1)
    rows, columns = (_windows(side, levels) for side in train_size)
    return list(zip(rows, columns, strict=True))


def _windows(side: int, levels: int) -> list[int]:
    padded = -(-side // 2**levels) * 2**levels
    return [(padded >> level) * int(1.5 * side) // side for level in range(levels + 1)]


def pair_means(heads: Tensor) -> Tensor:
    """Parameter multiplexing: the K = n(n+1)/2 candidates ``(h_i + h_j) / 2``, i = 0..n-1, j = 0..i, of ``(B, n, 3, H, W)``
    heads.
    """
    i, j = torch.tril_indices(heads.shape[1], heads.shape[1], device=heads.device)
    return (heads[:, i] + heads[:, j]) / 2
