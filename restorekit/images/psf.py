"""Blur kernels from files: the path of a point of light, as an image, an array or a table of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from restorekit.errors import ImageError
from restorekit.images.formats import EXTENSIONS
from restorekit.images.problems import cannot_read, one_line
from restorekit.images.reading import read

_TEXT = (".txt", ".csv", ".tsv", ".dat")
_KINDS = "Give an image, a .npy or .npz file, or a table of numbers as .txt or .csv"


def read_psf(source: str | Path | ArrayLike) -> NDArray[np.float32]:
    """A blur kernel ``(h, w)``, float32, not negative, of sum 1. Its centre is row ``h // 2`` and column ``w // 2``.

    A photograph blurred by it is the true convolution of the sharp one: the kernel looks like the path of a point of light.

    Args:
        source: the path of an image of 8 or 16 bits or floats, whose colours are averaged; of a ``.npy`` file, or an ``.npz``
            archive, whose first array counts; of numbers as text, a row a line, with blanks, commas or semicolons between. Or an
            array ``(h, w)``, ``(h, w, 1)``, ``(h, w, 3)`` or ``(1, 1, h, w)`` of any range. Negative values count as 0. Zeros
            around the kernel are cut off, as many on opposite sides, so that its centre stays.

    Raises:
        ImageError: for what cannot be read, is no table of numbers, is not finite, or has no positive value.
    """
    name = str(source) if isinstance(source, (str, Path)) else "the PSF"
    values = _read(Path(source)) if isinstance(source, (str, Path)) else source
    try:
        kernel = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ImageError(f"{name} is no blur kernel ({one_line(error)})", _KINDS) from None
    if kernel.ndim == 4 and kernel.shape[:2] == (1, 1):
        kernel = kernel[0, 0]
    if kernel.ndim == 3 and kernel.shape[2] in (1, 3):
        kernel = kernel.mean(2)
    if kernel.ndim != 2 or kernel.size == 0:
        raise ImageError(f"{name} is no blur kernel: its shape is {kernel.shape}", "Give height and width alone")
    if not np.isfinite(kernel).all():
        raise ImageError(f"{name} is no blur kernel: it holds values that are not finite", "Export it again")
    kernel = kernel.clip(min=0)
    if not kernel.any():
        raise ImageError(f"{name} is no blur kernel: none of its values is positive", "Draw it bright on black")
    kernel = _trim(kernel / kernel.max())
    return (kernel / kernel.sum()).astype(np.float32)


def _read(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        return read(path, any_floats=True).pixels
    try:
        if suffix in (".npy", ".npz"):
            return first_array(path)
        if suffix in _TEXT:
            text = path.read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ")
            return [[float(number) for number in line.split()] for line in text.splitlines() if line.strip()]
    except OSError as error:
        if error.errno is not None:
            raise cannot_read(str(path), error) from None
        raise ImageError(f"{path} is damaged ({one_line(error)})", _KINDS) from None
    except Exception as error:  # NumPy raises several kinds on data that is cut short
        raise ImageError(f"{path} is no blur kernel ({one_line(error)})", _KINDS) from None
    raise ImageError(f"{path} is not a file that blur kernels are read from", _KINDS)


def first_array(path: Path) -> Any:
    """The array in a ``.npy`` file, or the first of an ``.npz`` file; whatever NumPy raises on damaged data."""
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded as archive:
        return archive[archive.files[0]]


def _trim(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kernel without zeros around it, the centre in its place."""
    windows = []
    for axis, side in enumerate(kernel.shape):
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        centre = side // 2
        radius = max(centre - int(used[0]), int(used[-1]) - centre)
        windows.append(slice(max(centre - radius, 0), centre + radius + 1))
    return kernel[tuple(windows)]
