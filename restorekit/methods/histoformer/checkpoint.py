"""What the keys and shapes of a checkpoint tell of its network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import isqrt

from torch import Tensor

from restorekit.methods.histoformer import METHOD, HistoformerConfig
from restorekit.methods.shapes import count_numbered, expansion_factor, refuse, require_fit, require_keys

NETWORK = "Histoformer"
_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
_EMBEDDING = "patch_embed.proj.weight"
_TEMPERATURE, _PROJECTION = "{}.0.attn_g.temperature", "{}.0.ffn.project_out.weight"


def read_config(state: Mapping[str, Tensor]) -> HistoformerConfig:
    """See :meth:`restorekit.methods.histoformer.Histoformer.config_from_state_dict`."""
    telling = [_EMBEDDING, *(key.format(level) for level in _LEVELS for key in (_TEMPERATURE, _PROJECTION)), "output.weight"]
    require_keys(NETWORK, telling, state)
    dim, colours = state[_EMBEDDING].shape[:2]
    fold = isqrt(colours // 3)
    if fold < 1 or colours != 3 * fold**2:
        refuse(NETWORK, f"{_EMBEDDING} takes {colours} channels, which is no folded RGB image")
    one, two, three, four = (_PROJECTION.format(level) for level in _LEVELS)
    hidden = [state[key].shape[1] for key in (one, two, three, four)]
    blocks1, blocks2, blocks3, blocks4 = (_count_blocks(state, level) for level in _LEVELS)
    heads1, heads2, heads3, heads4 = (state[_TEMPERATURE.format(level)].shape[0] for level in _LEVELS)
    try:
        config = HistoformerConfig(
            dim=dim,
            num_blocks=(blocks1, blocks2, blocks3, blocks4),
            num_refinement_blocks=_count_blocks(state, "refinement"),
            heads=(heads1, heads2, heads3, heads4),
            ffn_expansion_factor=expansion_factor([dim, 2 * dim, 4 * dim, 8 * dim], hidden, published=2.667),
            bias="output.bias" in state,
            fold=fold,
        )
    except ValueError as error:
        refuse(NETWORK, str(error))
    require_fit(NETWORK, partial(METHOD.build, config), state)
    return config


def _count_blocks(state: Mapping[str, Tensor], level: str) -> int:
    return count_numbered(state, f"{level}.{{}}.attn_g.temperature")
