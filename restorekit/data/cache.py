"""Photographs decoded once and kept, as far as a budget of memory goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from torch import Tensor

from restorekit.errors import ImageError

File = TypeVar("File", Path, tuple[Path, Path])
Item = TypeVar("Item")
Made = TypeVar("Made")


class DecodedImages(Generic[File]):
    """What ``decode`` makes of each file, or of each pair of files, by number.

    The first files that fit are kept, the others are decoded anew whenever they are asked for. Under uniform random access
    nothing that is thrown out and brought in does better.

    Args:
        paths: the files, or the pairs.
        decode: makes tensors of one.
        memory: bytes that may be kept.

    Attributes:
        counts: of how many tensors each file's decoding consists; known after :meth:`load`.
    """

    def __init__(self, paths: Sequence[File], decode: Callable[[File], tuple[Tensor, ...]], memory: int) -> None:
        self.paths: list[File] = list(paths)
        self.decode: Callable[[File], tuple[Tensor, ...]] = decode
        self.free = memory
        self.counts = [0] * len(self.paths)
        self._kept: dict[int, tuple[Tensor, ...]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        kept = self._kept.get(index)
        return self.decode(self.paths[index]) if kept is None else kept

    @property
    def complete(self) -> bool:
        """Whether nothing is ever decoded again."""
        return len(self._kept) == len(self.paths)

    def each(self, make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
        """What ``make`` makes of each item, on all cores where photographs have to be decoded for it."""
        if self.complete:
            return [make(item) for item in items]
        return list(self._decoders.map(make, items))

    @cached_property
    def _decoders(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(os.cpu_count())

    def load(self) -> list[str]:
        """Decode every file once, on all cores, keep what fits, and return what is wrong with those that cannot be read."""
        problems = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for index, result in enumerate(pool.map(self._attempt, range(len(self.paths)))):
                if isinstance(result, str):
                    problems.append(result)
                else:
                    self.counts[index] = len(result)
                    self._keep(index, result)
        return problems

    def _attempt(self, index: int) -> tuple[Tensor, ...] | str:
        try:
            return self.decode(self.paths[index])
        except ImageError as error:
            return error.problem

    def _keep(self, index: int, tensors: tuple[Tensor, ...]) -> None:
        size = sum(tensor.nbytes for tensor in tensors)
        if size <= self.free:
            self.free -= size
            self._kept[index] = tensors
