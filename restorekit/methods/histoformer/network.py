"""Histoformer: a U-Net of histogram transformer blocks that takes rain, snow, fog and drops off a photograph.

Paper: "Restoring Images in Adverse Weather Conditions via Histogram Transformer" (ECCV 2024, https://arxiv.org/abs/2407.10172).
State dicts have the authors' keys and shapes.

What differs from the published code, at equal numbers: attention and feed-forward take fewer passes over less memory (see
:mod:`~restorekit.methods.histoformer.attention` and :mod:`~restorekit.methods.histoformer.blocks`). Equal values keep their order
when they are sorted, where the published code leaves it open. Any image size works: the image is padded here, by reflection,
and the answer cropped.

On purpose, in our small configuration: with ``fold`` blocks of pixels enter as channels and leave as pixels again, so that none
is lost and everything between costs ``fold**2`` times less.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.layers import Downsample, PatchEmbed, Upsample, crop_to, reflect_to_multiple
from restorekit.methods.histoformer.blocks import Level, Norm, SkipPatchEmbed, TransformerBlock

MULTIPLE = 8
Four = tuple[int, int, int, int]


class Histoformer(nn.Module):
    """The network; arguments are those of :class:`~restorekit.methods.histoformer.HistoformerConfig`.

    Args:
        dim: channels D at full resolution; they double at each of three lower levels, and after the last concatenation.
        num_blocks: blocks of levels 1 to 4; the decoder repeats levels 3 to 1.
        num_refinement_blocks: blocks after the last decoder level.
        heads: heads and histogram bins of levels 1 to 4.
        hidden: hidden channels of the feed-forward part for D, 2D, 4D and 8D channels.
        bias: whether the convolutions of blocks, reductions and output have one.
        norm: the form of :class:`~restorekit.methods.histoformer.blocks.ChannelNorm`.
        fold: blocks of fold x fold pixels are one pixel of level 1.
    """

    def __init__(
        self,
        dim: int,
        num_blocks: Four,
        num_refinement_blocks: int,
        heads: Four,
        hidden: Four,
        bias: bool,
        norm: Norm,
        fold: int,
    ) -> None:
        super().__init__()
        d = dim
        self.fold = fold

        def level(width: int, heads_from: int, blocks: int) -> Level:
            """``blocks`` blocks, as wide as level ``width + 1``, with as many heads as level ``heads_from + 1``."""
            arguments = (d * 2**width, heads[heads_from], hidden[width], bias, norm)
            return Level(*(TransformerBlock(*arguments) for _ in range(blocks)))

        self.patch_embed = PatchEmbed(d, 3 * fold**2)
        self.encoder_level1 = level(0, 0, num_blocks[0])
        self.down1_2 = Downsample(d)
        self.skip_patch_embed1 = SkipPatchEmbed()
        self.reduce_chan_level_1 = nn.Conv2d(2 * d + 3, 2 * d, 1, bias=bias)
        self.encoder_level2 = level(1, 1, num_blocks[1])
        self.down2_3 = Downsample(2 * d)
        self.skip_patch_embed2 = SkipPatchEmbed()
        self.reduce_chan_level_2 = nn.Conv2d(4 * d + 3, 4 * d, 1, bias=bias)
        self.encoder_level3 = level(2, 2, num_blocks[2])
        self.down3_4 = Downsample(4 * d)
        self.skip_patch_embed3 = SkipPatchEmbed()
        self.reduce_chan_level_3 = nn.Conv2d(8 * d + 3, 8 * d, 1, bias=bias)
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
        self.output = nn.Conv2d(2 * d, 3 * fold**2, 3, padding=1, bias=bias)

    def forward(self, image: Tensor) -> Tensor:
        """The restored image for ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        The image is added in its own precision, so that under autocast only the correction is rounded.
        """
        height, width = image.shape[-2:]
        padded = reflect_to_multiple(image, MULTIPLE * self.fold)
        e1 = self.encoder_level1(self.patch_embed(F.pixel_unshuffle(padded, self.fold)))
        half = self.skip_patch_embed1(F.avg_pool2d(padded, self.fold))
        e2 = self.encoder_level2(self.reduce_chan_level_1(_cat(self.down1_2(e1), half)))
        quarter = self.skip_patch_embed2(half)
        e3 = self.encoder_level3(self.reduce_chan_level_2(_cat(self.down2_3(e2), quarter)))
        eighth = self.skip_patch_embed3(quarter)
        x = self.latent(self.reduce_chan_level_3(_cat(self.down3_4(e3), eighth)))
        x = self.decoder_level3(self.reduce_chan_level3(_cat(self.up4_3(x), e3)))
        x = self.decoder_level2(self.reduce_chan_level2(_cat(self.up3_2(x), e2)))
        x = self.refinement(self.decoder_level1(_cat(self.up2_1(x), e1)))
        return crop_to(F.pixel_shuffle(self.output(x), self.fold), height, width) + image


def _cat(*maps: Tensor) -> Tensor:
    return torch.cat(maps, 1)
