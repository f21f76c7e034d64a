"""TIFF directories as raw bytes: what TIFF files and EXIF blocks are made of.

Values are copied, never interpreted, so that unknown tags and maker notes survive bit for bit; Pillow's ``Exif`` would parse and
write anew everything it touches, and lose what it cannot parse. Everything read here may be hostile: offsets outside the file are
ignored and no more bytes are taken than the file has.

Layout: TIFF 6.0, section 2; BigTIFF; EXIF 2.32, section 4.6.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import SEEK_END
from typing import BinaryIO

Read = Callable[[int, int], bytes]
"""``read(offset, size)``: up to ``size`` bytes of the file from ``offset``."""

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
POINTERS = frozenset({EXIF, GPS, INTEROPERABILITY})
"""Tags whose value is the offset of another directory."""

SHORT, LONG, RATIONAL, LONG8 = 3, 4, 5, 16
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True)
class Layout:
    """How numbers are written: ``order`` is ``"<"`` or ``">"`` as for :mod:`struct`, ``big`` means BigTIFF."""

    order: str
    big: bool = False

    @property
    def count_code(self) -> str:
        """The :mod:`struct` code of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def entry_code(self) -> str:
        """The code of an entry: tag, type, count and the value or its offset."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def offset_code(self) -> str:
        """The code of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def offset_size(self) -> int:
        """Bytes of an offset, and of what fits into an entry in its place."""
        return 8 if self.big else 4

    def header(self) -> bytes:
        """The header of a file whose first directory follows at once."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, 16)
        return mark + struct.pack(self.order + "HI", 42, 8)


@dataclass(frozen=True)
class Entry:
    """A value: its type as a TIFF code, its count and its bytes; ``children`` in place of them for a directory."""

    kind: int
    count: int
    data: bytes
    children: Directory | None = None


Directory = dict[int, Entry]


def reader(source: bytes | bytearray | BinaryIO) -> Read:
    """A :data:`Read` for bytes or a seekable file; what lies outside reads as nothing."""
    if isinstance(source, (bytes, bytearray)):
        return lambda offset, size: bytes(source[offset : offset + size])
    end = source.seek(0, SEEK_END)

    def read(offset: int, size: int) -> bytes:
        if offset >= end:
            return b""
        source.seek(offset)
        return source.read(min(size, end - offset))

    return read


def read_header(read: Read) -> tuple[Layout, int] | None:
    """How the numbers are written and where the first directory starts; None if this is no TIFF header."""
    head = read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    magic = struct.unpack_from(order + "H", head, 2)[0]
    if magic == 42:
        return Layout(order), struct.unpack_from(order + "I", head, 4)[0]
    if magic == 43 and len(head) == 16:
        return Layout(order, big=True), struct.unpack_from(order + "Q", head, 8)[0]
    return None


def positions(read: Read, layout: Layout, offset: int) -> tuple[list[tuple[int, int]], int]:
    """``(tag, offset of its entry)`` of a directory's whole entries, and the offset of the pointer to the next directory."""
    raw = read(offset, struct.calcsize(layout.count_code))
    if len(raw) < struct.calcsize(layout.count_code):
        return [], 0
    count = min(struct.unpack(layout.count_code, raw)[0], 65535)
    start, size = offset + len(raw), struct.calcsize(layout.entry_code)
    table = read(start, count * size)
    count_read = len(table) // size
    tags = [struct.unpack_from(layout.order + "H", table, i * size)[0] for i in range(count_read)]
    return [(tag, start + i * size) for i, tag in enumerate(tags)], start + count * size


def read_directory(read: Read, layout: Layout, offset: int, budget: int, depth: int = 2) -> Directory:
    """The directory at ``offset`` and those it points to through :data:`POINTERS`.

    Args:
        read: the file.
        layout: how its numbers are written.
        offset: where the directory starts.
        budget: most bytes of values to take, at best the size of the file: honest values do not overlap.
        depth: how many levels of pointers to follow.
    """
    directory: Directory = {}
    seen: set[int] = set()  # a hostile directory could name the same sub-directory 65535 times
    for tag, at in positions(read, layout, offset)[0]:
        if tag in seen:
            continue
        seen.add(tag)
        _, kind, count, field = struct.unpack(layout.entry_code, read(at, struct.calcsize(layout.entry_code)))
        size = _SIZES.get(kind, 0) * count
        if not size or size > budget:
            continue
        if tag in POINTERS:
            start = unsigned(field[: min(size, layout.offset_size)], layout.order)
            children = read_directory(read, layout, start, budget, depth - 1) if depth and start else {}
            if children:
                directory[tag] = Entry(kind, count, b"", children)
                budget -= total_size(children)
            continue
        data = field[:size] if size <= layout.offset_size else read(struct.unpack(layout.offset_code, field)[0], size)
        if len(data) == size:
            directory[tag] = Entry(kind, count, data)
            budget -= size
    return directory


def write_directory(directory: Directory, layout: Layout, start: int, following: int = 0) -> bytes:
    """The bytes of a directory that will lie at offset ``start``, with its values and the directories it points to behind it."""
    entries = sorted((tag, entry) for tag, entry in directory.items() if layout.big or entry.children or entry.kind < 16)
    table = struct.pack(layout.count_code, len(entries))
    values_at = start + len(table) + len(entries) * struct.calcsize(layout.entry_code) + layout.offset_size
    values = bytearray()
    for tag, entry in entries:
        kind, count, field = entry.kind, entry.count, entry.data
        if entry.children is not None or len(entry.data) > layout.offset_size:
            values += b"\0" * ((values_at + len(values)) % 2)
            here = values_at + len(values)
            field = struct.pack(layout.offset_code, here)
            if entry.children is None:
                values += entry.data
            else:
                kind, count = (LONG8 if layout.big else LONG), 1
                values += write_directory(entry.children, layout, here)
        table += struct.pack(layout.entry_code, tag, kind, count, field)
    return table + struct.pack(layout.offset_code, following) + bytes(values)


def extend_file(file: BinaryIO, additions: Directory) -> None:
    """Add entries to the first directory of a TIFF file, or replace them; nothing that lies in the file moves.

    The directory is written anew behind the end, so offsets inside maker notes stay right.

    Args:
        file: readable, writable and seekable, with a TIFF header at 0.
        additions: entries in the file's own byte order.
    """
    read = reader(file)
    found = read_header(read)
    if found is None:
        raise ValueError("no TIFF header")
    layout, offset = found
    places, next_at = positions(read, layout, offset)
    end = file.seek(0, SEEK_END)
    directory = {tag: _as_it_lies(read, layout, at) for tag, at in places} | additions
    following = read(next_at, layout.offset_size)
    file.seek(0, SEEK_END)
    file.write(b"\0" * (end % 2))
    start = end + end % 2
    file.write(write_directory(directory, layout, start, unsigned(following, layout.order)))
    file.seek(8 if layout.big else 4)
    file.write(struct.pack(layout.offset_code, start))


def total_size(directory: Directory) -> int:
    """Bytes of all values of a directory and of those it points to."""
    return sum(len(e.data) + (total_size(e.children) if e.children else 0) for e in directory.values())


def _as_it_lies(read: Read, layout: Layout, at: int) -> Entry:
    """An entry whose field, value or offset, is taken over as it is."""
    _, kind, count, field = struct.unpack(layout.entry_code, read(at, struct.calcsize(layout.entry_code)))
    return Entry(kind, count, field)


def unsigned(data: bytes, order: str) -> int:
    """A whole number in the byte order of a :class:`Layout`."""
    return int.from_bytes(data, "little" if order == "<" else "big")
