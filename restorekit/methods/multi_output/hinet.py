"""HINet with one or several heads: two U-Nets in a row, whose lower levels normalise half of their channels.

Papers: "HINet: Half Instance Normalization Network for Image Restoration" (2021, arXiv 2105.06086) and "Multi-Outputs Is All You
Need For Deblur" (2022, arXiv 2208.13029). State dicts have the authors' keys and shapes. The published "local" class is this one:
it has no global means to make local but those of the instance normalisation, which it leaves.

What differs from the published code, at equal numbers: half of a map is normalised without taking it apart
(:func:`normalise_half`); only the n heads are computed, as the pair averages follow from them; the image is padded here, so that
any size works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple
from restorekit.methods.multi_output.heads import ManyHeaded, SupervisedAttention, add_to_image


class HINBlock(nn.Module):
    """``leaky(conv_2(leaky(half_norm(conv_1(x))))) + identity(x)``, ``(B, C, H, W)`` to ``(B, C', H, W)``.

    ``half_norm`` is an instance normalisation of the first half of the channels, or nothing; ``identity`` is a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, slope: float, normed: bool = False) -> None:
        super().__init__()
        self.slope = slope
        self.identity = nn.Conv2d(inputs, outputs, 1)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm = nn.InstanceNorm2d(outputs // 2, affine=True) if normed else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_1(x)
        if self.norm is not None:
            y = normalise_half(y, self.norm)
        y = F.leaky_relu(y, self.slope, inplace=True)
        y = F.leaky_relu(self.conv_2(y), self.slope, inplace=True)
        return y + self.identity(x)


def normalise_half(x: Tensor, norm: nn.InstanceNorm2d) -> Tensor:
    """``x`` of shape ``(B, 2C, H, W)`` with the first C channels instance-normalised as ``norm`` says.

    One factor and one summand for each channel, 1 and 0 for the second half, so that the map is neither split nor put together
    again. Unlike PyTorch's own, works on a map of a single pixel, too.
    """
    first = x[:, : norm.num_features]
    variance, mean = torch.var_mean(first.to(torch.promote_types(x.dtype, torch.float32)), (2, 3), correction=0)
    factor = norm.weight * (variance + norm.eps).rsqrt()
    summand = norm.bias - mean * factor
    factor = torch.cat([factor, torch.ones_like(factor)], 1)[..., None, None]
    summand = torch.cat([summand, torch.zeros_like(summand)], 1)[..., None, None]
    return x * factor + summand


class EncoderBlock(HINBlock):
    """A block of the way down: what the first stage found joins in (``fused``), and ``downsample`` halves the resolution."""

    def __init__(self, inputs: int, outputs: int, slope: float, normed: bool, fused: bool, halved: bool) -> None:
        super().__init__(inputs, outputs, slope, normed)
        if fused:
            self.csff_enc = nn.Conv2d(outputs, outputs, 3, padding=1)
            self.csff_dec = nn.Conv2d(outputs, outputs, 3, padding=1)
        if halved:
            self.downsample = nn.Conv2d(outputs, outputs, 4, stride=2, padding=1, bias=False)

    def fuse(self, x: Tensor, encoded: Tensor, decoded: Tensor) -> Tensor:
        """``x`` plus convolutions of the first stage's encoder and decoder features of this resolution."""
        y: Tensor = x + self.csff_enc(encoded) + self.csff_dec(decoded)
        return y


class DecoderBlock(nn.Module):
    """A block of the way up: ``x`` at twice the size, beside the skip, through an unnormalised :class:`HINBlock`."""

    def __init__(self, inputs: int, outputs: int, slope: float) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.conv_block = HINBlock(2 * outputs, outputs, slope)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        y: Tensor = self.conv_block(torch.cat([self.up(x), skip], 1))
        return y


class HINet(ManyHeaded):
    """The network; arguments are those of :class:`~restorekit.methods.multi_output.config.HINetConfig`.

    Args:
        wf: channels at full resolution, even; they double at each level.
        depth: levels of each U-Net, at least 2.
        relu_slope: slope of the leaky ReLUs below zero.
        hin_position_left: the first level, from 0, whose block of the way down normalises.
        hin_position_right: the last one.
        n_heads: images each stage gives; 1 is the plain HINet.
    """

    def __init__(
        self,
        wf: int,
        depth: int,
        relu_slope: float = 0.2,
        hin_position_left: int = 3,
        hin_position_right: int = 4,
        n_heads: int = 1,
    ) -> None:
        super().__init__()
        widths = [wf * 2**level for level in range(depth)]
        self.multiple = 2 ** (depth - 1)

        def down_path(fused: bool) -> nn.ModuleList:
            return nn.ModuleList(
                EncoderBlock(
                    widths[max(level - 1, 0)],
                    widths[level],
                    relu_slope,
                    normed=hin_position_left <= level <= hin_position_right,
                    fused=fused and level < depth - 1,
                    halved=level < depth - 1,
                )
                for level in range(depth)
            )

        def up_path() -> nn.ModuleList:
            return nn.ModuleList(
                DecoderBlock(widths[level + 1], widths[level], relu_slope) for level in reversed(range(depth - 1))
            )

        def skip_convs() -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for c in reversed(widths[:-1]))

        self.down_path_1, self.down_path_2 = down_path(fused=False), down_path(fused=True)
        self.conv_01, self.conv_02 = nn.Conv2d(3, wf, 3, padding=1), nn.Conv2d(3, wf, 3, padding=1)
        self.up_path_1, self.up_path_2 = up_path(), up_path()
        self.skip_conv_1, self.skip_conv_2 = skip_convs(), skip_convs()
        self.sam12 = SupervisedAttention(wf, n_heads, 3, bias=True)
        self.cat12 = nn.Conv2d(2 * wf, wf, 1)
        self.last = nn.Conv2d(wf, 3 * n_heads, 3, padding=1)

    def forward(self, image: Tensor, every_stage: bool = False) -> Tensor:
        """The heads for an image ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        Returns:
            ``(B, n_heads, 3, H, W)``; with ``every_stage``, ``(B, 2, n_heads, 3, H, W)``, the second stage's being the answer.
        """
        padded = reflect_to_multiple(image, self.multiple)
        encoded, x = _encode(self.conv_01(padded), self.down_path_1)
        decoded = _decode(x, encoded, self.up_path_1, self.skip_conv_1)
        features, first = self.sam12(decoded[0], padded)
        x = self.cat12(torch.cat([self.conv_02(padded), features], 1))
        skips, x = _encode(x, self.down_path_2, list(zip(encoded, decoded, strict=True)))
        x = _decode(x, skips, self.up_path_2, self.skip_conv_2)[0]
        heads = add_to_image(self.last(x), image)
        return torch.stack([crop_to(first, *image.shape[-2:]), heads], 1) if every_stage else heads


def _encode(x: Tensor, path: nn.ModuleList, earlier: Sequence[tuple[Tensor, Tensor]] = ()) -> tuple[list[Tensor], Tensor]:
    """The skips of all levels but the last, finest first, and the last level's features.

    ``earlier`` are the first stage's encoder and decoder features of the skips' levels.
    """
    *upper, last = cast("list[EncoderBlock]", list(path))
    skips = []
    for level, block in enumerate(upper):
        x = block(x)
        if earlier:
            x = block.fuse(x, *earlier[level])
        skips.append(x)
        x = block.downsample(x)
    return skips, last(x)


def _decode(x: Tensor, skips: Sequence[Tensor], path: nn.ModuleList, skip_convs: nn.ModuleList) -> list[Tensor]:
    """The features of all levels but the last, finest first."""
    features: list[Tensor] = []
    for block, conv, skip in zip(path, skip_convs, reversed(skips), strict=True):
        x = block(x, conv(skip))
        features.insert(0, x)
    return features
