"""Images larger than memory: they stay in their files, and are read and written a window at a time.

So far these are TIFF files, which alone are made for it; see :func:`open_large` for which of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Protocol

import numpy as np

from restorekit.errors import ImageError
from restorekit.images import tiff
from restorekit.images.depth import Array, check_white
from restorekit.images.formats import HEAD_BYTES, recognise
from restorekit.images.image import Image
from restorekit.images.metadata import Metadata
from restorekit.images.orientation import exchanges_sides
from restorekit.images.problems import Source, cannot_read, cannot_write
from restorekit.images.tiff_windows import Windows, can_be_read

TILE = 256
"""Side of the tiles of the TIFF files written."""

_SAMPLE = 2**22
_LINES = 32

Block = tuple[slice, slice]


class Pixels(Protocol):
    """Samples ``(H, W, C)`` in a file; ``pixels[rows, columns]``, two slices, reads a block of them."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def __getitem__(self, block: Block) -> Array: ...

    def bands(self) -> Sequence[slice]:
        """All rows, from the top, in parts that take no longer to read than one of their rows."""


@dataclass(frozen=True)
class LargeImage:
    """A picture that lies in files, which are closed with it; else like :class:`~restorekit.images.Image`.

    Attributes:
        pixels: upright grey or RGB.
        alpha: the same of one channel; None if there is none.
        metadata: what travels from the file read to the file written.
        mode: see :class:`~restorekit.images.Image`.
        scratch: the folder for temporary files as large as the picture.
        format: what it was read from.
    """

    pixels: Pixels
    alpha: Pixels | None
    metadata: Metadata
    mode: str
    scratch: Path
    format: str = "TIFF"

    @property
    def height(self) -> int:
        """Rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """Columns."""
        return self.pixels.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in Pillow's order."""
        return self.width, self.height

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel rather than three."""
        return self.pixels.shape[2] == 1

    @property
    def bytes(self) -> int:
        """What its pixels would take in memory."""
        return self.height * self.width * self.pixels.shape[2] * self.pixels.dtype.itemsize

    def blank(self) -> Spool:
        """Room for pixels like these, in a temporary file; ImageError if there is none."""
        return Spool(self.pixels.shape, self.pixels.dtype, self.scratch)

    def replace_pixels(self, pixels: Pixels) -> LargeImage:
        """New pixels of the same shape, with this image's alpha and metadata."""
        return replace(self, pixels=pixels)

    def sample(self, most: int = _SAMPLE) -> Image:
        """A small image of every n-th pixel of every n-th row, about ``most`` of them: its mean and spread are the picture's."""
        step = max(1, round((self.height * self.width / most) ** 0.5))
        return Image(_every(self.pixels, step, step))

    def load(self) -> Image:
        """The whole of it in memory."""
        everything = slice(0, self.height), slice(0, self.width)
        alpha = None if self.alpha is None else self.alpha[everything][:, :, 0]
        return Image(self.pixels[everything], alpha, self.metadata, self.format, self.mode)


class Spool:
    """Samples ``(H, W, C)`` in a temporary file that goes when nobody holds it, written and read in blocks.

    Args:
        shape: rows, columns and channels.
        dtype: of the samples.
        folder: where the file lies; it has no name there where the system allows that.

    Raises:
        ImageError: here and in use, if the disk is full or the folder cannot be written to.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: np.dtype[Any], folder: Path) -> None:
        self.shape = shape
        self.dtype = dtype
        self._name = f"the temporary file in {folder}"
        try:
            self._file: Any = TemporaryFile(dir=folder)  # noqa: SIM115 - lives as long as the spool
        except OSError as error:
            raise cannot_write(self._name, error) from error

    def __setitem__(self, block: Block, values: Array) -> None:
        rows, columns = (part.indices(length) for part, length in zip(block, self.shape[:2], strict=True))
        try:
            for row, line in zip(range(*rows), values, strict=True):
                self._file.seek(self._offset(row, columns[0]))
                self._file.write(np.ascontiguousarray(line, self.dtype).data)
        except OSError as error:
            raise cannot_write(self._name, error) from error

    def __getitem__(self, block: Block) -> Array:
        first, last, _ = block[0].indices(self.shape[0])
        try:
            self._file.seek(self._offset(first, 0))
            data = self._file.read(self._offset(last, 0) - self._offset(first, 0))
        except OSError as error:
            raise cannot_read(self._name, error) from error
        rows: Array = np.frombuffer(data, self.dtype).reshape(last - first, *self.shape[1:])
        return rows[:, block[1]]

    def bands(self) -> Sequence[slice]:
        """Single rows, any of which can be found."""
        return [slice(row, row + 1) for row in range(self.shape[0])]

    def _offset(self, row: int, column: int) -> int:
        return (row * self.shape[1] + column) * self.shape[2] * self.dtype.itemsize


def open_large(path: str | Path, *, scratch: Path, max_pixels: int | None = None) -> LargeImage | None:
    """Open an image whose pixels are to stay in its file.

    Args:
        path: the file.
        scratch: the folder for temporary files as large as the picture.
        max_pixels: most pixels it may have; None for no limit.

    Returns:
        The image; None for a file that must be read whole: any but TIFF, CMYK and rarer colours, pictures that lie on their side,
        and compressed ones in so few strips that one would fill much of the memory.

    Raises:
        ImageError: as :func:`restorekit.images.read`, here and when damaged pixels are read.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - lives as long as the image
    except OSError as error:
        raise cannot_read(str(path), IsADirectoryError() if os.path.isdir(path) else error) from error
    source = Source(str(path), max_pixels)
    try:
        large = _opened(file, source, scratch)
    except ImageError:
        file.close()
        raise
    except Exception as error:  # decoders raise everything there is on hostile data
        file.close()
        raise source.damaged("TIFF", error) from error
    if large is None:
        file.close()
    return large


def _opened(file: BinaryIO, source: Source, scratch: Path) -> LargeImage | None:
    head = file.read(HEAD_BYTES)
    if recognise(head, source.name) != "TIFF":
        return None
    stored = tiff.open_page(file, replace(source, length=file.seek(0, SEEK_END)))
    if exchanges_sides(stored.turned) or not can_be_read(stored):
        return None
    windows = Windows(file, stored, source)
    first = windows.rows(0, 1)
    colours = _Part(windows, "pixels", (*windows.size, first.pixels.shape[2]), first.pixels.dtype)
    if first.pixels.dtype.kind == "f":
        check_white(_every(colours, max(1, colours.shape[0] // _LINES)), source.name)
    alpha = None if first.alpha is None else _Part(windows, "alpha", (*windows.size, 1), first.alpha.dtype)
    return LargeImage(colours, alpha, stored.metadata, first.mode, scratch)


@dataclass(frozen=True)
class _Part:
    """The colours or the alpha of a file."""

    windows: Windows
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def __getitem__(self, block: Block) -> Array:
        first, last, _ = block[0].indices(self.shape[0])
        values: Array = getattr(self.windows.rows(first, last), self.name)[:, block[1]]
        return values if values.ndim == 3 else values[:, :, None]

    def bands(self) -> Sequence[slice]:
        return self.windows.bands()


def _every(pixels: Pixels, down: int, across: int = 1) -> Array:
    """Every ``down``-th row of every ``across``-th column. Of a band, which is read once, only those are held any longer."""
    parts = []
    for band in pixels.bands():
        first = -(-band.start // down) * down
        if first < band.stop:
            parts.append(pixels[slice(first, band.stop), slice(0, pixels.shape[1])][::down, ::across].copy())
    return np.concatenate(parts)


def write_large(image: LargeImage, file: BinaryIO) -> None:
    """Write a TIFF file in tiles, reading the image row of tiles by row of tiles; BigTIFF beyond 4 GB.

    Args:
        image: what to write.
        file: readable, writable, seekable and empty.
    """
    channels = image.pixels.shape[2] + (image.alpha is not None)
    shape, has_alpha = (image.height, image.width, channels), image.alpha is not None
    tiff.write_samples(file, _tiles(image), shape, image.pixels.dtype, image.metadata, has_alpha=has_alpha, tile=TILE)


def _tiles(image: LargeImage) -> Iterator[Array]:
    for top in range(0, image.height, TILE):
        block = slice(top, min(top + TILE, image.height)), slice(0, image.width)
        rows = image.pixels[block]
        if image.alpha is not None:
            rows = np.concatenate((rows, image.alpha[block]), axis=2)
        for left in range(0, image.width, TILE):
            tile = rows[:, left : left + TILE]
            yield tile if tile.shape[2] > 1 else tile[:, :, 0]
