"""How much a model finds to take off a photograph, and which of several models for one verb restores it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from restorekit import zoo
from restorekit.images import Image, LargeImage
from restorekit.images.parts import starts
from restorekit.inference.anchoring import reduced
from restorekit.inference.restorer import Picture, Progress, Restorer, as_image
from restorekit.inference.result import Restoration

WINDOW = 160
"""Side in pixels of the parts of a photograph that models are tried on."""
WINDOWS = 3
"""How many of those along each side, at most."""
COPY = 480
"""Longer side in pixels of the copy of a photograph that shows what lies over all of it."""
LEAST = 4 / 255
"""What a model changes in a photograph, root mean square, at least if it takes the place of the first: less is chance."""
SHARE = 0.8
"""How much that must be of what the first changes, which takes more kinds of damage for its own: behind drops on real panes it
thins a veil as well. Of snow and rain a model that knows drops changes half as much.
"""


class Contest:
    """Models of which each knows other damage, for photographs of which nobody says what is wrong with them.

    Each is tried on up to nine small parts of a photograph, as it is. The first, which knows most kinds, restores it, unless
    another changes these parts about as much or more: a network that was taught drops and not rain leaves rain nearly as it is,
    and one that was taught both but knows drops less takes less of them off. So contenders must have learnt to leave alone what
    they do not know.

    Args:
        restorers: the first is the one to take where none of the others changes more than :data:`LEAST`, and than :data:`SHARE`
            of what it changes itself.
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

    @property
    def first(self) -> Restorer:
        """The one to take if nothing speaks for another."""
        return self._restorers[0]

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """What they need beside the image, all of them the same."""
        return self.first.method.extra_inputs

    def choose(self, image: Image | LargeImage, **inputs: Any) -> Restorer:
        """The one for this image; the inputs are what methods need beside it, as in :meth:`Restorer.__call__`."""
        if len(self._restorers) == 1:
            return self.first
        first, *others = [change_by(restorer, image, **inputs) for restorer in self._restorers]
        most = max(others)
        return self._restorers[1 + others.index(most)] if most > max(SHARE * first, LEAST) else self.first

    def __call__(
        self,
        image: Picture,
        *,
        strength: float = 1.0,
        candidates: bool = False,
        spread: bool = False,
        maps: str | Collection[str] = (),
        progress: Progress | None = None,
        on_note: Callable[[str], None] | None = None,
        **inputs: Any,
    ) -> Restoration:
        """Restore one image; see :meth:`Restorer.__call__`. If more than the answer is wanted, the first does, for not all have
        the same to give.
        """
        picture = as_image(image)
        alone = candidates or spread or bool(maps) or not strength
        restorer = self.first if alone else self.choose(picture, **inputs)
        wanted: dict[str, Any] = {"candidates": candidates, "spread": spread, "maps": maps}
        return restorer(picture, strength=strength, **wanted, progress=progress, on_note=on_note, **inputs)


def taken_off_by(task: str, *, whole: bool = False, **options: Any) -> Callable[[Image], float]:
    """Tells how much the default model of a verb finds to take off a photograph, see :func:`change_by`.

    The model is loaded when that is first asked; the options are those of :meth:`Restorer.from_card`, like the errors.
    """
    restorer: list[Restorer] = []

    def ask(image: Image) -> float:
        if not restorer:
            restorer.append(Restorer.from_card(zoo.default_card(task), **options))
        return change_by(restorer[0], image, whole=whole)

    return ask


def change_by(restorer: Restorer, image: Image | LargeImage, *, whole: bool = False, **inputs: Any) -> float:
    """Root mean square of what a model changes in a photograph, in units of the range [0, 1].

    Args:
        restorer: the model.
        image: of any size.
        whole: in a copy of all of it, :data:`COPY` pixels at most, where things are seen that are large or soft; else in up to
            nine small parts of it as it is.
        inputs: see :meth:`Restorer.__call__`.
    """
    parts = [_copy(image)] if whole else _windows(image)
    changes = [restorer.change(part, **inputs) for part in parts]
    return float((sum(changes) / len(changes)) ** 0.5)


def _copy(image: Image | LargeImage) -> Image:
    scale = min(1.0, COPY / max(image.size))
    return reduced(image, (max(1, round(image.height * scale)), max(1, round(image.width * scale))), band=WINDOW)


def _windows(image: Image | LargeImage) -> Iterator[Image]:
    """Parts of the image, each of one size."""
    for top, left in product(*(starts(side, WINDOW, WINDOWS) for side in (image.height, image.width))):
        yield Image(np.ascontiguousarray(image.pixels[slice(top, top + WINDOW), slice(left, left + WINDOW)]))
