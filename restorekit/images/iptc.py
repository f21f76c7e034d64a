"""IPTC records (caption, author, copyright): among Photoshop's resources in JPEG, a tag in TIFF, text in PNG.

Records begin with 0x1C, their number and two bytes of length each (IPTC Information Interchange Model 4.2, 1.6).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from restorekit.images import raw_profiles

RESOURCE = 0x0404
"""The number of the IPTC records among Photoshop's resources."""
TEXT = "Raw profile type iptc"
"""Keyword of a PNG text chunk, as ImageMagick, ExifTool and Exiv2 write and read it."""

_SIGNATURE = b"8BIM"


def records_in(data: bytes) -> bytes | None:
    """The records at the beginning of bytes, without what follows (a file may fill up with zeros); None if there are none."""
    at = 0
    while data[at : at + 1] == b"\x1c" and at + 5 <= len(data):
        size = struct.unpack_from(">H", data, at + 3)[0]
        extended = 0
        if size & 0x8000:  # so many bytes of a length that follows
            extended = size & 0x7FFF
            size = int.from_bytes(data[at + 5 : at + 5 + min(extended, 8)], "big")
        end = at + 5 + extended + size
        if end > len(data):
            break
        at = end
    return data[:at] or None


def from_resources(data: bytes) -> bytes | None:
    """The records among Photoshop's resources; None if there are none."""
    return next((records_in(body) for number, body in _resources(data) if number == RESOURCE), None)


def as_resource(records: bytes) -> bytes:
    """The records as a Photoshop resource without a name."""
    return _SIGNATURE + struct.pack(">HxxI", RESOURCE, len(records)) + records + bytes(len(records) % 2)


def from_text(value: object) -> bytes | None:
    """The records in the text of a PNG chunk of the keyword :data:`TEXT`, in a resource or as they are; None if it has none."""
    data = raw_profiles.bytes_in(value)
    return None if data is None else from_resources(data) or records_in(data)


def as_text(records: bytes) -> str:
    """The text of a PNG chunk of the keyword :data:`TEXT`."""
    return raw_profiles.as_text("iptc", as_resource(records))


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while data[at : at + 4] == _SIGNATURE and at + 7 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        at += 6 + name + name % 2
        if at + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, at)
        at += 4
        yield number, data[at : at + size]
        at += size + size % 2
