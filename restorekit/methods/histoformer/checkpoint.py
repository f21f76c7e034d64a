"""What the keys and shapes of a checkpoint tell of its network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from math import ceil
from typing import NoReturn

import torch
from torch import Tensor

from restorekit.errors import CheckpointError
from restorekit.methods.histoformer import METHOD, HistoformerConfig

_LEVELS = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
_EMBEDDING = "patch_embed.proj.weight"
_TEMPERATURE, _PROJECTION = "{}.0.attn_g.temperature", "{}.0.ffn.project_out.weight"


def read_config(state: Mapping[str, Tensor]) -> HistoformerConfig:
    """See :meth:`restorekit.methods.histoformer.Histoformer.config_from_state_dict`."""
    telling = [_EMBEDDING, *(key.format(level) for level in _LEVELS for key in (_TEMPERATURE, _PROJECTION)), "output.weight"]
    _refuse_missing(telling, state)
    dim, colours = state[_EMBEDDING].shape[:2]
    if colours != 3:
        _refuse(f"{_EMBEDDING} takes {colours} channels instead of 3")
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
            ffn_expansion_factor=_expansion_factor([dim, 2 * dim, 4 * dim, 8 * dim], hidden),
            bias="output.bias" in state,
        )
    except ValueError as error:
        _refuse(str(error))
    with torch.device("meta"):
        _refuse_missing(METHOD.build(config).state_dict(), state)
    return config


def _count_blocks(state: Mapping[str, Tensor], level: str) -> int:
    return next(i for i in count() if f"{level}.{i}.attn_g.temperature" not in state)


def _expansion_factor(channels: Sequence[int], hidden: Sequence[int]) -> float:
    """A factor that gives these hidden channels at all levels: the published one if it does, else the shortest decimal."""
    least = max(h / c for c, h in zip(channels, hidden, strict=True))
    candidates = (2.667, *(ceil(round(least * 10**digits, 6)) / 10**digits for digits in range(7)))
    for factor in candidates:
        if all(int(c * factor) == h for c, h in zip(channels, hidden, strict=True)):
            return factor
    raise ValueError(f"hidden channels {list(hidden)} of the levels follow from no one ffn_expansion_factor")


def _refuse_missing(wanted: Iterable[str], state: Mapping[str, Tensor]) -> None:
    missing = [key for key in wanted if key not in state]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        _refuse(f"{', '.join(missing[:10])}{more} {'is' if len(missing) == 1 else 'are'} missing")


def _refuse(problem: str) -> NoReturn:
    raise CheckpointError(f"this is no Histoformer checkpoint: {problem}", "Check which method the file belongs to")
