"""What a folder of results remembers, so that a second run goes on where the first one stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal

from restorekit.errors import ImageError
from restorekit.images import locks
from restorekit.images.atomic import remove_unfinished

FILE_NAME = ".restorekit.jsonl"

State = Literal["absent", "current", "stale", "foreign"]
Stamp = tuple[int, int]  # size in bytes, time of the last change in nanoseconds


@dataclass(frozen=True)
class Making:
    """What a result is made of: an input, as it was, and the settings that shape the result.

    Attributes:
        input: its path from the journal's folder, always with a slash; a bare name in the journals of earlier versions.
        size: its bytes.
        changed: when it was last changed, in nanoseconds.
        settings: a digest of the settings.
    """

    input: str
    size: int
    changed: int
    settings: str

    @classmethod
    def of(cls, source: Path, settings: Mapping[str, Any], folder: Path) -> Making | None:
        """As the journal in ``folder`` notes it; None for a source that cannot be looked at."""
        stamp = _stamp(source)
        if stamp is None:
            return None
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        return cls(_path_from(folder, source), *stamp, digest[:16])


@dataclass(frozen=True)
class _Entry:
    making: Making
    before: Stamp | None  # the target when writing started
    after: Stamp | None  # the target when it was done; None if that was never written down
    previous: _Entry | None
    beside: Mapping[str, tuple[Stamp | None, Stamp | None]]  # the same of what was written beside it, then or ever before
    wanted: tuple[str, ...]  # what of it was written this time


class Journal:
    """One line when a result starts to be written, one when it stands: also a run that was killed in between leaves no doubt.

    Results are renamed into place when they are complete. So if a target is no longer what it was when writing started, it is the
    result, even if the second line is missing.

    Args:
        folder: where the results lie.
        create: start a journal if there is none; else one is only kept up.
    """

    def __init__(self, folder: Path, create: bool) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        exists = os.path.exists(self.path)
        self.writes = create or exists
        self._entries: dict[str, _Entry] = {}
        if exists:
            self._read()

    def state(self, target: Path, making: Making) -> State:
        """What stands at ``target``.

        ``"absent"``: nothing. ``"current"``: what would be made again. ``"stale"``: an unchanged result of ours, of this input
        before it changed or of other settings, or one that has lost what was written beside it. ``"foreign"``: made of another
        input, not made by us, or changed since.
        """
        now = _stamp(target)
        if now is None:
            return "absent"
        entry = self._standing(target, now)
        if entry is None or entry.after not in (None, now) or not self._same_input(entry.making, making):
            return "foreign"
        whole = all(os.path.lexists(self.folder / key) for key in entry.wanted)
        return "current" if whole and replace(entry.making, input=making.input) == making else "stale"

    def knows(self, target: Path, making: Making) -> bool:
        """Whether writing ``target`` was ever started here, of the same input."""
        entry = self._entries.get(self._key(target))
        return entry is not None and self._same_input(entry.making, making)

    def is_anothers(self, target: Path, making: Making) -> bool:
        """Whether what stands at ``target`` was made of another input, or not by us; what was changed since is not another's."""
        now = _stamp(target)
        if now is None:
            return False
        entry = self._standing(target, now)
        return entry is None or not self._same_input(entry.making, making)

    def wrote(self, target: Path, path: Path) -> bool:
        """Whether ``path`` is what was written beside ``target``, unchanged."""
        now, key = _stamp(path), self._key(path)
        entry = self._entries.get(self._key(target))
        while entry is not None:
            if key in entry.beside:
                before, after = entry.beside[key]
                if after is not None:
                    return after == now
                if before != now:
                    return True
            entry = entry.previous
        return False

    def start(self, target: Path, making: Making, beside: Iterable[Path] = ()) -> None:
        """Note that ``target`` is about to be written, and these files beside it."""
        stamps = {self._key(path): _stamp(path) for path in beside}
        self._append({"start": self._key(target), **asdict(making), "before": _stamp(target), "beside": stamps})

    def finish(self, target: Path, beside: Iterable[Path] = ()) -> None:
        """Note that ``target`` stands, and these files beside it."""
        stamps = {self._key(path): _stamp(path) for path in beside}
        self._append({"done": self._key(target), "after": _stamp(target), "beside": stamps})

    @contextmanager
    def working(self, folders: Iterable[Path]) -> Iterator[None]:
        """Mark the results as being worked on.

        If nobody else works on them, what a killed run left half-written in ``folders`` is removed first. Where files cannot be
        locked, that is never certain, and nothing is removed.
        """
        if not self.writes or not locks.AVAILABLE:
            yield
            return
        with self._open() as file:
            if locks.lock(file) == "held":
                for folder in folders:
                    remove_unfinished(folder)
            locks.share(file)
            yield

    def _standing(self, target: Path, now: Stamp) -> _Entry | None:
        """The entry of what stands at ``target``: not the last one, if its result was never put there."""
        entry = self._entries.get(self._key(target))
        while entry is not None and entry.after is None and entry.before == now:
            entry = entry.previous
        return entry

    def _same_input(self, then: Making, now: Making) -> bool:
        """An input is known by its path, and by name, size and time if it was moved since or only its name was noted."""
        if then.input == now.input:
            return True
        if "/" in then.input and os.path.lexists(self.folder / then.input):
            return False
        return PurePath(then.input).name == PurePath(now.input).name and (then.size, then.changed) == (now.size, now.changed)

    def _key(self, target: Path) -> str:
        try:
            return Path(os.path.relpath(target, self.folder)).as_posix()
        except ValueError:  # another drive of Windows
            return target.resolve().as_posix()

    def _read(self) -> None:
        try:
            lines = self.path.read_bytes().splitlines()
        except OSError as error:
            raise ImageError(
                f"the journal {self.path} cannot be read: {error.strerror}", "Remove it or name another folder"
            ) from None
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue  # a line cut short by a kill

    def _take(self, line: dict[str, Any]) -> None:
        if key := line.get("start"):
            making = Making(line["input"], line["size"], line["changed"], line["settings"])
            previous = self._entries.get(key)
            beside = {name: (_as_stamp(stamp), None) for name, stamp in line.get("beside", {}).items()}
            known = {**(previous.beside if previous else {}), **beside}
            self._entries[key] = _Entry(making, _as_stamp(line["before"]), None, previous, known, tuple(beside))
        elif entry := self._entries.get(line["done"]):
            done = {name: (None, _as_stamp(stamp)) for name, stamp in line.get("beside", {}).items()}
            after = _as_stamp(line["after"])
            self._entries[line["done"]] = replace(entry, after=after, previous=None, beside={**entry.beside, **done})

    def _append(self, line: dict[str, Any]) -> None:
        if self.writes:
            with self._open() as file:
                try:
                    start = b"" if _ends_line(file) else b"\n"
                    file.write(start + json.dumps(line).encode() + b"\n")
                    file.flush()
                except OSError as error:
                    raise self._unwritable(error) from None

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.path.open("ab+")
        except OSError as error:
            raise self._unwritable(error) from None
        with file:
            yield file

    def _unwritable(self, error: OSError) -> ImageError:
        return ImageError(f"the journal {self.path} cannot be written: {error.strerror}", "Name another folder with -o")


def _ends_line(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _path_from(folder: Path, source: Path) -> str:
    parent = os.path.realpath(source.parent)
    with suppress(ValueError):  # another drive of Windows, which stays in the path
        parent = os.path.relpath(parent, os.path.realpath(folder))
    return f"{Path(parent).as_posix()}/{source.name}"


def _stamp(path: Path) -> Stamp | None:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns


def _as_stamp(value: Any) -> Stamp | None:
    return None if value is None else (value[0], value[1])
