"""How images are cut for each backbone."""

from __future__ import annotations

from restorekit.methods.base import Tiling
from restorekit.methods.multi_output.caution import CELL
from restorekit.methods.multi_output.config import MultiOutputConfig


def tiling_for(config: MultiOutputConfig) -> Tiling:
    """See :meth:`restorekit.methods.base.Method.tiling`.

    All but NAFNet see the whole image, through attention, instance normalisation or means: tiles are a compromise at any overlap,
    best at the size of the training crops and above. NAFNet's local means want to see at least as much as in training.
    """
    if config.restormer is not None:
        return Tiling(multiple=8, halo=None, overlap=32, minimum=128, bytes_per_pixel=150 * config.restormer.dim)
    if config.hinet is not None:
        multiple = 2 ** (config.hinet.depth - 1)
        return Tiling(multiple, halo=None, overlap=64, minimum=max(128, 2 * multiple), bytes_per_pixel=80 * config.hinet.wf)
    if config.mprnet is not None:
        return Tiling(multiple=8, halo=None, overlap=64, minimum=128, bytes_per_pixel=80 * config.mprnet.n_feat)
    levels, stage = len(config.enc_blk_nums), config.deconvolution
    # With a second stage a graph is for one window and little more, and so no tile may have to be larger.
    least = (config.train_size or ()) if stage is None else (stage.window,)
    return Tiling(
        multiple=max(2**levels, CELL if _region(config) else 1),
        halo=_reach(config) if stage is None else None,  # kernels depend on where windows lie, and windows on the tile
        overlap=64,
        minimum=max(2 ** (levels + 1), 64, *least),
        bytes_per_pixel=64 * config.width + (0 if stage is None else 1024),
    )


def _reach(config: MultiOutputConfig) -> int | None:
    """Pixels on each side that can change a NAFNet's answer: 3x3 convolutions and TLC windows of every level, chained, and the
    region of a cautious answer; None if a mean is global.
    """
    if config.train_size is None:
        return None
    levels = len(config.enc_blk_nums)
    window = max(config.train_size) * 384 // 256
    blocks = [e + d for e, d in zip(config.enc_blk_nums, reversed(config.dec_blk_nums), strict=True)]
    reach = 2  # intro and ending
    for level, count in enumerate([*blocks, config.middle_blk_num]):
        reach += count * (2**level + window // 2 + 2**level)
    if region := _region(config):
        reach += region // 2 + 2 * CELL  # what is averaged lies on cells, and between their middles
    return -(-(reach + 2**levels) // 2**levels) * 2**levels


def _region(config: MultiOutputConfig) -> int:
    return config.doubt_region if config.answer == "cautious" else 0
