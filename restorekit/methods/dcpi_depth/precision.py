"""Where autocast ends: what geometry is made of needs float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Answer = TypeVar("Answer")


def in_full_precision(function: Callable[..., Answer], *maps: Tensor) -> Answer:
    """``function(*maps)`` outside any autocast.

    A step of bfloat16 is near a hundredth of a number: disparities would come in bands, and small motions be lost.
    """
    device = maps[0].device.type
    if not torch.is_autocast_enabled(device):
        return function(*maps)
    with torch.autocast(device, enabled=False):
        return function(*(values.float() for values in maps))
