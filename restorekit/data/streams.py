"""Random numbers that never meet: what validates has not been trained on, and no pair follows from another's."""

from __future__ import annotations

import torch
from torch import Generator

TRAINING, VALIDATION = 1, 2
ALL = slice(None)
"""Every pair of a batch, where there is but one process."""


def one_for_each(count: int, generator: Generator) -> list[Generator]:
    """Generators for ``count`` pairs, so that some can be left to other processes, or be made at the same time."""
    seeds = torch.randint(2**63 - 1, (count,), generator=generator).tolist()
    return [Generator().manual_seed(seed) for seed in seeds]
