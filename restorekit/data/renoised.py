"""Pairs made of noisy photographs alone: what a denoiser makes of them, reduced, and their own measured noise on it again.

A denoiser that was taught on noise of many cameras so learns the noise of this one. Reduced to half size its answers are cleaner
and sharper than they are at 1:1: they serve as clean photographs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.data.clean import load_rgb
from restorekit.data.crops import below, one_of_eight, surround
from restorekit.data.measured_noise import MeasuredNoise, measure_noise
from restorekit.data.streams import ALL, TRAINING, VALIDATION, one_for_each
from restorekit.degradations import seeded_generator
from restorekit.errors import DataError
from restorekit.methods import Batch

FACTOR = (1.0, 2.0)
"""What measured noise is multiplied by, uniform: flat places are where cameras have taken most of it away."""
WINDOW = 512
"""Side of the parts of photographs that are looked at, at most four of each."""
PHOTOGRAPHS = 16
"""As many are looked at, spread over all there are: noise of one camera is much the same in each."""


@dataclass(frozen=True)
class Part:
    """A part of a photograph: what is clean ``(3, H, W)`` in [0, 1], and which noise the camera adds to it."""

    clean: Tensor
    noise: MeasuredNoise


class RenoisedBatches:
    """Training batches by number; batch ``step`` depends on the seed and ``step`` alone.

    Args:
        paths: noisy photographs.
        denoise: ``(3, H, W)`` in [0, 1] without most of its noise.
        seed: fixes crops and noise.
        device: where photographs are kept.

    Raises:
        ImageError: for a file that cannot be read.
        DataError: if all are too small.
    """

    def __init__(
        self, paths: Sequence[Path], denoise: Callable[[Tensor], Tensor], seed: int, *, device: torch.device | str = "cpu"
    ) -> None:
        self.seed = seed
        chosen = [paths[index * len(paths) // PHOTOGRAPHS] for index in range(PHOTOGRAPHS)] if len(paths) > PHOTOGRAPHS else paths
        self.parts = [part for path in chosen for part in _parts(load_rgb(path).to(device).float() / 255, denoise)]
        if not self.parts:
            raise DataError("the noisy photographs are too small to measure their noise", "Give larger ones")
        self._count = len(chosen)

    def __len__(self) -> int:
        return self._count

    @property
    def complete(self) -> bool:
        """Whether everything is in memory."""
        return True

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The pairs ``own`` of batch number ``step``, which has ``count`` of ``patch`` x ``patch`` pixels, and the ``step`` among
        its extras.
        """
        return self._pairs(one_for_each(count, seeded_generator(self.seed, TRAINING, step))[own], step, patch)

    def held_back(self, index: int, patch: int) -> Batch:
        """Pair number ``index`` of a stream that :meth:`batch` does not draw from, to watch a training by."""
        return self._pairs([seeded_generator(self.seed, VALIDATION, index)], index, patch)

    def _pairs(self, generators: Sequence[Generator], number: int, patch: int) -> Batch:
        sides = [self._pair(patch, generator) for generator in generators]
        noisy, clean = (torch.stack(side) for side in zip(*sides, strict=True))
        return Batch(noisy, clean, {"step": torch.tensor(number)})

    def _pair(self, size: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A noisy and a clean crop. The noise may be that of another part."""
        clean = self.parts[below(len(self.parts), generator)].clean
        top, left = (below(side - size + 1, generator) for side in clean.shape[1:])
        crop = surround(one_of_eight(clean[:, top : top + size, left : left + size], generator), size).contiguous()
        noise = self.parts[below(len(self.parts), generator)].noise
        low, high = FACTOR
        factor = low + (high - low) * float(torch.rand((), generator=generator))
        noisy = (crop + factor * noise.make(crop, generator)).clamp(0, 1)
        return (noisy * 255).round() / 255, crop


def _parts(photograph: Tensor, denoise: Callable[[Tensor], Tensor]) -> list[Part]:
    parts = []
    for rows in _windows(photograph.shape[1]):
        for columns in _windows(photograph.shape[2]):
            noisy = photograph[:, rows, columns]
            denoised = denoise(noisy).clamp(0, 1)
            noise = measure_noise(noisy, denoised)
            if noise is not None:
                parts.append(Part(F.avg_pool2d(denoised[None], 2)[0], noise))
    return parts


def _windows(side: int) -> list[slice]:
    """One window, or two where there is room, spread over a side."""
    if side < 2 * WINDOW:
        start = max(side - WINDOW, 0) // 2
        return [slice(start, start + WINDOW)]
    return [slice(start, start + WINDOW) for start in (side // 4 - WINDOW // 2, 3 * side // 4 - WINDOW // 2)]
