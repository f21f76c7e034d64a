"""Rows of a TIFF picture without the rest of it, from strips or tiles, contiguous or planar."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np

from restorekit.errors import ImageError
from restorekit.images.depth import Array
from restorekit.images.image import Image
from restorekit.images.problems import Source, cannot_read
from restorekit.images.tiff import Stored

_MOST_SEGMENT = 2**27
_UNCOMPRESSED, _NO_PREDICTOR = 1, 1
_OLD_JPEG, _JPEG = 6, 7
_TURNS_ROWS = (3, 4)


def can_be_read(stored: Stored) -> bool:
    """Whether :class:`Windows` can read it: colours that tifffile decodes, CMYK aside, in pieces that are not too large."""
    page = stored.page
    if not stored.is_decoded_here or stored.is_cmyk:
        return False
    columns = page.tilewidth if page.is_tiled else page.imagewidth
    segment = _rows_of(page) * columns * page.samplesperpixel * page.dtype.itemsize
    return _is_plain(page) or segment <= _MOST_SEGMENT


class Windows:
    """Reads rows of a picture; the last ones read are kept.

    Args:
        file: the file.
        stored: the picture in it.
        source: what to call it.
    """

    def __init__(self, file: BinaryIO, stored: Stored, source: Source) -> None:
        self.size: tuple[int, int] = (stored.page.imagelength, stored.page.imagewidth)
        self._file = file
        self._stored = stored
        self._source = source
        self._kept: tuple[int, int, Image] | None = None

    def rows(self, first: int, last: int) -> Image:
        """The rows from ``first`` to before ``last``, in the order of the upright picture.

        Raises:
            ImageError: if the data are damaged.
        """
        if self._kept is None or not self._kept[0] <= first <= last <= self._kept[1]:
            self._kept = None  # two windows at a time would be one too many
            self._kept = (first, last, self._read(first, last))
        top, _, image = self._kept
        if (first, last) == self._kept[:2]:
            return image
        alpha = None if image.alpha is None else image.alpha[first - top : last - top]
        return Image(image.pixels[first - top : last - top], alpha, image.metadata, image.format, image.mode)

    def bands(self) -> list[slice]:
        """All rows, from the top of the upright picture, in parts that are decoded together; one by one if none need be."""
        page, height = self._stored.page, self.size[0]
        rows = 1 if _is_plain(page) else _rows_of(page)
        edges = [*range(0, height, rows), height]
        if self._stored.turned in _TURNS_ROWS:
            edges = [height - edge for edge in reversed(edges)]
        return [slice(*edge) for edge in pairwise(edges)]

    def _read(self, first: int, last: int) -> Image:
        if self._stored.turned in _TURNS_ROWS:
            first, last = self.size[0] - last, self.size[0] - first
        page = self._stored.page
        try:
            samples = (_read_plain if _is_plain(page) else _decode)(self._file, page, first, last)
            return self._stored.image(samples)
        except ImageError:
            raise
        except OSError as error:
            raise cannot_read(self._source.name, error) from error
        except Exception as error:  # decoders raise everything there is on hostile data
            raise self._source.damaged("TIFF", error) from error


def _rows_of(page: Any) -> int:
    """Rows of a strip or tile."""
    return int(page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength))


def _is_plain(page: Any) -> bool:
    """Whether the file holds strips of samples as they are, so that any row can be found."""
    return (
        not page.is_tiled
        and (page.compression, page.predictor, page.fillorder) == (_UNCOMPRESSED, _NO_PREDICTOR, 1)
        and page.dtype.itemsize * 8 == page.bitspersample
        and all(page.databytecounts)
    )


def _read_plain(file: BinaryIO, page: Any, first: int, last: int) -> Array:
    dtype = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    planes, contiguous = page.shaped[0], page.shaped[4]
    line = page.imagewidth * contiguous * dtype.itemsize
    samples = np.empty((last - first, page.imagewidth, planes * contiguous), page.dtype)
    for plane, index, top, bottom in _strips(page, first, last):
        start = max(first, top)
        stop = min(last, bottom)
        file.seek(page.dataoffsets[index] + (start - top) * line)
        data = np.frombuffer(file.read((stop - start) * line), dtype).reshape(stop - start, page.imagewidth, contiguous)
        samples[start - first : stop - first, :, plane * contiguous : (plane + 1) * contiguous] = data
    return samples


def _strips(page: Any, first: int, last: int) -> Iterator[tuple[int, int, int, int]]:
    """Plane, index, first row and end of every strip that holds some of the rows."""
    rows = _rows_of(page)
    of_plane = -(-page.imagelength // rows)
    for plane in range(page.shaped[0]):
        for number in range(first // rows, -(-last // rows)):
            yield plane, plane * of_plane + number, number * rows, min((number + 1) * rows, page.imagelength)


def _decode(file: BinaryIO, page: Any, first: int, last: int) -> Array:
    contiguous = page.shaped[4]
    samples = np.full((last - first, page.imagewidth, page.shaped[0] * contiguous), page.nodata, page.dtype)
    jpeg = page.compression in (_OLD_JPEG, _JPEG)
    tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if jpeg else {}
    decode = page.decode  # is made when it is first asked for, and then reads in the file
    for index in _segments(page, first, last):
        file.seek(page.dataoffsets[index])
        segment, (plane, _, top, left, _), (_, rows, columns, _) = decode(
            file.read(page.databytecounts[index]) or None, index, **tables
        )
        if segment is None:  # left out by a writer of sparse files
            continue
        start, stop = max(first, top), min(last, top + rows)
        right = min(left + columns, page.imagewidth)  # tiles reach beyond the picture
        part = segment.reshape(-1, *segment.shape[-2:])[start - top : stop - top, : right - left]
        samples[start - first : stop - first, left:right, plane * contiguous : (plane + 1) * contiguous] = part
    return samples


def _segments(page: Any, first: int, last: int) -> Iterator[int]:
    """The indices of the strips or tiles that hold some of the rows."""
    rows = _rows_of(page)
    down = -(-page.imagelength // rows)
    across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
    for plane in range(page.shaped[0]):
        yield from range((plane * down + first // rows) * across, (plane * down + -(-last // rows)) * across)
