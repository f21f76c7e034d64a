from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.images import ifd
from restorekit.images.ifd import Entry, Layout

LAYOUTS = [Layout("<"), Layout(">"), Layout("<", big=True), Layout(">", big=True)]

entries = st.builds(
    lambda kind, data: Entry(kind, len(data), data), st.sampled_from([1, 2, 6, 7]), st.binary(min_size=1, max_size=40)
)
plain = st.dictionaries(st.integers(1, 65535).filter(lambda tag: tag not in ifd.POINTERS), entries, max_size=6)


@settings(max_examples=60)
@given(plain, plain, st.sampled_from(LAYOUTS))
def test_what_is_written_is_read(outer: ifd.Directory, inner: ifd.Directory, layout: Layout) -> None:
    directory = outer | ({ifd.EXIF: Entry(ifd.LONG, 1, b"", inner)} if inner else {})
    data = layout.header() + ifd.write_directory(directory, layout, len(layout.header()))
    read = ifd.reader(data)
    assert ifd.read_header(read) == (layout, len(layout.header()))
    found = ifd.read_directory(read, layout, len(layout.header()), len(data))
    assert {tag: e for tag, e in found.items() if tag != ifd.EXIF} == outer
    if inner:
        assert found[ifd.EXIF].children == inner


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_is_extended_without_moving_anything(layout: Layout) -> None:
    first = {256: Entry(3, 1, struct.pack(layout.order + "H", 7)), 700: Entry(1, 50, bytes(range(50)))}
    file = BytesIO(layout.header() + ifd.write_directory(first, layout, len(layout.header()), following=12345) + b"x")
    before = file.getvalue()
    ifd.extend_file(
        file, {271: Entry(2, 20, b"a camera of some kind"[:20]), 256: Entry(3, 1, struct.pack(layout.order + "H", 9))}
    )
    after = file.getvalue()
    assert after[len(layout.header()) : len(before)] == before[len(layout.header()) :]
    read = ifd.reader(file)
    _, offset = ifd.read_header(read)
    assert offset % 2 == 0
    found = ifd.read_directory(read, layout, offset, len(after))
    assert found[700].data == bytes(range(50))
    assert found[271].data == b"a camera of some kin"
    assert ifd.unsigned(found[256].data, layout.order) == 9
    _, next_at = ifd.positions(read, layout, offset)
    assert ifd.unsigned(read(next_at, layout.offset_size), layout.order) == 12345


def test_values_outside_the_file_are_left_out() -> None:
    layout = Layout("<")
    table = struct.pack("<H", 3)
    table += (
        struct.pack("<HHII", 270, 2, 10, 10_000)
        + struct.pack("<HHII", 271, 2, 2**32 - 1, 0)
        + struct.pack("<HHII", 272, 2, 2, 0x4142)
    )
    data = layout.header() + table + bytes(4)
    assert ifd.read_directory(ifd.reader(data), layout, 8, len(data)) == {272: Entry(2, 2, b"BA")}


def test_overlapping_values_take_no_more_than_the_file_has() -> None:
    layout, count, size = Layout("<"), 1000, 12_000
    table = struct.pack("<H", count) + b"".join(struct.pack("<HHII", 1000 + i, 1, size, 8) for i in range(count)) + bytes(4)
    data = layout.header() + table
    assert len(data) > size
    assert ifd.total_size(ifd.read_directory(ifd.reader(data), layout, 8, len(data))) <= len(data)


def test_a_directory_that_points_to_itself_comes_to_an_end() -> None:
    layout = Layout(">")
    loop = struct.pack(">HHII", ifd.EXIF, 4, 1, 8)
    data = layout.header() + struct.pack(">H", 2000) + loop * 2000 + bytes(4)
    found = ifd.read_directory(ifd.reader(data), layout, 8, len(data))
    assert ifd.total_size(found) == 0


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(["II*\0", "MM\0*", "II+\0\x08\0\0\0", "MM\0+\0\x08\0\0"]))
def test_any_bytes_can_be_read(data: bytes, head: str) -> None:
    read = ifd.reader(head.encode("latin-1") + data)
    found = ifd.read_header(read)
    if found is not None:
        ifd.read_directory(read, found[0], found[1], len(data) + 8)
