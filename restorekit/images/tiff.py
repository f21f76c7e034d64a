"""TIFF: 8 and 16 bits and floats, in strips or tiles, contiguous or planar, through tifffile; rarer colours through Pillow.

EXIF lives in a TIFF file's own directory. Reading gathers it into a block as other formats have it, and writing spreads that
block out again, so it travels between formats; see :mod:`restorekit.images.ifd`.
"""

from __future__ import annotations

import logging
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
from restorekit.images.tiff_tags import STRUCTURE, XMP

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from tifffile import TiffPage

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damaged files we say in one line

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_JPEG = 7
_PREMULTIPLIED = 1
_MOST_CLASSIC = 2**32 - 2**27  # bytes of pixels in a file whose offsets have 32 bits


def read(file: BinaryIO, source: Source) -> Image:
    """The image in a TIFF file. Reduced copies and masks beside it are left alone; CMYK is converted at 8 bits.

    Raises:
        ImageError: for several pages, camera raw data, or samples RestoreKit has no use for.
        Exception: whatever tifffile raises on damaged data.
    """
    import tifffile

    chosen = tiff_tags.choose_page(ifd.reader(file), source)
    metadata, turned = made_upright(tiff_tags.metadata_of(chosen))
    file.seek(0)
    with tifffile.TiffFile(file, name=source.name) as tif:
        page: Any = tif.pages[chosen.index]
        source.check_size((page.imagewidth, page.imagelength))
        base = _COLOURS.get(page.photometric, 3)
        if page.imagedepth != 1 or page.samplesperpixel not in (base, base + 1):
            raise ImageError(
                f"{source.name} has {page.samplesperpixel} channels and {page.imagedepth} layers",
                "Export it as grey or RGB, at most with alpha",
            )
        _check_length(page, source)
        if page.photometric in _COLOURS or (page.photometric, page.compression) == (_YCBCR, _JPEG):
            data = page.asarray().reshape(page.shaped)
            samples = np.concatenate(list(data[:, 0]), axis=2) if len(data) > 1 else data[0, 0]  # planes to (H, W, C)
            return _image(samples, page, metadata, turned)
    file.seek(0)
    return _read_with_pillow(file, chosen.index, metadata, source)


def write(file: BinaryIO, pixels: Array, alpha: Array | None, metadata: Metadata, cmyk: bool) -> None:
    """Write a TIFF file: deflate with prediction, in strips, BigTIFF beyond 4 GB.

    Args:
        file: readable, writable, seekable and empty.
        pixels: ``(H, W, 1 or 3)``, uint8, uint16 or float32.
        alpha: ``(H, W)`` of the same type, or None.
        metadata: what to write with them; the profile must fit the colours written.
        cmyk: whether RGB pixels, which must be uint8, are converted to CMYK.
    """
    import tifffile

    if cmyk:
        from PIL import Image as PillowImage

        pixels = np.asarray(CMYKConverter(metadata.icc_profile).to_cmyk(PillowImage.fromarray(pixels)))
    colours = pixels.shape[2]
    data = pixels if alpha is None else np.concatenate((pixels, alpha[:, :, None]), axis=2)
    additions, layout = exif.entries(metadata.exif) if metadata.exif else ({}, Layout("<"))
    additions = {tag: entry for tag, entry in additions.items() if tag not in STRUCTURE}
    if metadata.xmp:
        additions[XMP] = Entry(1, len(metadata.xmp), metadata.xmp)
    if metadata.dpi:
        additions |= exif.resolution_entries(metadata.dpi, layout)
    huge = data.nbytes > _MOST_CLASSIC
    # the file takes the byte order of the EXIF block, as maker notes may depend on it
    with tifffile.TiffWriter(file, byteorder=layout.order, bigtiff=huge) as writer:  # type: ignore[arg-type]
        writer.write(
            data if data.shape[2] > 1 else data[:, :, 0],
            photometric={1: "minisblack", 3: "rgb", 4: "separated"}[colours],
            planarconfig="contig" if data.shape[2] > 1 else None,
            extrasamples=None if alpha is None else ["unassalpha"],
            compression="zlib",
            predictor=2 if data.dtype.kind == "u" else None,
            iccprofile=metadata.icc_profile,
            metadata=None,
            software=False,
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
