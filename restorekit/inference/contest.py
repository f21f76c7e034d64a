"""How much a model finds to take off a photograph, and of several models for one verb the one that finds most."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from restorekit import images, zoo
from restorekit.images import Image, LargeImage
from restorekit.inference.restorer import Picture, Restorer, as_image
from restorekit.inference.result import Restoration

WINDOW = 192
"""Side in pixels of the parts of a photograph that the models are tried on: that of the crops they learnt from."""
WINDOWS = 2
"""How many of those along each side, evenly spread; fewer where the photograph is no larger."""


class Contest:
    """Models of which each knows other damage, for photographs of which nobody says what is wrong with them.

    Each is tried on up to four small parts of a photograph, as it is. The one that changes them most restores it: a network that
    was taught drops and not rain leaves rain nearly as it is, and one that was taught both but knows drops less takes less of
    them off. So contenders must have learnt to leave alone what they do not know.

    Args:
        restorers: the first is the one to take where none changes anything.
    """

    def __init__(self, restorers: Sequence[Restorer]) -> None:
        self._restorers = tuple(restorers)
        self.name = " or ".join(restorer.name for restorer in self._restorers)

    @classmethod
    def from_cards(cls, cards: Sequence[zoo.Card], **options: Any) -> Contest:
        """Between cards; the options are those of :meth:`Restorer.from_card`, like the errors."""
        return cls([Restorer.from_card(card, **options) for card in cards])

    @classmethod
    def for_task(cls, task: str, inputs: Collection[str] = (), **options: Any) -> Contest:
        """Between the included cards for a verb, of which there may be one, see :func:`restorekit.zoo.contenders`."""
        return cls.from_cards(zoo.contenders(task, inputs=inputs), **options)

    def choose(self, image: Image | LargeImage, **inputs: Any) -> Restorer:
        """The one for this image; the inputs are those of :meth:`Restorer.__call__`."""
        if len(self._restorers) == 1:
            return self._restorers[0]
        return max(self._restorers, key=lambda restorer: change_by(restorer, image, **inputs))

    def __call__(self, image: Picture, *, strength: float = 1.0, **inputs: Any) -> Restoration:
        """Restore one image; see :meth:`Restorer.__call__`."""
        picture = as_image(image)
        return self.choose(picture, **inputs)(picture, strength=strength, **inputs)


def change_by(restorer: Restorer, image: Image | LargeImage, **inputs: Any) -> float:
    """Root mean square of what a model changes in up to four small parts of a photograph, in units of the range [0, 1].

    Args:
        restorer: the model.
        image: of any size.
        inputs: see :meth:`Restorer.__call__`.
    """
    squares, count = 0.0, 0
    for part in _windows(image):
        after = images.to_float(restorer(part, **inputs).image.pixels)
        squares += float(((after - images.to_float(part.pixels)) ** 2).sum())
        count += after.size
    return (squares / count) ** 0.5


def _windows(image: Image | LargeImage) -> Iterator[Image]:
    """Parts of the image, each of one size."""
    for top in _starts(image.height):
        for left in _starts(image.width):
            yield Image(np.ascontiguousarray(image.pixels[slice(top, top + WINDOW), slice(left, left + WINDOW)]))


def _starts(side: int) -> list[int]:
    count = min(WINDOWS, max(1, side // WINDOW))
    spare = max(0, side - WINDOW)
    return [spare * (2 * place + 1) // (2 * count) for place in range(count)]
