"""What is measured: images as they lie there, models, classical baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.errors import UsageError
from restorekit.evaluation.baselines import apply_baseline, find_baseline

if TYPE_CHECKING:
    from restorekit.inference import Contest, Restorer

INPUT = "input"
"""The subject that is the image before restoration; gains are counted from it."""

RESTORED = "restored"
"""The subject that is images which were restored before; there are no inputs then."""

Picture = images.Image | NDArray[Any]
"""An image in memory: as :func:`restorekit.images.read` gives it, or an array ``(H, W)`` or ``(H, W, C)``."""


@dataclass(frozen=True)
class Sample:
    """An image to be restored, or restored already, and what it should look like, if anybody knows.

    Attributes:
        name: what tables call it.
        image: the image.
        target: what it should look like.
        psf: ``(h, w)`` of sum 1, where the blur is known.
    """

    name: str
    image: Picture
    target: Picture | None = None
    psf: NDArray[Any] | None = None


@dataclass(frozen=True)
class Answer:
    """What a subject makes of a sample: its image, and its candidates, if it has several.

    They are called "1", "2", ... after the head that gives them, and "1+2" where they are the mean of two.
    """

    image: Picture
    candidates: Mapping[str, Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Something whose images are scored.

    Attributes:
        name: what tables call it.
        restore: gives its answer for a sample.
        run: how it is run, in words, where that moves its scores: precision, views and tiles of a model.
    """

    name: str
    restore: Callable[[Sample], Answer]
    run: str = ""


def as_it_is(name: str) -> Subject:
    """The samples' own images: restored before, or the input."""
    return Subject(name, lambda sample: Answer(sample.image))


def from_baseline(name: str) -> Subject:
    """A classical method of :data:`~restorekit.evaluation.baselines.BASELINES`, with a setting after a colon if need be.

    Raises:
        UnknownNameError: for a name no baseline has.
        SettingError: for a setting that cannot be.
    """
    find_baseline(name)
    if name == INPUT:
        return as_it_is(INPUT)
    return Subject(name, lambda sample: Answer(apply_baseline(name, to_floats(sample.image), sample.psf)))


def from_restorer(restorer: Restorer, *, candidates: bool = False, exact: bool = False) -> Subject:
    """A model.

    Args:
        restorer: runs it.
        candidates: score its candidates too, if it has several: its heads, and the means of two of them if these competed while
            it was trained (``combinate_heads``, the K = n(n+1)/2 of the multi-output paper).
        exact: give it images as floats, so that its answers are not rounded to the input's depth: for protocols that do not
            round, or not in the same way.
    """

    def restore(sample: Sample) -> Answer:
        picture = as_image(sample.image)
        if exact or candidates:  # means of two heads are of what these are before they are rounded
            picture = picture.replace_pixels(images.to_float(picture.pixels))
        inputs: dict[str, Any] = {"psf": sample.psf} if "psf" in restorer.method.extra_inputs else {}
        result = restorer(picture, candidates=candidates and "heads" in restorer.extras, **inputs)
        return Answer(result.image, _candidates(result.candidates, getattr(restorer.config, "combinate_heads", False)))

    return Subject(restorer.name, restore, restorer.described())


def from_contest(contest: Contest) -> Subject:
    """Several models, of which each image gets one; its candidates are not scored."""

    def restore(sample: Sample) -> Answer:
        inputs: dict[str, Any] = {"psf": sample.psf} if "psf" in contest.extra_inputs else {}
        return Answer(contest(as_image(sample.image), **inputs).image)

    return Subject(contest.name, restore, contest.first.described())


def _candidates(heads: Sequence[images.Image], pairs: bool) -> dict[str, Picture]:
    found: dict[str, Picture] = {}
    for i, head in enumerate(heads, 1):
        for j, other in enumerate(heads[: i - 1] if pairs else (), 1):
            found[f"{j}+{i}"] = (head.pixels + other.pixels) / 2
        found[str(i)] = head
    return found


def check_subjects(subjects: Sequence[Subject]) -> None:
    """Raise ``UsageError`` if there is none, or two have one name."""
    names = [subject.name for subject in subjects]
    if not names:
        raise UsageError("there is nothing to score", "Name a model or a baseline")
    if double := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"'{double}' would be scored twice", "Name each once")


def as_image(picture: Picture) -> images.Image:
    """The picture as an :class:`~restorekit.images.Image`."""
    return images.Image.from_array(picture) if isinstance(picture, np.ndarray) else picture


def to_floats(picture: Picture) -> NDArray[np.float32]:
    """The picture without alpha, ``(H, W, C)`` float32 in [0, 1], C = 1 or 3."""
    return images.to_float(as_image(picture).pixels)
