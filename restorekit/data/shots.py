"""Where a video is cut, and which of its frames are there twice, so that no three frames are taken for neighbours that are not.

Frames are compared by small grey versions, in which noise has been averaged out and small motion hardly tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

COLUMNS = 64
"""Of the small versions."""

AGAIN, USUAL = 0.1, 80
"""A frame is there again if it differs from the last one that was not by less than this share of what frames of this video
usually differ by: the percentile of all differences, high because most frames may be there again.
"""

CUT, AT_LEAST, AROUND = 3.0, 10.0, 2
"""A cut is a difference so many times as large as the median of those around it, so many on either side, and at least so many
grey levels.
"""


@dataclass(frozen=True)
class Shots:
    """The frames of a video that follow each other.

    Attributes:
        parts: the numbers of each part's frames, from one cut to the next.
        repeated: how many frames are in none, as they only repeat the one before.
    """

    parts: tuple[tuple[int, ...], ...]
    repeated: int

    @property
    def longest(self) -> tuple[int, ...]:
        """The part of the most frames."""
        return max(self.parts, key=len, default=())

    @property
    def remark(self) -> str:
        """What is worth saying of it; empty for one part without repetitions."""
        cuts = len(self.parts) - 1
        found = [f"{cuts} cut{'s' if cuts > 1 else ''}"] if cuts > 0 else []
        if self.repeated:
            found.append(f"{self.repeated} repeated frame{'s' if self.repeated > 1 else ''}, left out")
        return " and ".join(found)


def small_grey(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The small version ``(h, COLUMNS)``, 0 to 255, of a frame ``(H, W, 3)`` or ``(H, W)``, as :func:`find_shots` takes it."""
    import cv2

    height, width = pixels.shape[:2]
    rows = max(1, round(height * COLUMNS / width))
    small = cv2.resize(pixels, (COLUMNS, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    return small if small.ndim == 2 else small.mean(2)


def find_shots(small: Sequence[NDArray[np.float32]]) -> Shots:
    """The shots of a video whose frames, all of one size, look as ``small`` says; see :func:`small_grey`."""
    if not small:
        return Shots((), 0)
    limit = AGAIN * float(np.percentile(_differences(small) or [0.0], USUAL))
    kept = [0]
    for number in range(1, len(small)):
        if _difference(small[kept[-1]], small[number]) >= limit:
            kept.append(number)
    steps = _differences([small[number] for number in kept])
    cuts = [place + 1 for place, step in enumerate(steps) if _is_cut(steps, place, step)]
    edges = [0, *cuts, len(kept)]
    parts = tuple(tuple(kept[a:b]) for a, b in pairwise(edges))
    return Shots(parts, len(small) - len(kept))


def _is_cut(steps: Sequence[float], place: int, step: float) -> bool:
    around = [*steps[max(place - AROUND, 0) : place], *steps[place + 1 : place + 1 + AROUND]]
    return bool(around) and step >= max(AT_LEAST, CUT * median(around))


def _differences(small: Sequence[NDArray[np.float32]]) -> list[float]:
    return [_difference(a, b) for a, b in pairwise(small)]


def _difference(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The mean absolute one, in grey levels."""
    return float(np.abs(first - second).mean())
