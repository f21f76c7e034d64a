"""What lies in folders and in those inside them, links followed: data sets are often put together from links."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(folder: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As :func:`os.walk`, top down, but links to folders are followed, and no folder is entered twice.

    A link to what lies in ``folder`` anyway, or above it, adds nothing, so that circles end. Names of folders that the caller
    removes from the list are not entered.
    """
    top, entered = folder.resolve(), set[Path]()
    for place, names, files in os.walk(folder, onerror=onerror, followlinks=True):
        here = Path(place)
        real = here.resolve()
        idle = here != folder and here.is_symlink() and (real.is_relative_to(top) or top.is_relative_to(real))
        if idle or real in entered:
            names.clear()
            continue
        entered.add(real)
        yield here, names, files


def files_below(folder: Path) -> list[Path]:
    """All files in ``folder`` and in folders inside it, sorted; none if it is no folder or cannot be read."""
    return sorted(path for place, _, files in walk(folder) for name in files if (path := place / name).is_file())


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether a path in ``folder`` is hidden there, or lies in a hidden folder: leftovers of systems and editors, no data."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def visible_below(folder: Path) -> list[Path]:
    """What :func:`files_below` gives, without what is hidden."""
    return [path for path in files_below(folder) if not is_hidden(path, folder)]


def nearest(path: Path) -> Path:
    """The path, absolute, or the lowest of the folders above it that is there."""
    return next(place for place in (path.absolute(), *path.absolute().parents) if os.path.lexists(place))
