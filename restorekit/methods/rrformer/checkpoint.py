"""What the keys and shapes of a checkpoint tell of its network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, count
from math import isqrt
from typing import Any, NoReturn

import torch
from torch import Tensor

from restorekit.errors import CheckpointError
from restorekit.methods.rrformer import LEVEL_CHANNELS, METHOD, RrformerConfig
from restorekit.methods.rrformer.vgg import LEVELS, imagenet_weights

_BODY = "swinir_block."
_TABLE, _FC1 = (
    f"{_BODY}layers.{{}}.residual_group.blocks.{{}}.{name}" for name in ("attn.relative_position_bias_table", "mlp.fc1.weight")
)
_CONVOLUTIONS = ("conv1.conv2d.weight", "conv3.conv2d.weight", "deconv3.conv2d.weight")
_FIRST_BLOCK = (_TABLE.format(0, 0), _FC1.format(0, 0))


def read_config(state: Mapping[str, Tensor]) -> RrformerConfig:
    """See :meth:`restorekit.methods.rrformer.Rrformer.config_from_state_dict`."""
    (n_feats, inputs, *_), (dim, *_), (outputs, *_) = _shapes(state, _CONVOLUTIONS, 4)
    fold = isqrt(outputs // 3)
    try:
        config = RrformerConfig(
            n_feats=n_feats, dim=dim, hyper_levels=_levels(inputs - 3 * fold**2), fold=fold, **_body(state, dim)
        )
    except ValueError as error:
        _refuse(str(error))
    _refuse_misfits(config, state)
    return config


def with_vgg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """See :meth:`restorekit.methods.rrformer.Rrformer.convert_state_dict`."""
    levels = read_config(state).hyper_levels
    if not levels or any(key.startswith("features.") for key in state):
        return dict(state)
    return {**state, **{f"features.{key}": value for key, value in imagenet_weights(LEVELS[levels - 1]).items()}}


def _shapes(state: Mapping[str, Tensor], keys: Sequence[str], dimensions: int) -> list[tuple[int, ...]]:
    _refuse_missing(keys, state)
    shapes = [tuple(state[key].shape) for key in keys]
    if any(len(shape) != dimensions for shape in shapes):
        _refuse(f"{', '.join(keys)} must have {dimensions} dimensions")
    return shapes


def _levels(channels: int) -> int:
    """How many levels of VGG-19 have so many channels together."""
    sums = [0, *accumulate(LEVEL_CHANNELS)]
    if channels not in sums:
        _refuse(f"{_CONVOLUTIONS[0]} takes {channels} channels besides the image, which no levels of VGG-19 add up to")
    return sums.index(channels)


def _body(state: Mapping[str, Tensor], dim: int) -> dict[str, Any]:
    """The settings of the body, and with it those that no shape tells: as published if the authors' constants are there."""
    if not any(key.startswith(_BODY) for key in state):
        return {"use_body": False}
    (offsets, _), (hidden, _) = _shapes(state, _FIRST_BLOCK, 2)
    window = (isqrt(offsets) + 1) // 2
    groups = _count(state, lambda group: _TABLE.format(group, 0))
    settings: dict[str, Any] = {
        "depths": tuple(_count(state, partial(_TABLE.format, group)) for group in range(groups)),
        "heads": tuple(state[_TABLE.format(group, 0)].shape[1] for group in range(groups)),
        "window": window,
        "mlp_ratio": hidden / dim,
    }
    if f"{_BODY}conv_last.weight" in state:
        masks = (value.shape[0] for key, value in state.items() if key.endswith(".attn_mask"))
        published = METHOD.presets["paper"]
        names = ("train_vgg", "residual", "whole_cells", "smooth_cells", "calm_groups", "drop_path_rate", "patch_size")
        settings |= {name: getattr(published, name) for name in names}
        settings |= {"use_body": _is_taught(state), "img_size": isqrt(next(masks, 1)) * window * published.patch_size}
    return settings


def _count(state: Mapping[str, Tensor], key: Callable[[int], str]) -> int:
    return next(i for i in count() if key(i) not in state)


def _is_taught(state: Mapping[str, Tensor]) -> bool:
    """Whether a gradient ever reached the body: its normalisations and the biases of its linear layers are not all as made."""
    for key, value in state.items():
        inner = key.removeprefix(_BODY)
        if inner == key:
            continue
        if value.is_meta:
            return True  # it has no values to tell by
        layer, _, kind = inner.rpartition(".")
        if "norm" in layer.rpartition(".")[2]:
            fresh = 1.0 if kind == "weight" else 0.0
        elif kind == "bias" and layer.endswith(("qkv", "proj", "fc1", "fc2")):
            fresh = 0.0
        else:
            continue
        if not bool((value == fresh).all()):
            return True
    return False


def _refuse_misfits(config: RrformerConfig, state: Mapping[str, Tensor]) -> None:
    """Every key but VGG-19's, which the authors' checkpoints do not hold, must be there in the right shape."""
    with torch.device("meta"):
        own = {key: tuple(value.shape) for key, value in METHOD.build(config).state_dict().items()}
    _refuse_missing([key for key in own if not key.startswith("features.")], state)
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {shape}"
        for key, shape in own.items()
        if key in state and state[key].shape != shape
    ]
    if wrong:
        _refuse(f"of another shape {'is' if len(wrong) == 1 else 'are'} {_some(wrong)}")


def _refuse_missing(wanted: Iterable[str], state: Mapping[str, Tensor]) -> None:
    missing = [key for key in wanted if key not in state]
    if missing:
        _refuse(f"{_some(missing)} {'is' if len(missing) == 1 else 'are'} missing")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _refuse(problem: str) -> NoReturn:
    raise CheckpointError(f"this is no RRFormer checkpoint: {problem}", "Check which method the file belongs to")
