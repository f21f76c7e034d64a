"""TIFF: 8 and 16 bits and floats, in strips or tiles, contiguous or planar, through tifffile; rarer colours through Pillow.

EXIF lives in a TIFF file's own directory. Reading gathers it into a block as other formats have it, and writing spreads that
block out again, so it travels between formats; see :mod:`restorekit.images.ifd`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from restorekit.errors import ImageError
from restorekit.images import exif, ifd, tiff_tags
from restorekit.images.colour import CMYKConverter
from restorekit.images.depth import Array, change_depth, unknown_dtype
from restorekit.images.ifd import Entry, Layout
from restorekit.images.image import Image, mode_of
from restorekit.images.metadata import Metadata, made_upright
from restorekit.images.opening import limit_lifted, open_file
from restorekit.images.orientation import upright
from restorekit.images.pillow import arrays_of
from restorekit.images.problems import Source
from restorekit.images.tiff_tags import IPTC, STRUCTURE, XMP

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from tifffile import TiffPage

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damaged files we say in one line

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_JPEG = 7
_PREMULTIPLIED = 1
_BUFFER = 2**26  # bytes that are compressed at a time
_MOST_CLASSIC = 2**32 - 2**27  # bytes of pixels in a file whose offsets have 32 bits


def read(file: BinaryIO, source: Source) -> Image:
    """The image in a TIFF file. Reduced copies and masks beside it are left alone; CMYK is converted at 8 bits.

    Raises:
        ImageError: for several pages, camera raw data, or samples RestoreKit has no use for.
        Exception: whatever tifffile raises on damaged data.
    """
    stored = open_page(file, source)
    page = stored.page
    if stored.is_decoded_here:
        data = page.asarray().reshape(page.shaped)
        samples = np.concatenate(list(data[:, 0]), axis=2) if len(data) > 1 else data[0, 0]  # planes to (H, W, C)
        return stored.image(samples)
    file.seek(0)
    return _read_with_pillow(file, page.index, stored.metadata, source)


@dataclass(frozen=True)
class Stored:
    """The picture in an open TIFF file, not decoded yet.

    Attributes:
        page: tifffile's view of it.
        metadata: fitted to the picture turned upright.
        turned: the orientation by which it will be.
    """

    page: Any
    metadata: Metadata
    turned: int

    @property
    def is_decoded_here(self) -> bool:
        """Whether tifffile's samples are what :meth:`image` takes; rarer colours are left to Pillow."""
        kind = (self.page.photometric, self.page.compression)
        return self.page.photometric in _COLOURS or kind == (_YCBCR, _JPEG)

    @property
    def is_cmyk(self) -> bool:
        """Whether colours are inks."""
        return bool(self.page.photometric == _CMYK)

    def image(self, samples: Array) -> Image:
        """The upright image of ``(rows, W, C)`` samples as the file stores them: of all rows, or of some."""
        return _image(samples, self.page, self.metadata, self.turned)


def open_page(file: BinaryIO, source: Source) -> Stored:
    """Find the picture in a TIFF file and check all that can be checked before it is decoded.

    Raises:
        ImageError: see :func:`read`.
        Exception: whatever tifffile raises on damaged data.
    """
    import tifffile

    chosen = tiff_tags.choose_page(ifd.reader(file), source)
    metadata, turned = made_upright(tiff_tags.metadata_of(chosen))
    file.seek(0)
    page: Any = tifffile.TiffFile(file, name=source.name).pages[chosen.index]
    source.check_size((page.imagewidth, page.imagelength))
    base = _COLOURS.get(page.photometric, 3)
    if page.imagedepth != 1 or page.samplesperpixel not in (base, base + 1):
        raise ImageError(
            f"{source.name} has {page.samplesperpixel} channels and {page.imagedepth} layers",
            "Export it as grey or RGB, at most with alpha",
        )
    _check_length(page, source)
    return Stored(page, metadata, turned)


def write(file: BinaryIO, pixels: Array, alpha: Array | None, metadata: Metadata, cmyk: bool) -> None:
    """Write a TIFF file: deflate with prediction, in strips, BigTIFF beyond 4 GB.

    Args:
        file: readable, writable, seekable and empty.
        pixels: ``(H, W, 1 or 3)``, uint8, uint16 or float32.
        alpha: ``(H, W)`` of the same type, or None.
        metadata: what to write with them; the profile must fit the colours written.
        cmyk: whether RGB pixels, which must be uint8, are converted to CMYK.
    """
    if cmyk:
        from PIL import Image as PillowImage

        pixels = np.asarray(CMYKConverter(metadata.icc_profile).to_cmyk(PillowImage.fromarray(pixels)))
    data = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    write_samples(file, data, data.shape, data.dtype, metadata, has_alpha=alpha is not None)


def write_samples(
    file: BinaryIO,
    data: Array | Iterator[Array],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    metadata: Metadata,
    *,
    has_alpha: bool,
    tile: int | None = None,
) -> None:
    """Write samples with their metadata.

    Args:
        file: readable, writable, seekable and empty.
        data: ``shape``, or the tiles of it from left to right and from top to bottom, cropped at the edges.
        shape: rows, columns and samples of a pixel, of which the last is alpha if there is one.
        dtype: of the samples.
        metadata: what to write with them.
        has_alpha: whether there is alpha.
        tile: side of the tiles; None for strips.
    """
    import tifffile

    rows, columns, channels = shape
    colours = channels - has_alpha
    additions, layout = exif.entries(metadata.exif) if metadata.exif else ({}, Layout("<"))
    additions = {tag: entry for tag, entry in additions.items() if tag not in STRUCTURE}
    if metadata.xmp:
        additions[XMP] = Entry(1, len(metadata.xmp), metadata.xmp)
    if metadata.iptc:
        additions[IPTC] = Entry(7, len(metadata.iptc), metadata.iptc)
    if metadata.dpi:
        additions |= exif.resolution_entries(metadata.dpi, layout)
    huge = rows * columns * channels * dtype.itemsize > _MOST_CLASSIC
    # the file takes the byte order of the EXIF block, as maker notes may depend on it
    with tifffile.TiffWriter(file, byteorder=layout.order, bigtiff=huge) as writer:  # type: ignore[arg-type]
        writer.write(
            data[:, :, 0] if isinstance(data, np.ndarray) and channels == 1 else data,
            shape=None if isinstance(data, np.ndarray) else shape if channels > 1 else shape[:2],
            dtype=None if isinstance(data, np.ndarray) else np.dtype(layout.order + dtype.str[1:]),
            tile=None if tile is None else (tile, tile),
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[colours],
            planarconfig="contig" if channels > 1 else None,
            extrasamples=["unassalpha"] if has_alpha else None,
            compression="zlib",
            predictor=2 if dtype.kind == "u" else None,
            iccprofile=metadata.icc_profile,
            metadata=None,
            software=False,
            buffersize=_BUFFER,
        )
    if additions:
        ifd.extend_file(file, additions)


def _check_length(page: TiffPage, source: Source) -> None:
    """Refuse a file that ends before its pixels do; decoders would fill in black."""
    if source.length is None:
        return
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if offset + count > source.length:
            raise EOFError("a strip or tile lies beyond the end of the file")


def _image(samples: Array, page: TiffPage, metadata: Metadata, turned: int) -> Image:
    """The image of ``(H, W, C)`` samples as the file stores them."""
    colours = _COLOURS.get(page.photometric, 3)
    bits = page.bitspersample
    colour_samples, alpha = samples[:, :, :colours], samples[:, :, colours] if samples.shape[2] > colours else None
    if page.photometric == _PALETTE:
        pixels: Array = _palette(page)[colour_samples[:, :, 0]]
        alpha = None if alpha is None else change_depth(_full_range(alpha, bits), np.uint8)
    else:
        pixels = _full_range(colour_samples, bits)
        alpha = None if alpha is None else _full_range(alpha, bits)
    if page.photometric == _WHITE_IS_ZERO:
        pixels = pixels.dtype.type(1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max) - pixels
    if alpha is not None and page.extrasamples[:1] == (_PREMULTIPLIED,):
        pixels = _unmultiplied(pixels, alpha)
    mode = mode_of(min(pixels.shape[2], 3), alpha is not None, pixels.dtype.name)
    if page.photometric == _CMYK:
        mode = "CMYK"
        pixels = _rgb_of(change_depth(pixels, np.uint8), metadata.icc_profile)
        alpha = None if alpha is None else change_depth(alpha, np.uint8)
    elif page.photometric == _PALETTE:
        mode = "P"
    elif bits == 1:
        mode = "1"
    return Image(upright(pixels, turned), None if alpha is None else upright(alpha, turned), metadata, "TIFF", mode)


def _full_range(samples: Array, bits: int) -> Array:
    """Samples of any number of bits as uint8, uint16 or float32."""
    kind = samples.dtype.kind
    if kind == "f":
        return samples.astype(np.float32, copy=False)
    if kind not in "ub" or not isinstance(bits, int) or bits > 16:
        raise unknown_dtype(samples.dtype)
    if bits in (8, 16):
        return samples
    top, full = 2**bits - 1, 255 if bits < 8 else 65535
    scaled: Array = (samples.astype(np.uint32) * np.uint32(full) + np.uint32(top // 2)) // np.uint32(top)
    return scaled.astype(np.uint8 if bits < 8 else np.uint16)


def _palette(page: TiffPage) -> Array:
    if page.colormap is None:
        raise ValueError("the palette is missing")
    colours: Array = page.colormap
    shift = 0 if colours.max(initial=0) < 256 else 8  # some writers forget that colours have 16 bits
    return np.ascontiguousarray((colours >> shift).T.astype(np.uint8))


def _unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Pixels freed of the alpha that had been multiplied into them."""
    top = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
    result = np.empty_like(pixels)
    for row, (colours, cover) in enumerate(zip(pixels, alpha, strict=True)):
        scale = np.divide(top, cover, out=np.zeros(cover.shape), where=cover > 0)
        value = colours * scale[:, None]
        result[row] = value if pixels.dtype.kind == "f" else np.rint(np.minimum(value, top))
    return result


def _rgb_of(cmyk: Array, profile: bytes | None) -> Array:
    from PIL import Image as PillowImage

    height, width = cmyk.shape[:2]
    pil = PillowImage.frombuffer("CMYK", (width, height), np.ascontiguousarray(cmyk), "raw", "CMYK", 0, 1)
    return arrays_of(pil, 1, profile)[0]


def _read_with_pillow(file: BinaryIO, index: int, metadata: Metadata, source: Source) -> Image:
    """The image as libtiff decodes it; Pillow turns it upright itself, as it does nowhere else."""
    pil: PillowImage.Image = open_file(file, "TIFF", source.name)
    pil.seek(index)
    with limit_lifted(pil.size):
        pil.load()
    pixels, alpha = arrays_of(pil, 1, metadata.icc_profile)
    return Image(pixels, alpha, metadata, "TIFF", pil.mode)
