"""Several things that go wrong with photographs: one after the other, one or the other, or one that is not to be undone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from restorekit.degradations.base import Degradation, Pair
from restorekit.degradations.motion import MotionBlur
from restorekit.errors import SettingError


class Composition:
    """The parts from left to right: what one has made of a photograph happens to the next. Pairs have no extras.

    Args:
        parts: at least one. Only the first may put a moving thing in front of the photograph.

    Raises:
        SettingError: if another does, for the target would lack that thing.
    """

    def __init__(self, parts: Sequence[Degradation]) -> None:
        if any(isinstance(part, MotionBlur) and part.settings.object > 0 for part in parts[1:]):
            raise SettingError(
                "motion can put a thing in front of the photograph only as the first of several", "Set motion.object = 0"
            )
        self.parts = tuple(parts)
        self.margin = sum(part.margin for part in parts)

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``."""
        first, *others = self.parts
        pair = first(clean, generator)
        image, target = pair.input, pair.target
        for part in others:
            image = part(image, generator).input
        border = self.margin - first.margin
        height, width = target.shape[-2:]
        return Pair(image, target[..., border : height - border, border : width - border].contiguous())


class Alternatives:
    """One of several degradations for each batch, all with equal chance. Pairs have no extras.

    Args:
        choices: at least one.
    """

    def __init__(self, choices: Sequence[Degradation]) -> None:
        self.choices = tuple(choices)
        self.margin = max(choice.margin for choice in choices)

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``."""
        choice = self.choices[int(torch.randint(len(self.choices), (), generator=generator))]
        border = self.margin - choice.margin
        height, width = clean.shape[-2:]
        pair = choice(clean[..., border : height - border, border : width - border], generator)
        return Pair(pair.input, pair.target)


class Kept:
    """A degradation of photographs that have gone wrong already, and are to stay as they are apart from it.

    A network that takes reflections off is not to sharpen what is behind the glass, nor to take softness for a reflection. Pairs
    have the extras of what is to be undone.

    Args:
        before: what has gone wrong with the targets.
        then: what is to be undone.
    """

    def __init__(self, before: Degradation, then: Degradation) -> None:
        self.before = before
        self.then = then
        self.margin = before.margin + then.margin

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``."""
        return self.then(self.before(clean, generator).input, generator)
