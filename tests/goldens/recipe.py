"""The recipe: numbers for a parameter or an input from nothing but its name and shape, with NumPy only."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fill(key: str, shape: Sequence[int]) -> NDArray[np.float32] | NDArray[np.int64]:
    """The value of the parameter or buffer ``key``, float32 (int64 for ``num_batches_tracked``)."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    noise = _generator(key).standard_normal(shape)
    if key.endswith("running_var"):
        value = 1 + 0.1 * abs(noise)
    elif key.endswith("running_mean"):
        value = 0.1 * noise
    elif len(shape) >= 2:
        value = noise / math.sqrt(math.prod(shape[1:]))
    elif key.endswith("weight"):
        value = 1 + 0.1 * noise
    else:
        value = 0.1 * noise
    return np.asarray(value, np.float32)


def fill_input(name: str, shape: Sequence[int], scale: float = 1.0, shift: float = 0.0) -> NDArray[np.float32]:
    """The value of the input ``name``: uniform in [shift, shift + scale), float32."""
    noise = _generator(f"input:{name}").random(shape, dtype=np.float32)
    return np.asarray(noise * np.float32(scale) + np.float32(shift), np.float32)


def sample_positions(count: int) -> NDArray[np.int64]:
    """Where a golden's ``sample`` lies in the flattened output of ``count`` values."""
    return np.linspace(0, count - 1, min(256, count)).astype(np.int64)


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
