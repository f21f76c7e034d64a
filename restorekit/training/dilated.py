"""A way round a fault of oneDNN: in bfloat16 on CPUs with AVX512-BF16, the gradient of the weights of a dilated convolution whose
maps lie pixel by pixel (``channels_last``) is wrong, not finite, or a crash, depending on the number of channels. Plane by plane
it is right. Seen with PyTorch 2.15; what a network answers is right either way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def keep_dilated_planar(network: nn.Module) -> None:
    """Let the dilated convolutions of ``network`` see their input, and keep their weights, plane by plane."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and max(module.dilation) > 1:
            weight = module.weight
            weight.data = torch.empty(weight.shape, dtype=weight.dtype, device=weight.device).copy_(weight.data)
            module.register_forward_pre_hook(_planar)


def _planar(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor, ...]:
    return tuple(x.contiguous() for x in inputs)
