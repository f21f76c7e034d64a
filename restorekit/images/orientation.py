"""The eight EXIF orientations as views of an array: nothing is copied until somebody writes."""

from __future__ import annotations

from restorekit.images.depth import Array

_INVERSE = {6: 8, 8: 6}


def upright(stored: Array, orientation: int) -> Array:
    """A view of ``(H, W, ...)`` pixels as the file stores them, turned the way its EXIF orientation (1 to 8) tells to."""
    view = stored.swapaxes(0, 1) if orientation >= 5 else stored
    if orientation in (3, 4, 7, 8):
        view = view[::-1]
    if orientation in (2, 3, 6, 7):
        view = view[:, ::-1]
    return view


def as_stored(picture: Array, orientation: int) -> Array:
    """The inverse of :func:`upright`: a view of an upright picture in which rows lie as the file stores them."""
    return upright(picture, _INVERSE.get(orientation, orientation))


def exchanges_sides(orientation: int) -> bool:
    """Whether rows become columns."""
    return orientation >= 5
