"""Examples to watch a training by, of what it trains on itself, where there is nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from restorekit.methods import Batch


class HeldBack:
    """A validation set of batches of one example each, which training does not draw, though they may overlap with what it does.

    Args:
        kind: what an example is called, with a number after it.
        batches: the examples.
        truth: what their targets are: clean images, or nothing that is known to be true, and the loss has to tell.
    """

    def __init__(self, kind: str, batches: Sequence[Batch], truth: Literal["image", "none"]) -> None:
        self.truth = truth
        self.names = [f"{kind}-{index:02d}" for index in range(len(batches))]
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        return self._batches[index]
