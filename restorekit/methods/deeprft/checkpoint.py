"""What the keys and shapes of a checkpoint tell of its network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from math import isqrt
from typing import Any

from torch import Tensor

from restorekit.methods.deeprft import METHOD, DeepRftConfig
from restorekit.methods.shapes import count_numbered, refuse, require_fit, require_keys

NETWORK = "DeepRFTv2"
_MODEL = "global_model"
_EMBEDDING = f"{_MODEL}.patch_embed_maxs.0.proj.weight"
_RESPONSE = f"{_MODEL}.kernel_estimator.0.end_ker1.norm.weight"
_COLUMNS = {"enc_max": "subnets_max", "dec_max": "subdenets_max", "enc_mid": "subnets_mid", "dec_mid": "subdenets_mid"}
_KERNELS = f"{_MODEL}.kernel_estimator.0.subnets_ker"


def read_config(state: Mapping[str, Tensor]) -> DeepRftConfig:
    """See :meth:`restorekit.methods.deeprft.DeepRft.config_from_state_dict`."""
    first = [f"{_MODEL}.{column}.0.level{level}.blocks.0.norm1.weight" for column in _COLUMNS.values() for level in range(3)]
    kernels = [f"{_KERNELS}.level{level}.blocks.0.norm1.weight" for level in range(4)]
    require_keys(NETWORK, [_EMBEDDING, _RESPONSE, *first, *kernels], state)
    channels, colours = state[_EMBEDDING].shape[:2]
    patch = isqrt(colours // 3)
    if colours != 3 * patch**2 or not patch:
        refuse(NETWORK, f"{_EMBEDDING} takes {colours} channels, which is no square number of colours")
    stages = count_numbered(state, f"{_MODEL}.patch_embed_maxs.{{}}.proj.weight")
    tables: dict[str, Any] = {}
    for name, column in _COLUMNS.items():
        levels = [[f"{_MODEL}.{column}.{i}.level{level}.blocks" for level in range(3)] for i in range(stages)]
        tables[f"{name}_layers"] = tuple(
            tuple(count_numbered(state, f"{level}.{{}}.norm1.weight") for level in stage) for stage in levels
        )
        tables[f"baseblock_{name}"] = tuple(
            tuple("NAFEVSBlock" if f"{level}.0.lamb_g" in state else "naf" for level in stage) for stage in levels
        )
    blocks = [f"{_KERNELS}.level{level}.blocks" for level in range(4)]
    try:
        config = DeepRftConfig(
            calm=False,
            dims=channels,
            dims_ker=state[_RESPONSE].shape[0],
            baseblock_enc_ker=tuple("EVSS" if f"{level}.0.attn.A_logs" in state else "naf" for level in blocks),  # type: ignore[arg-type]
            enc_ker_layers=tuple(count_numbered(state, f"{level}.{{}}.norm1.weight") for level in blocks),  # type: ignore[arg-type]
            patch=patch,
            **tables,
        )
    except ValueError as error:
        refuse(NETWORK, str(error))
    require_fit(NETWORK, partial(METHOD.build, config), state)
    return config
