"""What travels from the file read to the file written, besides the pixels."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from restorekit.images import exif, iptc, raw_profiles, xmp
from restorekit.images.orientation import exchanges_sides

TextEntry = tuple[str, str]


@dataclass(frozen=True)
class Metadata:
    """What travels from input to output.

    Attributes:
        icc_profile: the ICC profile of the file. It describes the file's own colours: for a CMYK file it is a CMYK profile,
            though the pixels of the :class:`~restorekit.images.Image` are RGB.
        exif: the EXIF block, beginning with ``b"Exif\\0\\0"``, its orientation set to 1.
        xmp: the XMP packet, its orientation set to 1.
        dpi: horizontal and vertical resolution in dots an inch.
        text: keywords and values of PNG text chunks; a JPEG comment is the keyword ``"Comment"``.
        iptc: the IPTC records: caption, author, copyright. JPEG, TIFF and PNG files have a place for them.
        colour: names and bodies of a PNG file's chunks that say what its colours mean: ``cICP``, ``mDCV`` and ``cLLI``, which go
            before a profile, and ``gAMA``, ``cHRM`` and ``sRGB``, which count where there is no profile.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[TextEntry, ...] = ()
    iptc: bytes | None = None
    colour: tuple[tuple[bytes, bytes], ...] = ()

    def stripped(self) -> Metadata:
        """Only what says what the colours mean: without it they would change."""
        return Metadata(icc_profile=self.icc_profile, colour=self.colour)


def of_other_pixels(metadata: Metadata) -> Metadata:
    """Metadata for a picture made of the one they were read with: the EXIF preview would show that one."""
    return replace(metadata, exif=exif.without_preview(metadata.exif)) if metadata.exif else metadata


def made_upright(metadata: Metadata) -> tuple[Metadata, int]:
    """Metadata as read from a file, fitted to pixels that will be turned upright, and the orientation by which to turn them.

    EXIF decides; where it is silent ``tiff:Orientation`` in XMP does, as in Pillow.
    """
    turned = exif.orientation(metadata.exif) if metadata.exif else None
    if turned is None and metadata.xmp:
        turned = xmp.orientation(metadata.xmp)
    turned = turned or 1
    dpi = metadata.dpi
    return (
        replace(
            metadata,
            exif=exif.made_upright(metadata.exif, turned) if metadata.exif else None,
            xmp=xmp.made_upright(metadata.xmp) if metadata.xmp else None,
            dpi=(dpi[1], dpi[0]) if dpi and exchanges_sides(turned) else dpi,
        ),
        turned,
    )


def from_info(info: Mapping[Any, object], file_format: str) -> Metadata:
    """Metadata as Pillow found it, orientation still as in the file. Nothing in ``info`` is trusted to have its proper type.

    Args:
        info: ``info`` of a Pillow image.
        file_format: what it was read from.
    """
    icc, packet = info.get("icc_profile"), info.get("xmp")
    block = exif.normalised(info.get("exif")) or exif.normalised(raw_profiles.bytes_in(info.get("Raw profile type exif")))
    made_up = file_format == "JPEG" and info.get("jfif_unit") not in (1, 2)  # Pillow says 72 dpi where JPEG and EXIF say nothing
    dpi = None if made_up else _resolution(info.get("dpi"))
    if dpi is None and block:
        dpi = exif.dots_per_inch(block)
    return Metadata(
        icc_profile=icc if isinstance(icc, bytes) and icc else None,
        exif=block,
        xmp=packet if isinstance(packet, bytes) and packet else None,
        dpi=dpi,
        iptc=_iptc(info),
        colour=tuple(_colour_chunks(info)) if file_format == "PNG" else (),
    )


def _iptc(info: Mapping[Any, object]) -> bytes | None:
    resources = info.get("photoshop")
    found = resources.get(iptc.RESOURCE) if isinstance(resources, Mapping) else None
    return iptc.records_in(found) if isinstance(found, bytes) else iptc.from_text(info.get(iptc.TEXT))


def _colour_chunks(info: Mapping[Any, object]) -> Iterator[tuple[bytes, bytes]]:
    """The chunks that Pillow has taken apart, as they stood in the file."""
    for name, key, count in ((b"gAMA", "gamma", 1), (b"cHRM", "chromaticity", 8)):
        value = info.get(key)
        numbers = value if isinstance(value, tuple) else (value,)
        if len(numbers) == count and all(isinstance(number, (int, float)) and 0 <= number < 2**31 / 1e5 for number in numbers):
            yield name, struct.pack(f">{count}I", *(round(1e5 * float(number)) for number in numbers))
    intent = info.get("srgb")
    if isinstance(intent, int) and 0 <= intent < 256:
        yield b"sRGB", bytes([intent])


def _resolution(value: object) -> tuple[float, float] | None:
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    try:
        x, y = float(value[0]), float(value[1])
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return (x, y) if 0 < x < math.inf and 0 < y < math.inf else None
