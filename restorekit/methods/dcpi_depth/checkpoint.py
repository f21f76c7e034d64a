"""Where the authors' checkpoints keep things, and what their keys and shapes tell of the networks.

The authors save each network to a file of its own: ``encoder.pth`` and ``depth.pth``, and for training ``pose_encoder.pth``,
``pose.pth`` and ``flow.pth``. Their keys do not overlap, so any of them may be thrown together into one state dict.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from restorekit.errors import CheckpointError
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig, published_dilation
from restorekit.methods.dcpi_depth.flow import is_raft, torchvision_keys
from restorekit.methods.shapes import count_numbered, refuse, require_fit, require_keys

NETWORK = "DCPI-Depth"

_PARTS = (
    ("encoder.", re.compile(r"(?:encoder\.)?((?:downsample_layers|stem2|stages)\..+)")),
    ("decoder.", re.compile(r"(?:decoder\.)?(decoder\.\d+\..+)")),
    ("pose.encoder.", re.compile(r"(?:pose\.encoder\.)?(encoder\.(?:conv1|bn1|layer\d|fc)\..+)")),
    ("pose.decoder.", re.compile(r"(?:pose\.decoder\.)?(net\.\d+\..+)")),
)
"""The beginnings of our keys, and the authors' keys, which may have that beginning already."""

_OTHERS = re.compile(r"(?:.+\.)?total_(?:ops|params)|use_stereo|(?:norm\d*|head)\..+")
"""What files hold besides the networks: counts of a profiler, a training option, and the classifier of the pre-training."""

_SIZE = re.compile(r"(?:encoder\.)?(height|width)")

_FLOW = "flow.raft."
_STEM, _FIRST, _SECOND = (f"encoder.downsample_layers.{i}.0.conv.weight" for i in range(3))
_HEAD = "decoder.decoder.{}.conv.weight"


def convert(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """See :meth:`restorekit.methods.dcpi_depth.DcpiDepth.convert_state_dict`."""
    converted: dict[str, Tensor] = {}
    flow: dict[str, Tensor] = {}
    for key, value in state.items():
        inner = key.removeprefix("module.")  # which their RAFT was saved with
        if size := _SIZE.fullmatch(key):
            converted[f"encoder.{size[1]}"] = torch.as_tensor(value)
        elif isinstance(value, Tensor) and not _OTHERS.fullmatch(key):
            if is_raft(inner):
                flow[inner] = value
            else:
                converted[_prefixed(key)] = value
    return converted | {_FLOW + key: value for key, value in torchvision_keys(flow).items()}


def _prefixed(key: str) -> str:
    for prefix, pattern in _PARTS:
        if match := pattern.fullmatch(key):
            return prefix + match[1]
    return key


def read_config(state: Mapping[str, Any]) -> DcpiDepthConfig:
    """See :meth:`restorekit.methods.dcpi_depth.DcpiDepth.config_from_state_dict`."""
    state = convert(state)
    _refuse_half(state)
    blocks = [count_numbered(state, f"encoder.stages.{stage}.{{}}.gamma") for stage in range(3)]
    if min(blocks) < 1:
        refuse(NETWORK, f"stage {blocks.index(0)} of its encoder has no blocks")
    last = [f"encoder.stages.{stage}.{blocks[stage] - 1}" for stage in range(3)]
    require_keys(NETWORK, [key + tail for key in last for tail in (".xca.temperature", ".pwconv1.weight")], state)
    one, two, three = (len(state[key]) for key in (_STEM, _FIRST, _SECOND))
    heads = [len(state[f"{key}.xca.temperature"]) for key in last]
    height, width = (int(state.get(f"encoder.{name}", side)) for name, side in (("height", 192), ("width", 640)))
    hidden, channels = state[f"{last[0]}.pwconv1.weight"].shape
    flow = _flow_kind(state)
    try:
        config = DcpiDepthConfig(
            dims=(one, two, three),
            dilation=published_dilation((one, two, three), (blocks[0], blocks[1], blocks[2]), (height, width)),
            heads=(heads[0], heads[1], heads[2]),
            expansion=hidden // channels,
            scales=count_numbered(state, _HEAD, first=6),
            height=height,
            width=width,
            pose=_pose_kind(state),
            flow=flow,
            flow_iterations=24 if flow == "large" else 12,
            train_flow=flow == "large",
        )
    except ValueError as error:
        refuse(NETWORK, str(error))
    require_fit(NETWORK, partial(METHOD.build, config), state)
    return config


def _pose_kind(state: Mapping[str, Tensor]) -> Literal["none", "light", "resnet18"]:
    if any(key.startswith(("pose.encoder.", "pose.decoder.")) for key in state):
        return "resnet18"
    return "light" if any(key.startswith("pose.net.") for key in state) else "none"


def _flow_kind(state: Mapping[str, Tensor]) -> Literal["none", "small", "large"]:
    if f"{_FLOW}mask_predictor.conv.weight" in state:
        return "large"
    return "small" if any(key.startswith(_FLOW) for key in state) else "none"


def _refuse_half(state: Mapping[str, Tensor]) -> None:
    """Encoder and decoder are two files, and one alone is a likely mistake."""
    encoder, decoder = (any(key.startswith(part) for key in state) for part in (_STEM, "decoder.decoder."))
    if encoder != decoder:
        here, missing = ("encoder", "decoder (depth.pth)") if encoder else ("decoder", "encoder (encoder.pth)")
        problem = f"this checkpoint holds the depth {here} of DCPI-Depth without its {missing}"
        raise CheckpointError(problem, "Give encoder.pth and depth.pth together")
    require_keys(NETWORK, (_STEM, _FIRST, _SECOND, _HEAD.format(6)), state)
