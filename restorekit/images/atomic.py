"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from restorekit.images.locks import lock

_WINDOWS = os.name == "nt"
_PAUSES = (0.05, 0.1, 0.2, 0.3, 0.35)
"""Seconds between tries where another program holds a file, about one in all."""

TEMPORARY_SUFFIX = ".restorekit-tmp"
"""How the names of unfinished files end; one is left behind only if the process is killed or the power fails."""


@contextmanager
def replacing(target: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """A new file, open for reading and writing, that takes the target's place when the block ends without an error.

    It lies in the target's folder, under a hidden name, until it is complete and on the disk; on any error, interruptions
    included, it is removed and a file that was there before stays as it was. It has the permissions of the file it replaces, else
    those of the umask. A link is followed: what it points to is replaced. A device or pipe is written to directly.

    Raises:
        FileExistsError: if the target exists and ``overwrite`` is False, even if it appears while the file is being written.
        PermissionError: on Windows, for a target that may only be read, or that another program holds for longer than a second.
        OSError: whatever the system says.
    """
    target = Path(os.path.realpath(target))
    old = _mode_of(target)
    if old is not None and not overwrite:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    if old is not None and stat.S_ISDIR(old):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if old is not None and not stat.S_ISREG(old):
        with target.open("wb") as device:
            yield device
        return
    if old is not None and _WINDOWS and not old & stat.S_IWRITE:  # which could be written beside, but never replaced
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))
    temporary, file = _create_beside(target)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not _WINDOWS:  # without its lock, it would be taken for one left unfinished until it has its name
                _move(temporary, target, old, overwrite)
        if _WINDOWS:  # which has no locks, and moves no open files
            _move(temporary, target, old, overwrite)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left half-written in ``folder``.

    A file that a living process writes is locked by it and stays; where files cannot be locked, that is never certain, and
    nothing is removed.
    """
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        with suppress(OSError), leftover.open("r+b") as file:
            if lock(file) == "held":
                leftover.unlink()


def _create_beside(target: Path) -> tuple[Path, BinaryIO]:
    """A new file, locked where files can be. One that is taken for a leftover before it is locked is left to who removes it."""
    while True:
        # tempfile gives files to their owner only, and no thread can read the umask without changing it for all
        path = target.parent / f".{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        file = path.open("x+b")
        state = lock(file)
        if state == "unknown" or (state == "held" and path.exists()):
            return path, file
        file.close()


def _move(temporary: Path, target: Path, old: int | None, overwrite: bool) -> None:
    """Give the file its name, and the permissions ``old``."""
    if old is not None:
        with suppress(OSError):
            temporary.chmod(stat.S_IMODE(old))
    if overwrite:
        _patiently(lambda: temporary.replace(target))
    else:
        _move_without_replacing(temporary, target)


def _move_without_replacing(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if _mode_of(target) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        _patiently(lambda: temporary.replace(target))
    else:
        _patiently(temporary.unlink)


def _patiently(step: Callable[[], object]) -> None:
    """Take a step that Windows denies as long as a virus scanner or a sync client has the file open."""
    for pause in _PAUSES if _WINDOWS else ():
        try:
            step()
        except PermissionError:
            time.sleep(pause)
        else:
            return
    step()


def _mode_of(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, where the system has a way to."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
