"""Where small parts of a picture lie that stand for the whole of it."""

from __future__ import annotations


def starts(side: int, window: int, most: int) -> list[int]:
    """Where windows begin that are evenly spread over a side of ``side`` pixels, from its one end to its other.

    Args:
        side: pixels along the side.
        window: pixels along a window; one that is longer than the side begins at 0.
        most: how many there are, where they do not overlap.
    """
    count = min(most, max(1, side // window))
    spare = max(0, side - window)
    return [spare * place // (count - 1) for place in range(count)] if count > 1 else [spare // 2]
