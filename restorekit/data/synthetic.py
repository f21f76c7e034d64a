"""Pairs made while training: clean crops and a degradation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch

from restorekit.data.clean import CleanPhotographs, find_images, load_rgb
from restorekit.data.pairs import middle
from restorekit.data.streams import ALL, TRAINING, VALIDATION
from restorekit.degradations import Degradation, degrade_image, seeded_generator
from restorekit.methods import Batch


class SyntheticBatches:
    """Batches by number: batch ``step`` depends on the seed and ``step`` alone, so a resumed run continues with the very same
    pairs.
    """

    def __init__(self, photographs: CleanPhotographs, degradation: Degradation, seed: int) -> None:
        self.photographs = photographs
        self.degradation = degradation
        self.seed = seed

    def __len__(self) -> int:
        return len(self.photographs)

    @property
    def complete(self) -> bool:
        """Whether everything is in memory."""
        return self.photographs.images.complete

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The pairs ``own`` of batch number ``step``, which has ``count`` of ``patch`` x ``patch`` pixels. Its extras hold
        ``step`` too, for losses that ramp up.

        Crops are the same whatever others are made. How they are degraded follows from the first one's number, as all are
        degraded at once.
        """
        side = patch + 2 * self.degradation.margin
        clean = self.photographs.crops(count, side, seeded_generator(self.seed, TRAINING, step), own=own)
        first = own.indices(count)[0]
        pair = self.degradation(clean, seeded_generator(self.seed, TRAINING, step, 1 + first))
        return Batch(pair.input, pair.target, {**pair.extras, "step": torch.tensor(step)})


class SyntheticSet:
    """A fixed validation set: every photograph degraded once, by its own seed, whole or cut to its middle.

    Args:
        folders: clean photographs.
        degradation: what is done to them.
        seed: fixes the degraded side; photograph i uses (seed, i).
        crop: side in pixels of the middle square that is used, 0 for the whole photograph.
    """

    truth: ClassVar[Literal["image"]] = "image"

    def __init__(self, folders: Sequence[Path], degradation: Degradation, seed: int, crop: int = 0) -> None:
        self.paths = find_images(folders)
        self.degradation = degradation
        self.seed = seed
        self.crop = crop

    @property
    def names(self) -> list[str]:
        """The photographs' file names, without extensions."""
        return [path.stem for path in self.paths]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Batch:
        clean = middle(load_rgb(self.paths[index]), self.crop)
        pair = degrade_image(self.degradation, clean[None].float() / 255, seeded_generator(self.seed, VALIDATION, index))
        return Batch(pair.input, pair.target, pair.extras)
