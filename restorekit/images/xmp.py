"""The two things RestoreKit changes in an XMP packet: its orientation, and its padding where space is short."""

from __future__ import annotations

import re

# bounded throughout: a hostile packet could make an unbounded search take minutes
_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s{0,9}=\s{0,9}["']|[^<>]{0,99}>)\s{0,99})(\d{1,9})""")
_TRAILER = b"<?xpacket end"


def orientation(packet: bytes) -> int | None:
    """The orientation 1 to 8; None if the packet has no orientation or an impossible one."""
    found = _ORIENTATION.search(packet)
    value = int(found[2]) if found else 0
    return value if 1 <= value <= 8 else None


def made_upright(packet: bytes) -> bytes:
    """The packet with every ``tiff:Orientation`` set to 1; nothing else changes."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def fitted(packet: bytes, limit: int) -> bytes | None:
    """The packet in at most ``limit`` bytes, without the padding kept for editors if need be; None if it is longer still."""
    if len(packet) > limit:
        packet, trailer, rest = packet.rpartition(_TRAILER)
        packet = packet.rstrip() + b"\n" + trailer + rest if trailer else rest
    return packet if len(packet) <= limit else None
