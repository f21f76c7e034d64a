"""Noisy photographs without clean ones, for methods that teach themselves."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from torch import Generator, Tensor

from restorekit.data.cache import DecodedImages
from restorekit.data.clean import find_images, load_rgb
from restorekit.data.crops import below, random_crop
from restorekit.data.problems import refuse
from restorekit.data.streams import ALL, TRAINING, VALIDATION, one_for_each
from restorekit.degradations import seeded_generator
from restorekit.errors import DataError
from restorekit.methods import Batch

_TRIES = 8
_FLAT = 2 / 255
_CLIPPED = 0.5


def noisy_photographs(folders: Sequence[Path], match: Sequence[str] = ()) -> list[Path]:
    """The files in ``folders``, a file standing for itself, whose names fit one of the patterns, if there are any.

    Raises:
        DataError: if there is none.
    """
    paths = [path for path in find_images(folders) if not match or any(fnmatch(path.name, pattern) for pattern in match)]
    if not paths:
        raise DataError(f"no image in {', '.join(map(str, folders))} is called {' or '.join(match)}", "Correct data.match")
    return paths


class NoisyBatches:
    """Training batches by number whose targets are their inputs; batch ``step`` depends on the seed and ``step`` alone.

    Crops that are nearly constant, or clipped over more than half of their pixels, are passed over while there are others: after
    normalisation they hold quantisation only (C-BSN's specification for training on one's own photographs).

    Args:
        folders: where the photographs lie; a file stands for itself.
        seed: fixes the crops.
        match: file-name patterns of the photographs that are used; empty for all.
        device: where photographs are kept and crops are cut.
        memory: bytes that decoded photographs may take.

    Raises:
        DataError: naming every file that cannot be read, or if no file matches.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        seed: int,
        *,
        match: Sequence[str] = (),
        device: torch.device | str = "cpu",
        memory: int = 4 << 30,
    ) -> None:
        paths = noisy_photographs(folders, match)
        self.images = DecodedImages(paths, lambda path: (load_rgb(path).to(device),), memory)
        refuse(self.images.load(), "Correct or remove these files")
        self.seed = seed

    def __len__(self) -> int:
        return len(self.images)

    @property
    def complete(self) -> bool:
        """Whether everything is in memory."""
        return self.images.complete

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The crops ``own`` of batch number ``step``, which has ``count`` of ``patch`` x ``patch`` pixels, and the ``step`` among
        its extras.
        """
        generators = one_for_each(count, seeded_generator(self.seed, TRAINING, step))[own]
        crops = torch.stack(self.images.each(lambda generator: self._crop(patch, generator), generators))
        return Batch(crops, crops, {"step": torch.tensor(step)})

    def held_back(self, index: int, patch: int) -> Batch:
        """Crop number ``index`` of a stream that :meth:`batch` does not draw from, to watch a training by."""
        crop = self._crop(patch, seeded_generator(self.seed, VALIDATION, index))[None]
        return Batch(crop, crop, {"step": torch.tensor(index)})

    def _crop(self, size: int, generator: Generator) -> Tensor:
        for _ in range(_TRIES):
            crop = random_crop(self.images[below(len(self.images), generator)], size, generator)
            if _tells_noise(crop):
                break
        return crop


def _tells_noise(crop: Tensor) -> bool:
    clipped = ((crop <= 0) | (crop >= 1)).float().mean()
    return float(crop.std()) > _FLAT and float(clipped) <= _CLIPPED
