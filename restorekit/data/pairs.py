"""Pairs that were photographed or made elsewhere: what a paper's data set holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from restorekit.data.cache import DecodedImages
from restorekit.data.clean import load_rgb
from restorekit.data.crops import below, random_crop
from restorekit.data.problems import refuse
from restorekit.data.streams import ALL, TRAINING, one_for_each
from restorekit.degradations import seeded_generator
from restorekit.errors import ImageError
from restorekit.methods import Batch


def load_pair(image: Path, target: Path) -> Tensor:
    """A pair as ``(6, H, W)`` uint8, the input's colours first.

    Raises:
        ImageError: if one cannot be read, or their sizes differ.
    """
    a, b = load_rgb(image), load_rgb(target)
    if a.shape != b.shape:
        sizes = [f"{x.shape[2]} x {x.shape[1]}" for x in (a, b)]
        raise ImageError(f"{image} is {sizes[0]} but its target {target} is {sizes[1]}", "Make them the same size")
    return torch.cat([a, b])


def unusable(pairs: Sequence[tuple[Path, Path]], least: int = 1) -> list[str]:
    """What is wrong with pairs that :func:`load_pair` cannot load, or that are shorter than ``least`` pixels on a side; each is
    decoded, and none is kept.
    """
    return DecodedImages(pairs, lambda pair: (at_least(load_pair(*pair), least, pair[0]),), 0).load()


def at_least(photograph: Tensor, least: int, path: Path) -> Tensor:
    """``(C, H, W)`` as it is; :class:`~restorekit.errors.ImageError` if a side is shorter than ``least`` pixels."""
    height, width = photograph.shape[1:]
    if min(height, width) < least:
        raise ImageError(f"{path} is {width} x {height}, too small to be scored", f"Use at least {least} x {least} pixels")
    return photograph


class PairedBatches:
    """Training batches by number, cut at the same places from input and target; batch ``step`` depends on the seed and ``step``
    alone.

    Args:
        pairs: files of inputs and targets.
        seed: fixes the crops.
        augment: see :func:`~restorekit.data.crops.random_crop`.
        device: where pairs are kept and crops are cut.
        memory: bytes that decoded pairs may take; those beyond are decoded anew for each crop.
        problems: takes up what is wrong, for the caller to refuse it with more of the kind; None to have it refused here.

    Raises:
        DataError: naming every file that cannot be read and every pair whose sizes differ.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Path, Path]],
        seed: int,
        *,
        augment: bool = True,
        device: torch.device | str = "cpu",
        memory: int = 4 << 30,
        problems: list[str] | None = None,
    ) -> None:
        self.pairs = list(pairs)
        self.images = DecodedImages(pairs, lambda pair: (load_pair(*pair).to(device),), memory)
        self.seed = seed
        self.augment = augment
        wrong = self.images.load()
        if problems is None:
            refuse(wrong, "Correct or remove these files")
        else:
            problems += wrong

    def __len__(self) -> int:
        return len(self.images)

    @property
    def complete(self) -> bool:
        """Whether everything is in memory."""
        return self.images.complete

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The pairs ``own`` of batch number ``step``, which has ``count`` of ``patch`` x ``patch`` pixels, and the ``step`` among
        its extras.
        """
        generators = one_for_each(count, seeded_generator(self.seed, TRAINING, step))[own]
        crops = torch.stack(self.images.each(lambda generator: self._crop(patch, generator), generators))
        return Batch(crops[:, :3], crops[:, 3:], {"step": torch.tensor(step)})

    def _crop(self, size: int, generator: Generator) -> Tensor:
        return random_crop(self.images[below(len(self.images), generator)], size, generator, augment=self.augment)


class PairedSet:
    """A validation set of pairs, whole or cut to their middle, in the order of their names."""

    truth: ClassVar[Literal["image"]] = "image"

    def __init__(self, pairs: Sequence[tuple[Path, Path]], crop: int = 0) -> None:
        self.pairs = list(pairs)
        self.crop = crop

    @property
    def names(self) -> list[str]:
        """The inputs' file names, without extensions."""
        return [image.stem for image, _ in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        both = middle(load_pair(*self.pairs[index]), self.crop)[None].float() / 255
        return Batch(both[:, :3], both[:, 3:], {})


def middle(photograph: Tensor, side: int) -> Tensor:
    """The middle square of ``(C, H, W)``, ``side`` pixels high and wide as far as there are so many; all of it for 0."""
    if not side:
        return photograph
    height, width = photograph.shape[1:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return photograph[:, top : top + side, left : left + side]
