"""The image formats RestoreKit reads and writes: their extensions, what each can hold, and how a file is recognised.

A file is recognised by its first bytes, never by its name; the name only says what to write. Imports nothing beyond the standard
library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePath
from types import MappingProxyType

from restorekit.errors import ImageError

HEAD_BYTES = 512
"""How many of a file's first bytes :func:`recognise` wants."""


@dataclass(frozen=True)
class Format:
    """What a file format can hold.

    Attributes:
        name: what users and Pillow call it.
        extensions: lower case, with the dot; the first is the usual one.
        dtypes: names of the sample types it holds, deepest last.
        greys: the modes of Pillow that it holds grey in, of ``L`` and, with alpha, ``LA``; elsewhere grey becomes RGB.
        alpha: whether it holds transparency.
        cmyk: whether it holds CMYK as well as RGB.
        profile: whether it holds an ICC profile.
        max_side: most pixels in a row or column.
    """

    name: str
    extensions: tuple[str, ...]
    dtypes: tuple[str, ...] = ("uint8",)
    greys: tuple[str, ...] = ("L", "LA")
    alpha: bool = True
    cmyk: bool = False
    profile: bool = True
    max_side: int = 2**31 - 1


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format("PNG", (".png",), dtypes=("uint8", "uint16")),
            Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), alpha=False, cmyk=True, max_side=65500),
            Format("TIFF", (".tif", ".tiff"), dtypes=("uint8", "uint16", "float32"), cmyk=True),
            Format("WEBP", (".webp",), greys=(), max_side=16383),
            Format("BMP", (".bmp", ".dib"), greys=("L",), profile=False),
            Format("AVIF", (".avif",), greys=("L",), max_side=65536),
            Format("HEIF", (".heic", ".heif", ".hif"), greys=("L",), max_side=65535),
        )
    }
)

EXTENSIONS: Mapping[str, str] = MappingProxyType({e: f.name for f in FORMATS.values() for e in f.extensions})
"""Lower-case extension with its dot to format name, for example ``".jpg"`` to ``"JPEG"``."""

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"heif"}
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
_FOREIGN: tuple[tuple[bytes, str], ...] = (
    (b"GIF8", "a GIF"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"v/1\x01", "an OpenEXR file"),
    (b"#?RADIANCE", "a Radiance HDR file"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"FUJIFILMCCD-RAW", "a camera raw file"),
    (b"IIRO", "a camera raw file"),
    (b"IIU\x00", "a camera raw file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"P5", "a PNM file"),
    (b"P6", "a PNM file"),
)


def is_image_path(path: str | PurePath) -> bool:
    """Whether the file's extension is one that RestoreKit reads; the file is not opened."""
    return PurePath(path).suffix.lower() in EXTENSIONS


def format_of(path: str | PurePath) -> str:
    """The name of the format that a path's extension stands for.

    Raises:
        ImageError: for an unknown extension, or none.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix in EXTENSIONS:
        return EXTENSIONS[suffix]
    near = get_close_matches(suffix, EXTENSIONS, n=1, cutoff=0.6) if suffix else []
    problem = (
        f"{path} has the unknown extension '{suffix}'" if suffix else f"{path} has no extension that says which format to write"
    )
    raise ImageError(problem, f"Use {_listed()}" + (f"; did you mean '{near[0]}'?" if near else ""))


def format_named(name: str) -> str:
    """The format's name from how a user may write it: ``"jpg"``, ``".tif"`` and ``"Png"`` all work.

    Raises:
        ImageError: for a name no format has.
    """
    if name.upper() in FORMATS:
        return name.upper()
    key = "." + name.lower().lstrip(".")
    if key in EXTENSIONS:
        return EXTENSIONS[key]
    raise ImageError(f"'{name}' is not a format RestoreKit writes", "Use one of " + ", ".join(FORMATS))


def recognise(head: bytes, name: str) -> str:
    """The format of a file from its first :data:`HEAD_BYTES` bytes.

    Args:
        head: the first bytes, fewer if the file is shorter.
        name: what to call the file in messages.

    Raises:
        ImageError: for an empty file, and for one of any other kind, which is named where it is a well-known one.
    """
    if not head:
        raise ImageError(f"{name} is empty", "Copy or download the file again")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[8:10] == b"CR" and head[:4] == b"II*\x00":  # Canon's CR2 looks like a TIFF of several pages
        raise camera_raw(name)
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    kind = ""
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[i : i + 4] for i in range(16, end - 3, 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
        kind = "a camera raw file" if head[8:11] == b"crx" else "a video"
    for signature, foreign in _FOREIGN:
        if head.startswith(signature):
            kind = foreign
            break
    if kind == "a camera raw file":
        raise camera_raw(name)
    known = ", ".join(FORMATS)
    if kind:
        raise ImageError(f"{name} is {kind}, which RestoreKit does not read", f"Convert it to one of {known}")
    raise ImageError(f"{name} is not an image of a kind RestoreKit reads", f"Known kinds are {known}")


def camera_raw(name: str) -> ImageError:
    """The error for a file of raw sensor data."""
    return ImageError(f"{name} is a camera raw file", "Develop it to a 16-bit TIFF or PNG first")


def _listed() -> str:
    return ", ".join(f.extensions[0] for f in FORMATS.values())
