"""The tags of a TIFF file: which page is the picture, and what of them is metadata."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.images import exif, ifd, iptc
from restorekit.images.formats import camera_raw
from restorekit.images.ifd import Directory, Layout, Read
from restorekit.images.metadata import Metadata
from restorekit.images.problems import Source

XMP, IPTC, ICC = 700, 33723, 34675
_RESOURCES = 34377  # Photoshop's
_LAYER_DATA, _SUB_IFDS, _DNG_VERSION = 37724, 330, 50706
_RESOLUTION = {exif.X_RESOLUTION, exif.Y_RESOLUTION, exif.RESOLUTION_UNIT}
STRUCTURE = frozenset(
    (
        *(*range(254, 260), *range(262, 267), 273, *range(277, 282), 284, *range(288, 294), 297, 301, 317, *range(320, 329)),
        *(_SUB_IFDS, *range(332, 335), *range(336, 346), 347, *range(512, 522), *range(529, 533)),
        *(XMP, ICC, _LAYER_DATA, *_RESOLUTION),
    )
)
"""Tags that say how a file is laid out rather than what the picture is, or that have their own place in :class:`Metadata`."""

_MOST_METADATA = 2**26
_KIND, _OLD_KIND, _PHOTOMETRIC = 254, 255, 262
_REDUCED_OR_MASK, _OLD_REDUCED = 0b101, 2
_RAW_PHOTOMETRICS = (32803, 34892)  # colour filter array, linear raw
_MOST_PAGES = 1000


@dataclass(frozen=True)
class Page:
    """A page of a TIFF file: its number, how its numbers are written, and its tags with their values."""

    index: int
    layout: Layout
    tags: Directory


def choose_page(read: Read, source: Source) -> Page:
    """The page that is the picture: the only one that is no reduced copy and no mask.

    The chain of pages is followed here, as tifffile would follow one that runs in a circle for ever.

    Raises:
        ImageError: for several pages and for camera raw data.
        ValueError: if there is no page.
    """
    found = ifd.read_header(read)
    if found is None:
        raise ValueError("no TIFF header")
    layout, offset = found
    offsets: list[int] = []
    while offset and offset not in offsets and len(offsets) < _MOST_PAGES:
        places, next_at = ifd.positions(read, layout, offset)
        if not places:
            break
        offsets.append(offset)
        offset = ifd.unsigned(read(next_at, layout.offset_size), layout.order)
    if not offsets:
        raise ValueError("the first directory is missing")
    small = [ifd.read_directory(read, layout, at, budget=4096, depth=0) for at in offsets]
    whole = [i for i, tags in enumerate(small) if not _is_beside(tags, layout)]
    raw = _DNG_VERSION in small[0] or (not whole and _SUB_IFDS in small[0])
    if raw or any(_number(tags, _PHOTOMETRIC, layout) in _RAW_PHOTOMETRICS for tags in small):
        raise camera_raw(source.name)
    source.check_frames(len(whole))
    index = whole[0] if whole else 0
    return Page(index, layout, ifd.read_directory(read, layout, offsets[index], _MOST_METADATA))


def metadata_of(page: Page) -> Metadata:
    """A page's metadata, orientation still as in the file."""
    tags, order = page.tags, page.layout.order
    # TIFF and EXIF tell a resolution in the same way
    resolution = exif.from_entries({tag: entry for tag, entry in tags.items() if tag in _RESOLUTION}, order)
    records = iptc.records_in(tags[IPTC].data) if IPTC in tags else None
    if records is None and _RESOURCES in tags:
        records = iptc.from_resources(tags[_RESOURCES].data)
    kept = {tag: entry for tag, entry in tags.items() if tag not in STRUCTURE and (tag != IPTC or records is None)}
    block = exif.from_entries(kept, order) if kept else None
    if block and kept.keys() == {exif.ORIENTATION} and exif.orientation(block) in (None, 1):
        block = None  # to say upright and nothing else is not worth a block
    return Metadata(
        icc_profile=tags[ICC].data if ICC in tags else None,
        exif=block,
        xmp=tags[XMP].data if XMP in tags else None,
        dpi=exif.dots_per_inch(resolution),
        iptc=records,
    )


def _is_beside(tags: Directory, layout: Layout) -> bool:
    return bool(_number(tags, _KIND, layout) & _REDUCED_OR_MASK) or _number(tags, _OLD_KIND, layout) == _OLD_REDUCED


def _number(tags: Directory, tag: int, layout: Layout) -> int:
    return ifd.unsigned(tags[tag].data, layout.order) if tag in tags else 0
