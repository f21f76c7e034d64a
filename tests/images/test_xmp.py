from __future__ import annotations

import pytest

from restorekit.images import xmp
from tests.images.samples import XMP

ELEMENT = b"<rdf:Description><tiff:Orientation>%d</tiff:Orientation><tiff:Make>6</tiff:Make></rdf:Description>"


@pytest.mark.parametrize(
    "form", [XMP, ELEMENT, b"<a tiff:Orientation='%d' b='6'/>", b'<tiff:Orientation rdf:datatype="x">\n %d\n</tiff:Orientation>']
)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_in_all_its_spellings(form: bytes, orientation: int) -> None:
    packet = form % orientation
    assert xmp.orientation(packet) == orientation
    assert xmp.made_upright(packet) == form % 1


@pytest.mark.parametrize("packet", [b"", b"<x:xmpmeta/>", XMP % 0, XMP % 9, XMP % 123456789012345])
def test_no_orientation(packet: bytes) -> None:
    assert xmp.orientation(packet) is None


def test_padding_goes_before_the_packet_does() -> None:
    packet = b"<x:xmpmeta/>" + b" " * 3000 + b'\n<?xpacket end="w"?>'
    assert xmp.fitted(packet, 4000) == packet
    assert xmp.fitted(packet, 100) == b'<x:xmpmeta/>\n<?xpacket end="w"?>'
    assert xmp.fitted(packet, 10) is None


@pytest.mark.parametrize(
    "hostile", [b"tiff:Orientation" * 60_000, b" " * 10**6, b"tiff:Orientation=" + b" " * 10**6, b"tiff:Orientation x" * 50_000]
)
def test_hostile_packets_are_done_with_at_once(hostile: bytes) -> None:
    """A search that goes back and forth would not end within the patience of any test run."""
    assert xmp.orientation(hostile) is None
    assert xmp.made_upright(hostile) == hostile
    assert xmp.fitted(hostile, 10) is None
