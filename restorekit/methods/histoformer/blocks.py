"""What Histoformer's levels are made of, besides the attention."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.histoformer.attention import HistogramAttention
from restorekit.methods.histoformer.sorting import is_traced

Norm = Literal["WithBias", "BiasFree"]


class ChannelNorm(nn.Module):
    """Normalisation of ``(B, C, H, W)`` over C, pixel by pixel, without parameters; biased variance, 1e-5 inside the root.

    ``"WithBias"``: ``(x - mean) / sqrt(var + eps)``; ``"BiasFree"``: ``x / sqrt(var + eps)``. Planes stay planes, for the sorts
    that follow; the fused kernel would transpose the map.
    """

    def __init__(self, kind: Norm) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(1, keepdim=True)
        scale = (centred.square().mean(1, keepdim=True) + 1e-5).rsqrt()
        return (centred if self.kind == "WithBias" else x) * scale

    def extra_repr(self) -> str:
        return self.kind


class DualScaleFeedForward(nn.Module):
    """Dual-scale gated feed-forward: ``project_out(unshuffle(mish(dilated(g)) * local(a)))``, ``(B, C, H, W)`` to the same.

    ``a, g`` are the halves of ``shuffle(project_in(x))``, twice as high and wide; ``local`` is a depthwise 5x5, ``dilated`` a
    depthwise 3x3 convolution of dilation 2.

    Same numbers with little or no shuffling: a pixel of the unshuffled map holds the four phases of 2x2 pixels of the shuffled
    one. Taps two pixels apart meet one phase of neighbouring pixels, so ``dilated`` is a plain 3x3 convolution with each kernel
    used for four channels. ``local`` is a 3x3 convolution from four phases to four (:func:`phase_kernels`): 1.4 times the
    products, yet faster on a CPU than to shuffle. Elsewhere, where so small groups were not measured, ``a`` is shuffled.

    Args:
        channels: C.
        hidden: channels between the projections, a multiple of 4.
        bias: whether the convolutions have one.
    """

    def __init__(self, channels: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        quarter = hidden // 4
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv_5 = nn.Conv2d(quarter, quarter, 5, padding=2, groups=quarter, bias=bias)
        self.dwconv_dilated2_1 = nn.Conv2d(quarter, quarter, 3, padding=2, dilation=2, groups=quarter, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.project_out.in_channels
        if _on_plain_cpu(x):
            x = x.contiguous(memory_format=torch.channels_last)  # depthwise convolutions are twice as fast in it
        a = self._local(self._project(x, slice(hidden)))
        g = self._dilated(self._project(x, slice(hidden, None)))
        out: Tensor = self.project_out(F.mish(g, inplace=not torch.is_grad_enabled()) * a)
        return out

    def _project(self, x: Tensor, part: slice) -> Tensor:
        bias = self.project_in.bias
        return F.conv2d(x, self.project_in.weight[part], None if bias is None else bias[part])

    def _local(self, a: Tensor) -> Tensor:
        conv = self.dwconv_5
        if _on_plain_cpu(a):
            return F.conv2d(a, phase_kernels(conv.weight), _for_phases(conv.bias), padding=1, groups=conv.groups)
        return F.pixel_unshuffle(conv(F.pixel_shuffle(a, 2)), 2)

    def _dilated(self, g: Tensor) -> Tensor:
        conv = self.dwconv_dilated2_1
        return F.conv2d(g, conv.weight.repeat_interleave(4, 0), _for_phases(conv.bias), padding=1, groups=4 * conv.groups)


def _on_plain_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and not is_traced()


def phase_kernels(weight: Tensor) -> Tensor:
    """Depthwise 5x5 kernels ``(G, 1, 5, 5)`` for a shuffled map as 3x3 kernels ``(4G, 4, 3, 3)`` from its phases to its phases.

    The 6x6 pixels around 2x2 pixels hold the 5x5 windows of all four; unshuffled, they are 3x3 pixels of four phases.
    """
    windows = [F.pad(weight, (x, 1 - x, y, 1 - y)) for y in (0, 1) for x in (0, 1)]
    return F.pixel_unshuffle(torch.cat(windows, 1).flatten(0, 1).unsqueeze(1), 2)


def _for_phases(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.repeat_interleave(4)


class TransformerBlock(nn.Module):
    """``x + attn_g(norm_g(x))``, then ``x + ffn(norm_ff1(x))``, of ``(B, C, H, W)``."""

    def __init__(self, channels: int, heads: int, hidden: int, bias: bool, norm: Norm) -> None:
        super().__init__()
        self.norm_g = ChannelNorm(norm)
        self.attn_g = HistogramAttention(channels, heads, bias)
        self.norm_ff1 = ChannelNorm(norm)
        self.ffn = DualScaleFeedForward(channels, hidden, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn_g(self.norm_g(x))
        y: Tensor = x + self.ffn(self.norm_ff1(x))
        return y


class Level(nn.Sequential):
    """Blocks in a row. They add to a map in float32, also under autocast: rounding it would make ties where ranks decide."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32)).contiguous()
        for block in self:
            x = block(x)
        return x


class SkipPatchEmbed(nn.Module):
    """The image at half the size, for a lower level: 2x2 mean, 1x1 convolution, depthwise 3x3 convolution; ``(B, 3, H, W)``."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.AvgPool2d(2),
            nn.Conv2d(3, 3, 1, bias=False),
            nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.proj(x)
        return halved
