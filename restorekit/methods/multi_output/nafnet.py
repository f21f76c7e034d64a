"""NAFNet with several heads: one blurred photograph in, n sharp candidates out.

Papers: "Simple Baselines for Image Restoration" (NAFNet, 2022, arXiv 2204.04676), "Multi-Outputs Is All You Need For Deblur"
(2022, arXiv 2208.13029) and, for the local means, TLC (2021, arXiv 2112.04491). State dicts have the authors' keys and shapes.

What differs from the published code, at equal numbers: layer normalisation runs through PyTorch's fused kernel; local means take
two one-dimensional passes; only the n heads are computed, as the pair averages of "parameter multiplexing" follow from them
(:func:`~restorekit.methods.multi_output.heads.pair_means`); the padded size is used throughout, so that any image size works.
"""

from __future__ import annotations

from torch import Tensor, nn

from restorekit.layers import pad_to_multiple
from restorekit.layers.naf import NAFBlock
from restorekit.methods.multi_output.deconvolution import BlindDeconvolution, Pass
from restorekit.methods.multi_output.heads import ManyHeaded, add_to_image

Window = tuple[int, int]


class NAFNet(ManyHeaded):
    """U-shaped NAFNet whose last layer gives ``n_heads`` images.

    Args:
        width: channels at full resolution; they double at each level.
        enc_blk_nums: blocks of each encoder level, finest first.
        middle_blk_num: blocks at the coarsest resolution.
        dec_blk_nums: blocks of each decoder level, coarsest first.
        n_heads: images the last layer gives; 1 is the plain NAFNet.
        train_size: rows and columns of the training crops. Given, channel attention takes means over windows of 1.5 times that
            size (TLC) instead of the whole map; None leaves them global.
        deconvolution: a second stage, which corrects the heads.
    """

    def __init__(
        self,
        width: int,
        enc_blk_nums: tuple[int, ...],
        middle_blk_num: int,
        dec_blk_nums: tuple[int, ...],
        n_heads: int = 1,
        train_size: tuple[int, int] | None = None,
        deconvolution: BlindDeconvolution | None = None,
    ) -> None:
        super().__init__()
        levels = len(enc_blk_nums)
        windows = tlc_windows(train_size, levels)
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
        self.deconvolution = deconvolution

    def forward(self, image: Tensor, every_pass: bool = False) -> Tensor | list[Pass]:
        """The heads ``(B, n_heads, 3, H, W)`` for an image ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        With ``every_pass`` those of each pass of the second stage, which there must be, and what was found on the way.
        """
        x = self.intro(pad_to_multiple(image, self.multiple))
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle_blks(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x = decoder(up(x) + skips.pop())
        heads = add_to_image(self.ending(x), image)
        if self.deconvolution is None:
            return heads
        passes: list[Pass] = self.deconvolution(image, heads)
        return passes if every_pass else passes[-1].heads


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
