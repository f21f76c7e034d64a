"""Locks on open files, by which processes see what others work on; a lock ends with its process, however that ends."""

from __future__ import annotations

import errno
from typing import BinaryIO, Literal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

AVAILABLE = fcntl is not None
"""Whether files can be locked at all."""

LockState = Literal["held", "taken", "unknown"]


def lock(file: BinaryIO) -> LockState:
    """Lock a file for this process alone, without waiting, until it is closed or the process ends.

    ``"held"``: done. ``"taken"``: somebody else has a lock on it. ``"unknown"``: files cannot be locked here, as on Windows and
    on some network file systems, so that nobody can tell.
    """
    if not AVAILABLE:
        return "unknown"
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return "taken" if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else "unknown"
    return "held"


def share(file: BinaryIO) -> None:
    """Lock a file together with all others that share it, in place of a lock on it that is held; nothing where that cannot be."""
    if not AVAILABLE:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:  # a network file system without locks
        return
