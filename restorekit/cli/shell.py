"""What shells do not all do alike: patterns, ``~``, quotes, and what standard output can be given."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterable
from contextlib import suppress

WINDOWS = os.name == "nt"

_SPECIAL = frozenset("&|<>^(),;=@{}'`$#%!")
"""What cmd.exe or PowerShell takes for more than a character, outside quotes."""


def arguments() -> list[str]:
    """What was typed after the command's name. On Windows, whose shells leave it, a ``~`` for the home folder is replaced."""
    return [_with_home(word) for word in sys.argv[1:]] if WINDOWS else sys.argv[1:]


def _with_home(word: str) -> str:
    meant = word == "~" or word.startswith(("~/", "~\\"))
    return os.path.expanduser(word) if meant and not os.path.lexists(word) else word


def command_line() -> str:
    """The command as it was typed, for the foot of a page."""
    return quoted(["restorekit", *sys.argv[1:]])


def quoted(words: Iterable[str]) -> str:
    """The words as one line, to be typed at the shell that is usual here."""
    if WINDOWS:
        return " ".join(map(_quoted_for_windows, words))
    import shlex

    return shlex.join(words)


def _quoted_for_windows(word: str) -> str:
    from subprocess import list2cmdline

    if word.endswith("\\"):  # before a quote it would quote that
        word = f"{word[:-1]}/"
    line = list2cmdline([word])
    return f'"{line}"' if not line.startswith('"') and _SPECIAL & set(word) else line


def prepare_stdout() -> None:
    """Let standard output take any name: files and programs get UTF-8, and a character that a terminal lacks is written as
    ``\\xe9``, as are bytes of a name that are no text."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def says_nobody_reads(error: OSError) -> bool:
    """Whether the error is how Windows says that standard output has no reader any more, as after ``| more`` was left.

    What is left of the output then goes nowhere: Python would try to write it once more at its end, and complain.
    """
    if not WINDOWS or error.errno != errno.EINVAL:
        return False
    try:
        sys.stdout.flush()  # what could not be written is there still, and fails again
    except OSError:
        _send_the_rest_nowhere()
        return True
    return False


def of_full_output(error: OSError) -> str:
    """What to say of an error of standard output that was sent to a place which is full; empty for any other.

    Errors of files bear their names. What is left of the output then goes nowhere, as in :func:`says_nobody_reads`.
    """
    if error.errno != errno.ENOSPC or error.filename is not None:
        return ""
    _send_the_rest_nowhere()
    return f"standard output cannot be written to: {error.strerror}. Check what it is sent to."


def _send_the_rest_nowhere() -> None:
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
