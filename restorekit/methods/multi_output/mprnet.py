"""MPRNet with one or several heads: three stages, on quarters, on halves, on the whole image.

Papers: "Multi-Stage Progressive Image Restoration" (MPRNet, 2021, arXiv 2102.02808) and "Multi-Outputs Is All You Need For
Deblur" (2022, arXiv 2208.13029). State dicts have the authors' keys and shapes; the one PReLU slope appears under many keys, of
which the last counts.

What differs from the published code, at equal numbers: quarters and halves go through as a batch; 1x1 convolutions run before
maps are enlarged, not after (see :class:`UpSample`, :class:`OriginalResolution`); only the n heads are computed, as the pair
averages follow from them; the image is padded here, so that any size works.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple
from restorekit.methods.multi_output.heads import ManyHeaded, SupervisedAttention, add_to_image

MULTIPLE = 8
Levels = list[Tensor]
"""Features of levels 1, 2, 3: the full size, a half, a quarter."""


def conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class ChannelGate(nn.Module):
    """A factor in (0, 1) for each channel of ``(B, C, H, W)``, from the global means: ``(B, C, 1, 1)``."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        squeezed = channels // reduction
        self.conv_du = nn.Sequential(conv1x1(channels, squeezed), nn.ReLU(), conv1x1(squeezed, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        factors: Tensor = self.conv_du(x.mean((2, 3), keepdim=True))
        return factors


class ChannelAttentionBlock(nn.Module):
    """``x + y * CA(y)``, ``y = conv(act(conv(x)))``, of ``(B, C, H, W)``. ``act`` is one and the same for the whole network."""

    def __init__(self, channels: int, reduction: int, act: nn.PReLU) -> None:
        super().__init__()
        self.CA = ChannelGate(channels, reduction)
        self.body = nn.Sequential(conv3x3(channels, channels), act, conv3x3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return torch.addcmul(x, y, self.CA(y))


class Blocks:
    """Makes the blocks of one network, which share ``reduction`` and the slope of their activation."""

    def __init__(self, reduction: int) -> None:
        self.reduction = reduction
        self.act = nn.PReLU()

    def one(self, channels: int) -> ChannelAttentionBlock:
        return ChannelAttentionBlock(channels, self.reduction, self.act)

    def row(self, channels: int, count: int = 2) -> nn.Sequential:
        return nn.Sequential(*(self.one(channels) for _ in range(count)))


class DownSample(nn.Module):
    """Half the size, other channels: bilinear, which is the mean of 2x2 pixels, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.AvgPool2d(2), conv1x1(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.down(x)
        return halved


class UpSample(nn.Module):
    """Twice the size, other channels: bilinear, and a 1x1 convolution.

    One mixes pixels, the other channels, so either may come first. Here the convolution does, on a quarter of the pixels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(nn.Identity(), conv1x1(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return enlarge(self.up(x))


def mix(x: Tensor, path: Iterable[nn.Module]) -> Tensor:
    """``x`` through the 1x1 convolutions of some :class:`UpSample` in a row, and not enlarged."""
    for part in path:
        x = cast(UpSample, part).up(x)
    return x


def enlarge(x: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, C, 2H, 2W)``, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """Three levels of blocks on the way down; those of a later stage (``fused``) take in what the stage before found."""

    def __init__(self, widths: tuple[int, int, int], blocks: Blocks, fused: bool) -> None:
        super().__init__()
        one, two, three = widths
        self.encoder_level1, self.encoder_level2, self.encoder_level3 = (blocks.row(c) for c in widths)
        self.down12, self.down23 = DownSample(one, two), DownSample(two, three)
        if fused:
            self.csff_enc1, self.csff_enc2, self.csff_enc3 = (conv1x1(c, c) for c in widths)
            self.csff_dec1, self.csff_dec2, self.csff_dec3 = (conv1x1(c, c) for c in widths)
        self.fused = fused

    def forward(self, x: Tensor, encoded: Levels | None = None, decoded: Levels | None = None) -> Levels:
        """Features of all levels, of ``(B, C, H, W)`` and, if fused, the encoder and decoder features of the stage before."""
        e1 = self.encoder_level1(x)
        if self.fused and encoded and decoded:
            e1 = e1 + self.csff_enc1(encoded[0]) + self.csff_dec1(decoded[0])
        e2 = self.encoder_level2(self.down12(e1))
        if self.fused and encoded and decoded:
            e2 = e2 + self.csff_enc2(encoded[1]) + self.csff_dec2(decoded[1])
        e3 = self.encoder_level3(self.down23(e2))
        if self.fused and encoded and decoded:
            e3 = e3 + self.csff_enc3(encoded[2]) + self.csff_dec3(decoded[2])
        return [e1, e2, e3]


class Decoder(nn.Module):
    """Three levels of blocks on the way up; skips pass through a block of their own."""

    def __init__(self, widths: tuple[int, int, int], blocks: Blocks) -> None:
        super().__init__()
        one, two, three = widths
        self.decoder_level1, self.decoder_level2, self.decoder_level3 = (blocks.row(c) for c in widths)
        self.skip_attn1, self.skip_attn2 = blocks.one(one), blocks.one(two)
        self.up21, self.up32 = UpSample(two, one), UpSample(three, two)

    def forward(self, encoded: Levels) -> Levels:
        e1, e2, e3 = encoded
        d3 = self.decoder_level3(e3)
        d2 = self.decoder_level2(self.up32(d3) + self.skip_attn2(e2))
        d1 = self.decoder_level1(self.up21(d2) + self.skip_attn1(e1))
        return [d1, d2, d3]


class OriginalResolutionBlock(nn.Module):
    """Blocks and a 3x3 convolution, added to ``x``."""

    def __init__(self, channels: int, blocks: Blocks, count: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*blocks.row(channels, count), conv3x3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.body(x)
        return y


class OriginalResolution(nn.Module):
    """The third stage, at full size: after each of three blocks, one level of the second stage's features joins in.

    The published code enlarges encoder and decoder features, each with a 1x1 convolution after each doubling and one at the end,
    and adds them. Here all 1x1 convolutions run at the level's own size and only their sum is enlarged: the same numbers.
    """

    def __init__(self, widths: tuple[int, int, int], channels: int, blocks: Blocks, num_cab: int) -> None:
        super().__init__()
        one, two, three = widths
        self.orb1, self.orb2, self.orb3 = (OriginalResolutionBlock(channels, blocks, num_cab) for _ in range(3))
        self.up_enc1, self.up_dec1 = UpSample(two, one), UpSample(two, one)
        self.up_enc2 = nn.Sequential(UpSample(three, two), UpSample(two, one))
        self.up_dec2 = nn.Sequential(UpSample(three, two), UpSample(two, one))
        self.conv_enc1, self.conv_enc2, self.conv_enc3 = (conv1x1(one, channels) for _ in range(3))
        self.conv_dec1, self.conv_dec2, self.conv_dec3 = (conv1x1(one, channels) for _ in range(3))

    def forward(self, x: Tensor, encoded: Levels, decoded: Levels) -> Tensor:
        e1, e2, e3 = encoded
        d1, d2, d3 = decoded
        x = self.orb1(x) + self.conv_enc1(e1) + self.conv_dec1(d1)
        half = self.conv_enc2(mix(e2, [self.up_enc1])) + self.conv_dec2(mix(d2, [self.up_dec1]))
        x = self.orb2(x) + enlarge(half)
        quarter = self.conv_enc3(mix(e3, self.up_enc2)) + self.conv_dec3(mix(d3, self.up_dec2))
        y: Tensor = self.orb3(x) + enlarge(enlarge(quarter))
        return y


class MPRNet(ManyHeaded):
    """The network; arguments are those of :class:`~restorekit.methods.multi_output.config.MPRNetConfig`.

    Args:
        n_feat: channels f of level 1.
        scale_unetfeats: channels u more at each lower level.
        scale_orsnetfeats: channels more in the third stage.
        num_cab: blocks in a row there.
        reduction: how many times fewer channels the inside of channel attention has.
        n_heads: images each stage gives; 1 is the plain MPRNet.
    """

    def __init__(
        self, n_feat: int, scale_unetfeats: int, scale_orsnetfeats: int, num_cab: int, reduction: int = 4, n_heads: int = 1
    ) -> None:
        super().__init__()
        f, blocks = n_feat, Blocks(reduction)
        widths = (f, f + scale_unetfeats, f + 2 * scale_unetfeats)
        last = f + scale_orsnetfeats
        self.shallow_feat1, self.shallow_feat2, self.shallow_feat3 = (
            nn.Sequential(conv3x3(3, f), blocks.one(f)) for _ in range(3)
        )
        self.stage1_encoder, self.stage1_decoder = Encoder(widths, blocks, fused=False), Decoder(widths, blocks)
        self.stage2_encoder, self.stage2_decoder = Encoder(widths, blocks, fused=True), Decoder(widths, blocks)
        self.stage3_orsnet = OriginalResolution(widths, last, blocks, num_cab)
        self.sam12 = SupervisedAttention(f, n_heads, 1, bias=False)
        self.sam23 = SupervisedAttention(f, n_heads, 1, bias=False)
        self.concat12, self.concat23 = conv3x3(2 * f, f), conv3x3(2 * f, last)
        self.tail = conv3x3(last, 3 * n_heads)

    def forward(self, image: Tensor, every_stage: bool = False) -> Tensor:
        """The heads for an image ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        Returns:
            ``(B, n_heads, 3, H, W)``; with ``every_stage``, ``(B, 3, n_heads, 3, H, W)``, the last stage's being the answer.
        """
        whole = reflect_to_multiple(image, MULTIPLE)
        halves = split(whole, dim=-2)
        quarters = split(halves, dim=-1)

        e1 = [join(level, dim=-1) for level in self.stage1_encoder(self.shallow_feat1(quarters))]
        d1 = self.stage1_decoder(e1)
        features, first = self.sam12(d1[0], halves)

        x = self.concat12(torch.cat([self.shallow_feat2(halves), features], 1))
        e2 = [join(level, dim=-2) for level in self.stage2_encoder(x, e1, d1)]
        d2 = self.stage2_decoder(e2)
        features, second = self.sam23(d2[0], whole)

        x = self.concat23(torch.cat([self.shallow_feat3(whole), features], 1))
        heads = add_to_image(self.tail(self.stage3_orsnet(x, e2, d2)), image)
        if not every_stage:
            return heads
        return torch.stack([*(crop_to(early, *image.shape[-2:]) for early in (join(first, dim=-2), second)), heads], 1)


def split(x: Tensor, dim: int) -> Tensor:
    """Both halves of ``(B, ...)`` along ``dim`` as a batch of 2B: all first halves, then all second ones."""
    return torch.cat(x.chunk(2, dim), 0)


def join(x: Tensor, dim: int) -> Tensor:
    """Undoes :func:`split`."""
    return torch.cat(x.chunk(2, 0), dim)
