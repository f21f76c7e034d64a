"""Optical flow, needed in training only: torchvision's RAFT, and where the authors' checkpoints of it keep things.

Paper: "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow" (ECCV 2020, https://arxiv.org/abs/2003.12039). torchvision's
network gives the numbers of the published one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torchvision.models.optical_flow import raft_large, raft_small

from restorekit.layers import crop_to
from restorekit.methods.dcpi_depth.precision import in_full_precision
from restorekit.methods.dcpi_depth.sizes import pad_by_edge

MULTIPLE, LEAST = 8, 128
"""Sides RAFT can take, in pixels: multiples of the first, not below the second."""

Value = TypeVar("Value")


class Flow(nn.Module):
    """RAFT with a padding of its own. Its batch normalisation keeps the statistics it came with, in training too.

    Args:
        size: 5.3 M parameters, or 1.0 M.
        iterations: refinements of the flow.
        trained: whether it learns; a flow that does not has no graph.
    """

    def __init__(self, size: Literal["small", "large"], iterations: int, trained: bool) -> None:
        super().__init__()
        self.raft = (raft_large if size == "large" else raft_small)(weights=None).requires_grad_(trained)
        self.iterations = iterations
        self.trained = trained

    def train(self, mode: bool = True) -> Flow:
        super().train(mode)
        self.raft.eval()
        return self

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The flow ``(B, 2, H, W)``, x before y, in pixels, from ``first`` to ``second``, both ``(B, 3, H, W)``, RGB in [0, 1].

        A pixel (x, y) of ``first`` is found at (x, y) + flow in ``second``. Under autocast too, this is computed in float32.
        """
        height, width = first.shape[-2:]
        pair = (pad_by_edge(2 * image - 1, MULTIPLE, LEAST) for image in (first, second))
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            flows: list[Tensor] = in_full_precision(partial(self.raft, num_flow_updates=self.iterations), *pair)
        return crop_to(flows[-1], height, width)


_RENAMINGS = (
    (r"fnet\.", "feature_encoder."),
    (r"cnet\.", "context_encoder."),
    (r"(.*_encoder\.layer\d\.\d\.)conv(\d)\.", r"\1convnormrelu\2.0."),
    (r"(.*_encoder\.layer\d\.\d\.)norm(\d)\.", r"\1convnormrelu\2.1."),
    (r"(feature_encoder|context_encoder)\.conv1\.", r"\1.convnormrelu.0."),
    (r"(feature_encoder|context_encoder)\.norm1\.", r"\1.convnormrelu.1."),
    (r"(feature_encoder|context_encoder)\.conv2\.", r"\1.conv."),
    (r"update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
    (r"update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
    (r"update_block\.encoder\.conv\.", r"update_block.motion_encoder.conv.0."),
    (r"update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
    (r"update_block\.gru\.conv([zrq])\.", r"update_block.recurrent_block.convgru1.conv\1."),
    (r"update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
    (r"update_block\.mask\.2\.", "mask_predictor.conv."),
)
"""The authors' keys from their beginning, and torchvision's, in the order they are applied."""

_TWICE = re.compile(r"[fc]net\.layer\d\.0\.norm[34]\..*")
"""The normalisation of a shortcut, which stands under ``downsample.1`` too."""

_ROOTS = ("fnet", "cnet", "update_block", "feature_encoder", "context_encoder", "mask_predictor")


def is_raft(key: str) -> bool:
    """Whether a key, without ``module.``, is of a RAFT checkpoint, the authors' or torchvision's."""
    return key.split(".")[0] in _ROOTS


def torchvision_keys(state: Mapping[str, Value]) -> dict[str, Value]:
    """The authors' RAFT checkpoint, its keys without ``module.``, under torchvision's keys, which stay as they are."""
    return {_torchvision_key(key): value for key, value in state.items() if not _TWICE.fullmatch(key)}


def _torchvision_key(key: str) -> str:
    for pattern, replacement in _RENAMINGS:
        key = re.sub("^" + pattern, replacement, key)
    return key
