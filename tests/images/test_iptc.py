from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restorekit.images import iptc
from restorekit.images.reading import read
from tests.images.samples import picture
from tests.images.test_tiff import tiff_of

CAT = b"\x1c\x02\x78\x00\x03cat"
LONG = b"\x1c\x02\x78\x80\x04" + struct.pack(">I", 70_000) + bytes(70_000)


@pytest.mark.parametrize("records", [CAT, LONG, CAT + LONG + CAT])
def test_what_follows_the_records_is_left_out(records: bytes) -> None:
    assert iptc.records_in(records) == records
    assert iptc.records_in(records + bytes(3)) == records
    assert iptc.records_in(records + CAT[:-1]) == records
    assert iptc.records_in(bytes(1) + records) is None


@pytest.mark.parametrize("data", [b"", CAT[:4], CAT[:-1], b"\x1c\x02\x78\xff\xff", LONG[:8], b"iptc!!"])
def test_what_are_no_records(data: bytes) -> None:
    assert iptc.records_in(data) is None


def test_records_are_found_among_other_resources() -> None:
    name = b"8BIM\x03\xed\x03abc" + struct.pack(">I", 3) + b"xyz\0"
    assert iptc.from_resources(name + iptc.as_resource(CAT)) == CAT
    assert iptc.from_resources(name) is None
    assert iptc.from_resources(name[:12] + CAT) is None


@given(st.binary(max_size=400).map(lambda body: b"\x1c\x02\x78" + struct.pack(">H", len(body)) + body))
def test_text_gives_back_what_it_was_made_of(records: bytes) -> None:
    assert iptc.from_text(iptc.as_text(records)) == records


def test_text_of_records_without_a_resource() -> None:
    assert iptc.from_text("\niptc\n       8\n" + CAT.hex()) == CAT
    assert iptc.from_text("\niptc\n       8\nzz") is None
    assert iptc.from_text(3) is None


def test_tiff_files_that_keep_them_among_resources_or_as_long_numbers() -> None:
    resources = iptc.as_resource(CAT)
    among = read(tiff_of(picture(5, 7, 3), photometric="rgb", extratags=[(34377, 7, len(resources), resources, True)]))
    assert among.metadata.iptc == CAT
    padded = CAT + bytes(-len(CAT) % 4)
    numbers = struct.unpack(f"<{len(padded) // 4}I", padded)
    long = read(tiff_of(picture(5, 7, 3), photometric="rgb", extratags=[(33723, 4, len(numbers), numbers, True)]))
    assert long.metadata.iptc == CAT
