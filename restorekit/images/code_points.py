"""What a file says of its colours in code points, which Pillow overlooks: ``cICP`` of PNG, ``nclx`` of AVIF and HEIC.

Source: ITU-T H.273, tables 2 and 3; PNG specification, third edition (2025), sections 5.6 and 11.3.2; ISO/IEC 14496-12, sections
4.2, 8.11 and 12.1.5, and 23008-12, section 9.3, for the boxes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from io import SEEK_CUR, SEEK_END
from typing import BinaryIO

from restorekit.errors import ImageError
from restorekit.images.colour import display_p3
from restorekit.images.metadata import Metadata

LENGTHS = {b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""The chunks of PNG that hold code points, and the light of the screen they were chosen on, with the bytes of their bodies."""

_P3, _SRGB = 12, 13
_HDR = {16: "PQ", 18: "HLG"}
_MOST_BOXES = 64  # at the top of a file; those of photographs have four or so
_LARGEST_META = 2**20  # bytes; it holds no pixels, and beside a profile of that size code points are of no use


@dataclass(frozen=True)
class CodePoints:
    """What a file says of its colours.

    Attributes:
        primaries: a number in table 2 of H.273; 2 where the file does not say.
        transfer: a number in table 3 of H.273; 2 where the file does not say.
        chunks: names and bodies of a PNG file's chunks among :data:`LENGTHS`.
    """

    primaries: int = 2
    transfer: int = 2
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    def check_range(self, name: str) -> None:
        """Refuse HDR, for formats that are not written with code points.

        Raises:
            ImageError: for the transfer functions PQ and HLG.
        """
        if self.transfer in _HDR:
            raise ImageError(
                f"{name} is an HDR picture ({_HDR[self.transfer]}), which would come out flat", "Convert it to SDR first"
            )

    def added_to(self, metadata: Metadata, channels: int) -> Metadata:
        """Metadata with the chunks, and with a profile of Display P3 if the colours are that and no other profile says so.

        Args:
            metadata: of the same file.
            channels: 1 or 3; grey has no primaries, and is that of sRGB.
        """
        metadata = replace(metadata, colour=(*self.chunks, *metadata.colour))
        if channels == 3 and metadata.icc_profile is None and (self.primaries, self.transfer) == (_P3, _SRGB):
            return replace(metadata, icc_profile=display_p3())
        return metadata


def hdr_name(colour: Iterable[tuple[bytes, bytes]]) -> str:
    """The HDR transfer function, PQ or HLG, that the chunks of a PNG file name; empty if they name none."""
    body = dict(colour).get(b"cICP", b"")
    return _HDR.get(body[1], "") if len(body) == LENGTHS[b"cICP"] else ""


def read(file: BinaryIO, file_format: str) -> CodePoints:
    """The code points of a file, at whose beginning it is and will be again. Damage is not told: a decoder will."""
    file.seek(0)
    try:
        if file_format == "PNG":
            return _of_png(file)
        return _of_boxes(file) if file_format in ("AVIF", "HEIF") else CodePoints()
    except (struct.error, LookupError):  # boxes that end too early, or are not there
        return CodePoints()
    finally:
        file.seek(0)


def _of_png(file: BinaryIO) -> CodePoints:
    found: dict[bytes, bytes] = {}
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, name = struct.unpack(">I4s", head)
        if name in (b"IDAT", b"IEND"):
            break
        if LENGTHS.get(name) == size:
            found.setdefault(name, file.read(size))
            size = 0
        file.seek(size + 4, SEEK_CUR)
    points = found.get(b"cICP", b"\2\2")
    return CodePoints(points[0], points[1], tuple(found.items()))


def _of_boxes(file: BinaryIO) -> CodePoints:
    """The code points of the primary picture: its gain map, or its HDR rendering, may have others."""
    inside = dict(_boxes(_meta_of(file)[4:]))  # behind version and flags
    primary, properties = inside[b"pitm"], dict(_boxes(inside[b"iprp"]))
    item = int.from_bytes(primary[4 : 8 if primary[0] else 6], "big")
    boxes = list(_boxes(properties[b"ipco"]))
    for index in _associated(properties[b"ipma"], item):
        name, body = boxes[index - 1] if index else (b"", memoryview(b""))
        if name == b"colr" and bytes(body[:4]) == b"nclx":
            return CodePoints(*struct.unpack_from(">HH", body, 4))
    return CodePoints()


def _meta_of(file: BinaryIO) -> memoryview:
    """The body of the box ``meta`` at the top of a file, empty if there is none."""
    end = file.seek(0, SEEK_END)
    at = 0
    for _ in range(_MOST_BOXES):
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        start = at + 8
        if size == 1:
            (size,), start = struct.unpack(">Q", file.read(8)), at + 16
        at = at + size if size else end  # 0: up to the end of the file
        if not start <= at <= end:
            break
        if name == b"meta":
            return memoryview(file.read(min(at - start, _LARGEST_META)))
    return memoryview(b"")


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each box, up to one that does not fit."""
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > len(data):  # 64-bit sizes and sizes left open have no place within ``meta``
            return
        yield name, data[at + 8 : at + size]
        at += size


def _associated(body: memoryview, item: int) -> Iterator[int]:
    """Numbers, from 1 on, of the properties that a box ``ipma`` gives to an item."""
    version, wide = body[0], body[3] & 1
    (entries,) = struct.unpack_from(">I", body, 4)
    at = 8
    for _ in range(entries):
        found, count = struct.unpack_from(">HB" if version < 1 else ">IB", body, at)
        at += 3 if version < 1 else 5
        if found == item:
            yield from (n & (0x7FFF if wide else 0x7F) for n in struct.unpack_from(f">{count}{'H' if wide else 'B'}", body, at))
        at += count * (1 + wide)
