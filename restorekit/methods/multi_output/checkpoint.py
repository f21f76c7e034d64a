"""What the keys and shapes of a checkpoint tell of its backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial

from torch import Tensor

from restorekit.errors import CheckpointError
from restorekit.methods.multi_output.config import HINetConfig, MPRNetConfig, MultiOutputConfig, RestormerConfig
from restorekit.methods.multi_output.network import build_network
from restorekit.methods.shapes import count_numbered, expansion_factor, refuse, require_fit, require_keys

State = Mapping[str, Tensor]

_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")


def read_config(state: State) -> MultiOutputConfig:
    """See :meth:`restorekit.methods.multi_output.MultiOutput.config_from_state_dict`."""
    for network, (key, last, read) in _BACKBONES.items():
        if key not in state:
            continue
        require_keys(network, [last], state)
        try:
            config = read(state, state[last].shape[0] // 3)
        except ValueError as error:
            refuse(network, str(error))
        require_fit(network, partial(build_network, config), state)
        return config
    problem = "this is no NAFNet, Restormer, HINet or MPRNet checkpoint: it has none of the keys "
    raise CheckpointError(problem + ", ".join(key for key, _, _ in _BACKBONES.values()), "Check which method the file belongs to")


def _read_nafnet(state: State, n_heads: int) -> MultiOutputConfig:
    blocks = Counter(key.rsplit(".", 2)[0] for key in state if key.endswith(".conv1.weight"))
    levels = Counter(block.rsplit(".", 1)[0] for block in blocks)
    depth = sum(level.startswith("encoders.") for level in levels)
    return MultiOutputConfig(
        width=state["intro.weight"].shape[0],
        enc_blk_nums=tuple(levels[f"encoders.{level}"] for level in range(depth)),
        middle_blk_num=levels["middle_blks"],
        dec_blk_nums=tuple(levels[f"decoders.{level}"] for level in range(depth)),
        n_heads=n_heads,
    )


def _read_restormer(state: State, n_heads: int) -> MultiOutputConfig:
    temperatures = [f"{level}.{{}}.attn.temperature" for level in _LEVELS]
    projections = [f"{level}.0.ffn.project_out.weight" for level in _LEVELS]
    require_keys("Restormer", ["patch_embed.proj.weight", *(key.format(0) for key in temperatures), *projections], state)
    dim = state["patch_embed.proj.weight"].shape[0]
    hidden = [state[key].shape[1] for key in projections]
    blocks1, blocks2, blocks3, blocks4 = (count_numbered(state, key) for key in temperatures)
    heads1, heads2, heads3, heads4 = (state[key.format(0)].shape[0] for key in temperatures)
    shape = RestormerConfig(
        dim=dim,
        num_blocks=(blocks1, blocks2, blocks3, blocks4),
        num_refinement_blocks=count_numbered(state, "refinement.{}.attn.temperature"),
        heads=(heads1, heads2, heads3, heads4),
        ffn_expansion_factor=expansion_factor([dim, 2 * dim, 4 * dim, 8 * dim], hidden, published=2.66),
        bias="output.bias" in state,
        LayerNorm_type="WithBias" if "encoder_level1.0.norm1.body.bias" in state else "BiasFree",
    )
    return MultiOutputConfig(n_heads=n_heads, backbone="restormer", restormer=shape)


def _read_hinet(state: State, n_heads: int) -> MultiOutputConfig:
    depth = count_numbered(state, "down_path_1.{}.conv_1.weight")
    normed = [level for level in range(depth) if f"down_path_1.{level}.norm.weight" in state]
    shape = HINetConfig(
        wf=state["down_path_1.0.conv_1.weight"].shape[0],
        depth=depth,
        hin_position_left=normed[0] if normed else 0,
        hin_position_right=normed[-1] if normed else -1,
    )
    return MultiOutputConfig(n_heads=n_heads, backbone="hinet", hinet=shape)


def _read_mprnet(state: State, n_heads: int) -> MultiOutputConfig:
    widened, last, squeezed = "stage1_encoder.down12.down.1.weight", "concat23.weight", "shallow_feat1.1.CA.conv_du.0.weight"
    require_keys("MPRNet", [widened, last, squeezed], state)
    n_feat = state["shallow_feat1.0.weight"].shape[0]
    shape = MPRNetConfig(
        n_feat=n_feat,
        scale_unetfeats=state[widened].shape[0] - n_feat,
        scale_orsnetfeats=state[last].shape[0] - n_feat,
        num_cab=count_numbered(state, "stage3_orsnet.orb1.body.{}.body.0.weight"),
        reduction=_reduction([(value.shape[1], value.shape[0]) for key, value in state.items() if "conv_du.0.weight" in key]),
    )
    return MultiOutputConfig(n_heads=n_heads, backbone="mprnet", mprnet=shape)


def _reduction(widths: list[tuple[int, int]]) -> int:
    """The reduction that squeezes these numbers of channels to those: the published one if it does."""
    for reduction in (4, *range(1, max(channels for channels, _ in widths) + 1)):
        if all(channels // reduction == squeezed for channels, squeezed in widths):
            return reduction
    raise ValueError("the channels inside its channel attention follow from no one reduction")


_BACKBONES = {
    "NAFNet": ("intro.weight", "ending.weight", _read_nafnet),
    "Restormer": ("encoder_level1.0.attn.qkv_dwconv.weight", "output.weight", _read_restormer),
    "HINet": ("down_path_1.0.conv_1.weight", "last.weight", _read_hinet),
    "MPRNet": ("shallow_feat1.0.weight", "tail.weight", _read_mprnet),
}
"""Of each backbone: a key only it has, the key of its last layer, and what reads its shape."""
