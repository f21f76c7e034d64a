"""The errors a user can cause, and what each asks of them.

::

    RestoreKitError            exit code 1: the work failed
    ├── ImageError             a file that cannot be read or written as an image
    ├── DataError              a data set that cannot be used
    ├── CardError              a model card or its weights are not as they should be
    ├── CheckpointError        a training checkpoint or foreign checkpoint cannot be used
    ├── NumericalError         a result that is not finite
    ├── OutOfMemoryError       not enough memory even for the smallest tile
    └── UsageError             exit code 2: the command itself cannot be right
        ├── UnknownNameError   a name nobody knows, with the nearest known ones
        └── SettingError       a key or value of a recipe, card or option that does not hold

The command line catches :class:`RestoreKitError`, prints one line and exits; a traceback reaches a user only with ``--debug``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class RestoreKitError(Exception):
    """What was wrong, and what to do about it.

    Args:
        problem: what was wrong and where, without a final full stop.
        remedy: what the user can do, as an imperative sentence without a final full stop.
    """

    exit_code = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        sentences = (part if part.endswith("?") else f"{part}." for part in (self.problem, self.remedy) if part)
        return " ".join(sentences)


class ImageError(RestoreKitError):
    """A file that cannot be read or written as an image."""


class DataError(RestoreKitError):
    """A data set that cannot be used."""


class CardError(RestoreKitError):
    """A model card, or the weights it names, that cannot be used."""


class CheckpointError(RestoreKitError):
    """A training checkpoint, or a foreign checkpoint, that cannot be used."""


class NumericalError(RestoreKitError):
    """A network's result that is not finite, even in float32."""


class OutOfMemoryError(RestoreKitError):
    """Not enough memory, even for the smallest tile."""


class UsageError(RestoreKitError):
    """A command, option or argument that cannot be right."""

    exit_code = 2


class SettingError(UsageError):
    """A key or value of a recipe, card or option that does not hold."""


class UnknownNameError(UsageError):
    """A name nobody knows; the message names the nearest known ones.

    Args:
        kind: what the name should have named, for example ``"model"``.
        name: the name as given.
        known: every name that would have been right.
        where: the file and place the name was found in, if it was not typed.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            remedy = "Did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
        elif known:
            remedy = "Known are: " + ", ".join(known)
        else:
            remedy = ""
        super().__init__(f"unknown {kind} '{name}'" + (f" in {where}" if where else ""), remedy)
        self._given = kind, name, known, where
        self.name = name
        self.near = near

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._given  # as an exception would be made of its message, on its way from another process
