"""What the keys and shapes of a checkpoint tell of its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import accumulate
from math import isqrt
from typing import Any

from torch import Tensor

from restorekit.methods.rrformer import LEVEL_CHANNELS, METHOD, RrformerConfig
from restorekit.methods.rrformer.vgg import LEVELS, imagenet_weights
from restorekit.methods.shapes import count_numbered, refuse, require_fit, require_keys

NETWORK = "RRFormer"
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
        refuse(NETWORK, str(error))
    require_fit(NETWORK, partial(METHOD.build, config), state, optional="features.")  # VGG-19's, which the authors leave out
    return config


def with_vgg(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """See :meth:`restorekit.methods.rrformer.Rrformer.convert_state_dict`."""
    levels = read_config(state).hyper_levels
    if not levels or any(key.startswith("features.") for key in state):
        return dict(state)
    return {**state, **{f"features.{key}": value for key, value in imagenet_weights(LEVELS[levels - 1]).items()}}


def _shapes(state: Mapping[str, Tensor], keys: Sequence[str], dimensions: int) -> list[tuple[int, ...]]:
    require_keys(NETWORK, keys, state)
    shapes = [tuple(state[key].shape) for key in keys]
    if any(len(shape) != dimensions for shape in shapes):
        refuse(NETWORK, f"{', '.join(keys)} must have {dimensions} dimensions")
    return shapes


def _levels(channels: int) -> int:
    """How many levels of VGG-19 have so many channels together."""
    sums = [0, *accumulate(LEVEL_CHANNELS)]
    if channels not in sums:
        refuse(NETWORK, f"{_CONVOLUTIONS[0]} takes {channels} channels besides the image, which no levels of VGG-19 add up to")
    return sums.index(channels)


def _body(state: Mapping[str, Tensor], dim: int) -> dict[str, Any]:
    """The settings of the body, and with it those that no shape tells: as published if the authors' constants are there."""
    if not any(key.startswith(_BODY) for key in state):
        return {"use_body": False}
    (offsets, _), (hidden, _) = _shapes(state, _FIRST_BLOCK, 2)
    window = (isqrt(offsets) + 1) // 2
    groups = count_numbered(state, _TABLE.format("{}", 0))
    settings: dict[str, Any] = {
        "depths": tuple(count_numbered(state, _TABLE.format(group, "{}")) for group in range(groups)),
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
