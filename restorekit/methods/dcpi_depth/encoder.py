"""Lite-Mono, the depth encoder: dilated convolutions for what is near, attention between channels for what is far.

Paper: "Lite-Mono: A Lightweight CNN and Transformer Architecture for Self-Supervised Monocular Depth Estimation" (CVPR 2023,
https://arxiv.org/abs/2211.13202). The key tree is the authors'.

What differs from the published code, at equal numbers: the image is pooled once a level, each level from the one before; outside
training, normalisations are multiplied into the convolutions they follow; the factors of the residual branches are always
multiplied into the matrices they follow; attention is multiplied into its projection (:class:`ChannelAttention`); the position
code is made of its rows and columns (:class:`PositionCode`); maps stay channels last, so that blocks need no copies.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import stochastic_depth

DROP_PATH = 0.2
"""Chance of the last block's branch to be left out in training; it rises from 0 over all blocks."""

MEAN, STD = 0.45, 0.225
"""What images are normalised with, all colours alike, by this encoder and by the pose networks."""

Features = tuple[Tensor, Tensor, Tensor]
"""Maps ``(B, C, H/4, W/4)``, ``(B, C, H/8, W/8)`` and ``(B, C, H/16, W/16)``, of other C each."""


class LiteMono(nn.Module):
    """Features of an image.

    Args:
        dims: channels of the three stages.
        dilation: of the dilated blocks of each stage; a stage has one block more, the last, which attends.
        heads: attention heads of each stage; they divide its channels.
        expansion: hidden channels of a block's feed-forward part for each of its own.
    """

    def __init__(
        self, dims: tuple[int, int, int], dilation: tuple[tuple[int, ...], ...], heads: tuple[int, int, int], expansion: int
    ) -> None:
        super().__init__()
        one, two, three = dims
        stem = (Convolution(3, one, stride=2, gelu=True), *(Convolution(one, one, gelu=True) for _ in range(2)))
        downsamplings = (Convolution(2 * one + 3, two, stride=2), Convolution(2 * two + 3, three, stride=2))
        self.downsample_layers = nn.ModuleList([nn.Sequential(*stem), *map(nn.Sequential, downsamplings)])
        self.stem2 = nn.Sequential(Convolution(one + 3, one, stride=2))
        drops = iter(torch.linspace(0, DROP_PATH, sum(len(d) + 1 for d in dilation), device="cpu").tolist())
        self.stages = nn.ModuleList(
            nn.Sequential(
                *(DilatedBlock(dims[i], d, expansion, next(drops)) for d in dilation[i]),
                AttentionBlock(dims[i], heads[i], expansion, next(drops), positions=i == 0),
            )
            for i in range(3)
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Features:
        """The features of ``(B, 3, H, W)``, RGB in [0, 1], H and W multiples of 16."""
        x = ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        half = _pool(x)
        quarter = _pool(half)
        eighth = _pool(quarter)
        stem, first, second = self.downsample_layers
        a = self.stem2(torch.cat([stem(x), half], 1))
        feat0 = self.stages[0](a)
        b = first(torch.cat([a, feat0, quarter], 1))
        feat1 = self.stages[1](b)
        c = second(torch.cat([b, feat1, eighth], 1))
        return feat0, feat1, self.stages[2](c)


def _pool(x: Tensor) -> Tensor:
    """Half the size by 3x3 means; the padding's zeros count."""
    return F.avg_pool2d(x, 3, 2, 1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class Convolution(nn.Module):
    """A 3x3 convolution without bias, padded by zeros; with ``gelu`` also batch normalisation and GELU after it."""

    def __init__(self, into: int, out: int, stride: int = 1, gelu: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        if gelu:
            self.bn_gelu = nn.ModuleDict({"bn": nn.BatchNorm2d(out)})
        self.gelu = gelu

    def forward(self, x: Tensor) -> Tensor:
        if self.gelu:
            return F.gelu(convolve_normed(x, self.conv, cast(nn.BatchNorm2d, self.bn_gelu["bn"])))
        return cast(Tensor, self.conv(x))


def convolve_normed(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """``norm(conv(x))`` for a convolution padded by zeros and without bias.

    With fixed statistics the normalisation is linear. It is multiplied into the kernel, which is small, and so needs no passes
    over the map.
    """
    if norm.training:
        return cast(Tensor, norm(conv(x)))
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    weight, bias = conv.weight * scale.view(-1, 1, 1, 1), norm.bias - mean * scale
    return F.conv2d(x, weight, bias, conv.stride, cast(tuple[int, int], conv.padding), conv.dilation, conv.groups)


class Block(nn.Module):
    """What both kinds of blocks share: the feed-forward part of every pixel, and the way back to the block's input."""

    def __init__(self, channels: int, expansion: int, drop: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), 1e-6))
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, expansion * channels)
        self.pwconv2 = nn.Linear(expansion * channels, channels)
        self.drop = drop

    def add_branch(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + gamma * W2 gelu(W1 y)`` for x ``(B, C, H, W)`` and y ``(B, H, W, C)``, gamma multiplied into W2.

        In training the whole branch is left out of some images of the batch.
        """
        weight, bias = self.gamma.unsqueeze(1) * self.pwconv2.weight, self.gamma * self.pwconv2.bias
        branch = F.linear(F.gelu(self.pwconv1(y)), weight, bias).permute(0, 3, 1, 2)
        return x + stochastic_depth(branch, self.drop, "row", self.training)


class DilatedBlock(Block):
    """A dilated convolution of every channel by itself, then the feed-forward part.

    ``norm`` stands in the authors' checkpoints, and is not used.
    """

    def __init__(self, channels: int, dilation: int, expansion: int, drop: float) -> None:
        super().__init__(channels, expansion, drop)
        depthwise = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, groups=channels, bias=False)
        self.ddwconv = nn.ModuleDict({"conv": depthwise})
        self.bn1 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = convolve_normed(x, cast(nn.Conv2d, self.ddwconv["conv"]), self.bn1)
        return self.add_branch(x, y.permute(0, 2, 3, 1))


class AttentionBlock(Block):
    """Attention between the channels of the whole map, then the feed-forward part, of which alone the result is."""

    def __init__(self, channels: int, heads: int, expansion: int, drop: float, positions: bool) -> None:
        super().__init__(channels, expansion, drop)
        self.gamma_xca = nn.Parameter(torch.full((channels,), 1e-6))
        self.norm_xca = nn.LayerNorm(channels, eps=1e-6)
        self.xca = ChannelAttention(channels, heads)
        self.pos_embd = PositionCode(channels) if positions else None

    def forward(self, x: Tensor) -> Tensor:
        z = x.permute(0, 2, 3, 1)
        if self.pos_embd is not None:
            z = z + self.pos_embd(*z.shape[1:3])
        z = z + self.xca(self.norm_xca(z), self.gamma_xca)
        return self.add_branch(x, self.norm(z))


class ChannelAttention(nn.Module):
    """Cross-covariance attention (XCA, "XCiT: Cross-Covariance Image Transformers", 2021): cost is linear in the pixels.

    Scores of a head are ``softmax(q kᵀ · temperature)`` with the rows of q and k, a channel each over all pixels, of unit length.
    A head's scores A are multiplied into its columns P of the projection, for ``P (A v) = (P A) v``: one product over all pixels
    in place of two, and no copy between them.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, z: Tensor, gamma: Tensor) -> Tensor:
        """``gamma`` times the attention's answer, both ``(B, H, W, C)``; ``gamma`` is ``(C,)``."""
        heads, channels = len(self.temperature), z.shape[-1]
        qkv = self.qkv(z).flatten(1, 2)
        q, k = F.normalize(qkv[..., : 2 * channels], dim=1).view(*qkv.shape[:2], 2, heads, -1).unbind(2)
        scores = q.permute(0, 2, 3, 1) @ k.transpose(1, 2)
        attention = (scores * self.temperature).softmax(-1)
        projection = (gamma.unsqueeze(1) * self.proj.weight).view(channels, heads, -1).transpose(0, 1)
        mixed = (projection @ attention).transpose(1, 2).flatten(2)
        answer = qkv[..., 2 * channels :] @ mixed.transpose(1, 2).to(qkv.dtype)
        return answer.view_as(z) + gamma * self.proj.bias


class PositionCode(nn.Module):
    """Where a pixel lies, in shares of the map, as Fourier features through a 1x1 convolution.

    Half of the features depend on the row alone, half on the column alone. Each half meets its own part of the convolution before
    they are added, so that the work grows with H + W.
    """

    FEATURES = 32

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_projection = nn.Conv2d(2 * self.FEATURES, channels, 1)

    def forward(self, height: int, width: int) -> Tensor:
        """The code ``(H, W, C)`` of a map of this size."""
        by_row, by_column = self.token_projection.weight.flatten(1).t().chunk(2)
        rows, columns = self._features(height) @ by_row, self._features(width) @ by_column
        return rows.unsqueeze(1) + (columns + cast(Tensor, self.token_projection.bias))

    def _features(self, count: int) -> Tensor:
        """Sines and cosines, alternating, of 1 to ``count`` in shares of a turn: ``(count, 32)``."""
        weight = self.token_projection.weight
        turn = torch.arange(1, count + 1, device=weight.device, dtype=weight.dtype) / (count + 1e-6) * (2 * math.pi)
        exponents = torch.arange(0, self.FEATURES, 2, device=weight.device, dtype=weight.dtype) / self.FEATURES
        angles = turn.unsqueeze(1) / 10000**exponents
        return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)
