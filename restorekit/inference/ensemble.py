"""Self-ensembles: what a network says of an image and of its mirror images, averaged.

Networks are not quite indifferent to left and right, and where their answers differ, each errs elsewhere: the mean is nearer to
the truth. After "Seven ways to improve example-based single image super resolution" (Timofte et al., CVPR 2016), without quarter
turns, so that every tile keeps its rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import SettingError

if TYPE_CHECKING:
    from restorekit.inference.backend import Backend

FloatArray = NDArray[np.float32]

_MIRRORED: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))
"""Which axes are turned round: the image itself, left for right, upside down, half a turn."""
VIEWS = (1, 2, 4)
"""How many of them there can be."""


class Ensemble:
    """A backend that runs another on every tile and on mirror images of it, and gives the mean of what comes, mirrored back.

    Args:
        backend: what runs the network.
        views: 2 for the tile and its mirror image; 4 for these two upside down as well.
        spatial: names of the extras that are pictures and are mirrored too, such as ``"psf"``.

    Raises:
        SettingError: for another number of views.
    """

    def __init__(self, backend: Backend, views: int, spatial: Collection[str] = ()) -> None:
        check_views(views)
        self.backend = backend
        self.uses_torch, self.device, self.precision = backend.uses_torch, backend.device, backend.precision
        self.ahead, self.batches, self.compiles = backend.ahead, backend.batches, backend.compiles
        self.views = views
        self.spatial = frozenset(spatial)

    def run(self, tile: FloatArray, **extras: FloatArray) -> dict[str, FloatArray]:
        """See :meth:`Backend.run`."""
        return self.start(tile, **extras)()

    def start(self, tile: FloatArray, **extras: FloatArray) -> Callable[[], dict[str, FloatArray]]:
        """See :meth:`Backend.start`."""
        runs = []
        for axes in _MIRRORED[: self.views]:
            beside = {name: mirrored(values, axes, True) if name in self.spatial else values for name, values in extras.items()}
            runs.append((axes, self.backend.start(mirrored(tile, axes), **beside)))

        def landed() -> dict[str, FloatArray]:
            total: dict[str, FloatArray] = {}
            for axes, finish in runs:
                maps = {name: mirrored(values, axes) for name, values in finish().items()}
                total = {name: total[name] + values for name, values in maps.items()} if total else maps
            return {name: values / np.float32(self.views) for name, values in total.items()}

        return landed

    def in_float32(self) -> Ensemble:
        """See :meth:`Backend.in_float32`."""
        return Ensemble(self.backend.in_float32(), self.views, self.spatial)

    def release(self) -> None:
        """See :meth:`Backend.release`."""
        self.backend.release()


def check_views(views: int) -> None:
    """:class:`~restorekit.errors.SettingError` for a number of views that there cannot be."""
    if views not in VIEWS:
        raise SettingError(f"views must be 1, 2 or 4, not {views}")


def mirrored(values: FloatArray, axes: tuple[int, ...], centred: bool = False) -> FloatArray:
    """``(..., h, w)`` turned round along ``axes``.

    Where it is ``centred``, around sample ``n // 2`` of n, as blur kernels are, and a side of even length gets a row or column
    of zeros for its centre to stay one.
    """
    for axis in axes:
        if centred and values.shape[axis] % 2 == 0:
            values = np.concatenate([values, np.zeros_like(values.take([0], axis))], axis)
        values = np.flip(values, axis)
    return values.copy()  # an axis of one sample keeps its negative stride otherwise, which PyTorch refuses
