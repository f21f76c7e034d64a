"""The network a configuration describes.

Every backbone takes images ``(B, 3, H, W)``, RGB in [0, 1], of any size, and gives heads ``(B, n, 3, H, W)``. Those of several
stages take ``every_stage=True`` too and give ``(B, stages, n, 3, H, W)``, the answer last.
"""

from __future__ import annotations

from restorekit.methods.multi_output.config import MultiOutputConfig
from restorekit.methods.multi_output.deconvolution import BlindDeconvolution
from restorekit.methods.multi_output.heads import ManyHeaded
from restorekit.methods.multi_output.hinet import HINet
from restorekit.methods.multi_output.mprnet import MPRNet
from restorekit.methods.multi_output.nafnet import NAFNet
from restorekit.methods.multi_output.restormer import Restormer


def build_network(config: MultiOutputConfig) -> ManyHeaded:
    """A backbone with fresh weights."""
    network = _backbone(config)
    network.gives_image = config.answer == "cautious"
    network.region = config.doubt_region if network.gives_image else 0
    return network


def _backbone(config: MultiOutputConfig) -> ManyHeaded:
    heads = config.n_heads
    if (r := config.restormer) is not None:
        return Restormer(r.dim, r.num_blocks, r.num_refinement_blocks, r.heads, r.hidden, r.bias, r.LayerNorm_type, n_heads=heads)
    if (h := config.hinet) is not None:
        return HINet(h.wf, h.depth, h.relu_slope, h.hin_position_left, h.hin_position_right, n_heads=heads)
    if (m := config.mprnet) is not None:
        return MPRNet(m.n_feat, m.scale_unetfeats, m.scale_orsnetfeats, m.num_cab, m.reduction, n_heads=heads)
    return NAFNet(
        config.width,
        config.enc_blk_nums,
        config.middle_blk_num,
        config.dec_blk_nums,
        n_heads=heads,
        train_size=config.train_size,
        deconvolution=None if config.deconvolution is None else BlindDeconvolution(config.deconvolution),
    )
