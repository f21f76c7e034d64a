"""What all degradations share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Pair:
    """Degraded and clean photographs, both ``(B, 3, H, W)``, RGB in [0, 1]; ``extras`` holds what else is known (a PSF)."""

    input: Tensor
    target: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)


class Degradation(Protocol):
    """A random degradation, made from its settings.

    Attributes:
        margin: pixels on each side of the clean photographs that only serve as surroundings.
    """

    margin: int

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Degrade ``(B, 3, H + 2 margin, W + 2 margin)`` to a pair of ``(B, 3, H, W)``; ``generator`` lives on the CPU."""
        ...


class Kind(Protocol):
    """The class of a degradation.

    Attributes:
        settings_type: the frozen dataclass it is made from; every field has a default.
        whole: settings to start from for whole photographs that are to be compared with themselves.
        part: settings to start from where something else happens to the picture as well: without the camera's noise and file.
    """

    settings_type: type[Any]
    whole: Mapping[str, Any]
    part: Mapping[str, Any]

    def __call__(self, settings: Any = None) -> Degradation: ...


def require_ranges(settings: object, *names: str) -> None:
    """Raise ``ValueError`` for the first of these fields whose two numbers are negative, or the larger first."""
    for name in names:
        low, high = getattr(settings, name)
        if not 0 <= low <= high:
            raise ValueError(f"{name} must be two numbers, not negative, the smaller first")


def seeded_generator(*key: int) -> Generator:
    """A CPU generator whose seed mixes the whole numbers of ``key``, such as (seed, stream, step)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def degrade_image(degradation: Degradation, clean: Tensor, generator: Generator) -> Pair:
    """Degrade whole photographs ``(B, 3, H, W)``; the surroundings that the margin asks for are mirrored, repeatedly if need
    be.
    """
    margin = degradation.margin
    surrounded = clean
    while margin > 0:
        step = min(margin, min(surrounded.shape[-2:]) - 1)
        mode = "reflect" if step > 0 else "replicate"
        step = step or margin
        surrounded = F.pad(surrounded, (step,) * 4, mode=mode)
        margin -= step
    return degradation(surrounded, generator)


def uniform(generator: Generator, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform random numbers on the CPU."""
    return low + (high - low) * torch.rand(shape, generator=generator)


def log_uniform(generator: Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Random numbers on the CPU whose logarithm is uniform; ``low`` and ``high`` are positive, or both 0."""
    if high == 0:
        return torch.zeros(shape)
    return torch.exp(uniform(generator, shape, float(np.log(low)), float(np.log(high))))


def device_generator(generator: Generator, device: torch.device) -> Generator:
    """A generator for large fields of noise on ``device``, seeded by a draw from the CPU ``generator``."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)
