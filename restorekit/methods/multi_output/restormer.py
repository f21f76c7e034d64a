"""Restormer with one or several heads: a U-Net of transformer blocks that attend among channels.

Papers: "Restormer: Efficient Transformer for High-Resolution Image Restoration" (2022, arXiv 2111.09881) and "Multi-Outputs Is
All You Need For Deblur" (2022, arXiv 2208.13029). State dicts have the authors' keys and shapes.

What differs from the published code, at equal numbers: attention takes fewer passes over the maps (:class:`ChannelAttention`);
only the n heads are computed, as the pair averages follow from them; the image is padded here, so that any size works.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import Downsample, LayerNorm2d, PatchEmbed, Upsample, reflect_to_multiple
from restorekit.methods.multi_output.heads import ManyHeaded, add_to_image

MULTIPLE = 8
EPS = 1e-5
Four = tuple[int, int, int, int]
Norm = Literal["WithBias", "BiasFree"]


class BiasFreeNorm(nn.Module):
    """``x / sqrt(var + eps) * weight`` of ``(B, C, H, W)``, var over C, biased, about the mean that x itself keeps."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return x * (x.var(1, unbiased=False, keepdim=True) + EPS).rsqrt() * self.weight.view(-1, 1, 1)


class ChannelNorm(nn.Module):
    """Normalisation over channels: a :class:`~restorekit.layers.LayerNorm2d` or a :class:`BiasFreeNorm`."""

    def __init__(self, channels: int, kind: Norm) -> None:
        super().__init__()
        self.body = LayerNorm2d(channels, EPS) if kind == "WithBias" else BiasFreeNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.body(x)
        return normed


class ChannelAttention(nn.Module):
    """Attention among the channels of each head, over ``(B, C, H, W)``: all pixels of a channel are its features.

    ``P = softmax(temperature * cos(q, k))``, ``project_out(P v)``, where a 1x1 and a depthwise 3x3 convolution give q, k and v.

    Same numbers as the authors' formulation for less: the lengths of q and k divide the scores, not the maps; ``P`` and
    ``project_out`` both mix channels, so that their product, a C x C matrix for each image, is applied to v at once; v is not
    rearranged. Under autocast the scores are taken in float32: a product over all pixels overruns float16.

    Args:
        channels: C, a multiple of ``heads``.
        heads: groups of channels that attend among themselves.
        bias: whether the convolutions have one.
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        c = channels
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(c, 3 * c, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(3 * c, 3 * c, 3, padding=1, groups=3 * c, bias=bias)
        self.project_out = nn.Conv2d(c, c, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv_dwconv(self.qkv(x)).flatten(2).chunk(3, dim=1)
        attention = self._attention(q, k)
        columns = self.project_out.weight.view(x.shape[1], self.heads, -1).transpose(0, 1)  # (heads, C, C / heads)
        mixing = (columns @ attention.to(columns.dtype)).transpose(1, 2).flatten(2)  # (B, C, C)
        out = torch.unflatten((v.mT @ mixing.mT).mT, 2, x.shape[2:])  # pixel by pixel in memory, as the norms leave the maps
        return out if self.project_out.bias is None else out + self.project_out.bias.view(-1, 1, 1)

    def _attention(self, q: Tensor, k: Tensor) -> Tensor:
        """``P`` of ``(B, C, N)`` queries and keys: ``(B, heads, C / heads, C / heads)``, rows of sum 1, in float32 at least."""
        precision = torch.promote_types(q.dtype, torch.float32)
        with torch.autocast(q.device.type, enabled=False):
            q, k = (torch.unflatten(m.to(precision), 1, (self.heads, -1)) for m in (q, k))
            lengths = _lengths(q).unsqueeze(-1) * _lengths(k).unsqueeze(-2)
            return (q @ k.mT / lengths * self.temperature).softmax(-1)


def _lengths(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1).clamp_min(1e-12)


class GatedFeedForward(nn.Module):
    """``project_out(gelu(a) * b)``, where ``a, b`` are the halves of ``dwconv(project_in(x))``: ``(B, C, H, W)`` to the same."""

    def __init__(self, channels: int, hidden: int, bias: bool = False) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(channels, 2 * hidden, 1, bias=bias)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=bias)
        self.project_out = nn.Conv2d(hidden, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(a) * b)
        return out


class TransformerBlock(nn.Module):
    """``x + attn(norm1(x))``, then ``x + ffn(norm2(x))``, of ``(B, C, H, W)``."""

    def __init__(self, channels: int, heads: int, hidden: int, bias: bool, norm: Norm) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels, norm)
        self.attn = ChannelAttention(channels, heads, bias)
        self.norm2 = ChannelNorm(channels, norm)
        self.ffn = GatedFeedForward(channels, hidden, bias)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        y: Tensor = x + self.ffn(self.norm2(x))
        return y


class Restormer(ManyHeaded):
    """The network; arguments are those of :class:`~restorekit.methods.multi_output.config.RestormerConfig`.

    Args:
        dim: channels D at full resolution; they double at each of three lower levels, and after the last concatenation.
        num_blocks: blocks of levels 1 to 4; the decoder repeats levels 3 to 1.
        num_refinement_blocks: blocks after the last decoder level.
        heads: attention heads of levels 1 to 4.
        hidden: hidden channels of the feed-forward part for D, 2D, 4D and 8D channels.
        bias: whether the convolutions of blocks, reductions and output have one.
        norm: whether normalisation takes the mean away.
        n_heads: images the last layer gives; 1 is the plain Restormer.
    """

    def __init__(
        self,
        dim: int,
        num_blocks: Four,
        num_refinement_blocks: int,
        heads: Four,
        hidden: Four,
        bias: bool = False,
        norm: Norm = "WithBias",
        n_heads: int = 1,
    ) -> None:
        super().__init__()
        d = dim

        def level(width: int, heads_from: int, blocks: int) -> nn.Sequential:
            """``blocks`` blocks, as wide as level ``width + 1``, with as many heads as level ``heads_from + 1``."""
            arguments = (d * 2**width, heads[heads_from], hidden[width], bias, norm)
            return nn.Sequential(*(TransformerBlock(*arguments) for _ in range(blocks)))

        self.patch_embed = PatchEmbed(d)
        self.encoder_level1 = level(0, 0, num_blocks[0])
        self.down1_2 = Downsample(d)
        self.encoder_level2 = level(1, 1, num_blocks[1])
        self.down2_3 = Downsample(2 * d)
        self.encoder_level3 = level(2, 2, num_blocks[2])
        self.down3_4 = Downsample(4 * d)
        self.latent = level(3, 3, num_blocks[3])
        self.up4_3 = Upsample(8 * d)
        self.reduce_chan_level3 = nn.Conv2d(8 * d, 4 * d, 1, bias=bias)
        self.decoder_level3 = level(2, 2, num_blocks[2])
        self.up3_2 = Upsample(4 * d)
        self.reduce_chan_level2 = nn.Conv2d(4 * d, 2 * d, 1, bias=bias)
        self.decoder_level2 = level(1, 1, num_blocks[1])
        self.up2_1 = Upsample(2 * d)
        self.decoder_level1 = level(1, 0, num_blocks[0])
        self.refinement = level(1, 0, num_refinement_blocks)
        self.output = nn.Conv2d(2 * d, 3 * n_heads, 3, padding=1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """The heads ``(B, n_heads, 3, H, W)`` for an image ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped."""
        e1 = self.encoder_level1(self.patch_embed(reflect_to_multiple(image, MULTIPLE)))
        e2 = self.encoder_level2(self.down1_2(e1))
        e3 = self.encoder_level3(self.down2_3(e2))
        x = self.latent(self.down3_4(e3))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat([self.up4_3(x), e3], 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat([self.up3_2(x), e2], 1)))
        x = self.refinement(self.decoder_level1(torch.cat([self.up2_1(x), e1], 1)))
        return add_to_image(self.output(x), image)
