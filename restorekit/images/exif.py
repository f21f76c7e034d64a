"""EXIF blocks, patched rather than parsed and written anew, so that maker notes and unknown tags stay as the camera wrote them.

Everywhere in RestoreKit an EXIF block is ``b"Exif\\0\\0"`` followed by a small TIFF file, as in JPEG and in Pillow's
``info["exif"]``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Iterator
from fractions import Fraction
from io import BytesIO

from restorekit.images import ifd
from restorekit.images.ifd import Directory, Entry, Layout
from restorekit.images.orientation import exchanges_sides

PREFIX = b"Exif\0\0"
ORIENTATION = 274
WIDTH, HEIGHT, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 256, 257, 282, 283, 296
INCH, CENTIMETRE = 2, 3
PIXEL_WIDTH, PIXEL_HEIGHT = 40962, 40963
FOCAL_LENGTH, FOCAL_LENGTH_ON_FILM = 37386, 41989
PLANE_X_RESOLUTION, PLANE_RESOLUTION_UNIT = 41486, 41488
MILLIMETRES = {INCH: 25.4, CENTIMETRE: 10.0, 4: 1.0, 5: 1e-3}
"""Of the units of resolutions; those past the centimetre stand for resolutions of the focal plane only."""

FILM_DIAGONAL = math.hypot(36, 24)
"""Millimetres across a picture on 35 mm film."""

_ENTRY_SIZE = 12
_SIDES = {(WIDTH, HEIGHT), (X_RESOLUTION, Y_RESOLUTION)}
_EXIF_SIDES = {(40962, 40963), (41486, 41487)}  # PixelX/YDimension, FocalPlaneX/YResolution


def normalised(block: object) -> bytes | None:
    """The block with its prefix, or None if it is not an EXIF block at all."""
    if not isinstance(block, bytes):
        return None
    body = block.removeprefix(PREFIX)
    found = ifd.read_header(ifd.reader(body))
    return PREFIX + body if found and not found[0].big else None


def orientation(block: bytes) -> int | None:
    """The orientation 1 to 8; None if the block has no orientation or an impossible one."""
    body, layout, offset = _opened(block)
    entry = ifd.read_directory(ifd.reader(body), layout, offset, len(body), depth=0).get(ORIENTATION)
    if entry is None or entry.count != 1:
        return None
    value = ifd.unsigned(entry.data, layout.order)
    return value if 1 <= value <= 8 else None


def made_upright(block: bytes, turned: int) -> bytes:
    """The block of a picture that has been turned upright.

    The orientation becomes 1; tags for width and height change places if rows became columns; the preview, which still lies as
    before, is unlinked. A block that said 1 already is returned bit for bit.

    Args:
        block: the EXIF block.
        turned: the orientation that was applied to the pixels.
    """
    body, layout, offset = _opened(block)
    read = ifd.reader(body)
    patched = bytearray(body)
    places, next_at = ifd.positions(read, layout, offset)
    at = _first(places)
    if ORIENTATION in at:
        struct.pack_into(layout.order + "HHIHH", patched, at[ORIENTATION], ORIENTATION, ifd.SHORT, 1, 1, 0)
    if turned != 1:
        _unlink(patched, layout, next_at)
    if exchanges_sides(turned):
        _exchange(patched, at, _SIDES)
        if ifd.EXIF in at:
            start = struct.unpack_from(layout.offset_code, body, at[ifd.EXIF] + 8)[0]
            _exchange(patched, _first(ifd.positions(read, layout, start)[0]), _EXIF_SIDES)
    return PREFIX + bytes(patched)


def without_preview(block: bytes) -> bytes:
    """The block with its preview unlinked, which shows a picture that is no more; nothing moves."""
    body, layout, offset = _opened(block)
    _, next_at = ifd.positions(ifd.reader(body), layout, offset)
    patched = bytearray(body)
    _unlink(patched, layout, next_at)
    return PREFIX + bytes(patched)


def without_orientation(block: bytes) -> bytes:
    """The block with the orientation's entry taken out; nothing moves but the entries behind it."""
    body, layout, offset = _opened(block)
    places, next_at = ifd.positions(ifd.reader(body), layout, offset)
    patched = bytearray(body)
    found = [at for tag, at in places if tag == ORIENTATION]
    if not found:
        return PREFIX + body
    end = next_at + layout.offset_size
    for at in reversed(found):
        patched[at:end] = patched[at + _ENTRY_SIZE : end] + bytes(_ENTRY_SIZE)
    struct.pack_into(layout.count_code, patched, offset, len(places) - len(found))
    return PREFIX + bytes(patched)


def dots_per_inch(block: bytes) -> tuple[float, float] | None:
    """Horizontal and vertical resolution in dots an inch, if the block tells."""
    body, layout, offset = _opened(block)
    directory = ifd.read_directory(ifd.reader(body), layout, offset, len(body), depth=0)
    unit = directory.get(RESOLUTION_UNIT)
    scale = {INCH: 1.0, CENTIMETRE: 2.54}.get(ifd.unsigned(unit.data[:2], layout.order) if unit else INCH)
    if scale is None:
        return None
    x, y = (_fraction(directory.get(tag), layout) for tag in (X_RESOLUTION, Y_RESOLUTION))
    return (x * scale, y * scale) if x and y else None


def focal_length(block: bytes, size: tuple[int, int]) -> float | None:
    """The focal length, in pixels, of a photograph of ``size`` rows and columns that may have been made smaller since; None if
    the block does not tell, or is of a photograph of another shape: what was cut off would have to be known.

    It follows from the one on 35 mm film that sees as much from corner to corner (CIPA DCG-001), else from the real one and how
    dense the pixels on the sensor are.
    """
    directory, layout = entries(block)
    pointer = directory.get(ifd.EXIF)
    tags = pointer.children if pointer and pointer.children else {}
    taken = sorted(_whole(tags.get(tag), layout) for tag in (PIXEL_WIDTH, PIXEL_HEIGHT))
    now = sorted(size)
    if taken[0] and abs(now[0] * taken[1] / (now[1] * taken[0]) - 1) > 0.02:
        return None
    on_film = _whole(tags.get(FOCAL_LENGTH_ON_FILM), layout)
    if on_film:
        return on_film * math.hypot(*size) / FILM_DIAGONAL
    real, density = (_fraction(tags.get(tag), layout) for tag in (FOCAL_LENGTH, PLANE_X_RESOLUTION))
    unit = MILLIMETRES.get(_whole(tags.get(PLANE_RESOLUTION_UNIT), layout) or INCH)
    if not real or not density or unit is None:
        return None
    return real * density / unit * (now[1] / taken[1] if taken[0] else 1)


def with_resolution(block: bytes | None, dpi: tuple[float, float]) -> bytes:
    """A block that tells the resolution, for formats with no other place for it; one that tells a resolution stays as it is."""
    if block is not None and dots_per_inch(block) is not None:
        return block
    body = _opened(block)[0] if block is not None else Layout("<").header() + ifd.write_directory({}, Layout("<"), 8)
    layout = _opened(PREFIX + body)[1]
    file = BytesIO(body)
    ifd.extend_file(file, resolution_entries(dpi, layout))
    return PREFIX + file.getvalue()


def resolution_entries(dpi: tuple[float, float], layout: Layout) -> Directory:
    """The three entries that tell a resolution in dots an inch, precise to four places."""
    x, y = (_rational(value, layout.order) for value in dpi)
    return {
        X_RESOLUTION: Entry(ifd.RATIONAL, 1, x),
        Y_RESOLUTION: Entry(ifd.RATIONAL, 1, y),
        RESOLUTION_UNIT: Entry(ifd.SHORT, 1, struct.pack(layout.order + "H", INCH)),
    }


def fitted(block: bytes, limit: int) -> bytes | None:
    """The block in at most ``limit`` bytes, without the preview, and its largest values if need be; None if nothing is left."""
    if len(block) <= limit:
        return block
    directory, layout = entries(block)
    largest = sorted(_values(directory), key=lambda value: value[0])
    total = sum(14 + size for size, _, _ in largest)
    while largest and total > limit - 256:
        size, parent, tag = largest.pop()
        total -= 14 + size
        del parent[tag]
    return from_entries(_pruned(directory), layout.order) if largest else None


def entries(block: bytes) -> tuple[Directory, Layout]:
    """The block's first directory with those it points to, and how its numbers are written."""
    body, layout, offset = _opened(block)
    return ifd.read_directory(ifd.reader(body), layout, offset, len(body)), layout


def from_entries(directory: Directory, order: str, leaving_out: Collection[int] = ()) -> bytes:
    """A new block that holds a directory."""
    layout = Layout(order)
    kept = {tag: entry for tag, entry in directory.items() if tag not in leaving_out}
    return PREFIX + layout.header() + ifd.write_directory(kept, layout, len(layout.header()))


def _rational(value: float, order: str) -> bytes:
    exact = Fraction(min(value, 2**32 - 1)).limit_denominator(10_000 if value < 4e5 else 1)
    return struct.pack(order + "II", max(exact.numerator, 1), exact.denominator)


def _fraction(entry: Entry | None, layout: Layout) -> float | None:
    """A single positive fraction; None for anything else."""
    if entry is None or entry.kind != ifd.RATIONAL or entry.count != 1:
        return None
    over, under = struct.unpack(layout.order + "II", entry.data)
    return over / under if over and under else None


def _whole(entry: Entry | None, layout: Layout) -> int:
    """A single whole number; 0 for anything else."""
    if entry is None or entry.kind not in (ifd.SHORT, ifd.LONG) or entry.count != 1:
        return 0
    return ifd.unsigned(entry.data, layout.order)


def _opened(block: bytes) -> tuple[bytes, Layout, int]:
    body = block.removeprefix(PREFIX)
    found = ifd.read_header(ifd.reader(body))
    if found is None or found[0].big:
        raise ValueError("not an EXIF block")
    return body, *found


def _first(places: list[tuple[int, int]]) -> dict[int, int]:
    """Where the entry of each tag lies; of several, the first counts."""
    return dict(reversed(places))


def _unlink(patched: bytearray, layout: Layout, next_at: int) -> None:
    """Make the directory that ends at ``next_at`` the last one."""
    if 0 < next_at <= len(patched) - layout.offset_size:
        struct.pack_into(layout.offset_code, patched, next_at, 0)


def _exchange(patched: bytearray, at: dict[int, int], pairs: Collection[tuple[int, int]]) -> None:
    """Swap all but the tag of two entries."""
    for first, second in pairs:
        if first in at and second in at:
            a, b = slice(at[first] + 2, at[first] + _ENTRY_SIZE), slice(at[second] + 2, at[second] + _ENTRY_SIZE)
            patched[a], patched[b] = patched[b], patched[a]


def _values(directory: Directory) -> Iterator[tuple[int, Directory, int]]:
    """Size, directory and tag of every value in a directory and those it points to."""
    for tag, entry in directory.items():
        if entry.children is None:
            yield len(entry.data), directory, tag
        else:
            yield from _values(entry.children)


def _pruned(directory: Directory) -> Directory:
    """The directory without pointers to directories that hold nothing."""
    return {t: e for t, e in directory.items() if e.children is None or _pruned(e.children)}
