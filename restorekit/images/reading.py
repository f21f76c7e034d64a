"""Reading an image file: recognised by its content, checked from its header, decoded, turned upright."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import BinaryIO

from restorekit.errors import ImageError
from restorekit.images.depth import check_white
from restorekit.images.formats import HEAD_BYTES, recognise
from restorekit.images.image import Image
from restorekit.images.problems import Source, cannot_read, one_line

DEFAULT_MAX_PIXELS = 500_000_000
"""Above what any one camera gives (404 Mpixel, from the largest multi-shot backs), yet at most 1.5 GB of memory at 8 bits."""


def read(source: str | Path | BinaryIO, *, max_pixels: int | None = DEFAULT_MAX_PIXELS, any_floats: bool = False) -> Image:
    """Read a PNG, JPEG, TIFF, WebP, BMP or AVIF file, or HEIC with the extra ``heif``.

    The pixels come out upright: the orientation in EXIF, else in XMP, is applied and the tag set to 1. Grey stays one channel.
    Palettes become RGB. CMYK (and YCCK) becomes sRGB through the file's own profile if it has one, naively otherwise;
    :func:`restorekit.images.write` goes back where the format written holds CMYK. Alpha, a palette's or a single colour's
    transparency included, is set aside. Fewer than 8 bits are widened to 8, others to 16; AVIF and HEIC are read with 8 bits;
    float TIFF stays float. JPEG previews and gain maps, and reduced copies in TIFF, are not read. Display P3 that PNG, AVIF and
    HEIC tell by code points alone gets a profile that other formats hold too.

    Args:
        source: a path, or an open binary file, which is read from its beginning; a pipe is read to its end.
        max_pixels: most pixels an image may have, checked from the header before anything is decoded; None for no limit.
        any_floats: whether floats may stand for anything, such as metres, and not for [0, 1].

    Returns:
        The image, its ``format`` and ``mode`` telling what the file was.

    Raises:
        ImageError: whatever is wrong: no such file, a folder, no permission, empty, not an image, of a kind not read, cut short,
            damaged, without pixels, larger than ``max_pixels``, of floats that mostly lie above white, of several pictures
            (animations, documents), of which writing would lose all but one, or an AVIF or HEIC file in HDR (PQ, HLG).
    """
    with _opened(source) as (file, name):
        try:
            length = file.seek(0, SEEK_END)
            file.seek(0)
            head = file.read(HEAD_BYTES)
            file.seek(0)
        except OSError as error:
            raise cannot_read(name, error) from error
        file_format = recognise(head, name)
        described = Source(name, max_pixels, length)
        try:
            image = _decode(file, head, file_format, described)
            if not any_floats:
                check_white(image.pixels, name)
            return image
        except ImageError as error:
            if name in error.problem:
                raise
            raise ImageError(f"{name}: {error.problem}", error.remedy) from error
        except OSError as error:
            if error.errno is not None:
                raise cannot_read(name, error) from error
            raise described.damaged(file_format, error) from error
        except Exception as error:  # decoders raise everything there is on hostile data
            raise described.damaged(file_format, error) from error


def _decode(file: BinaryIO, head: bytes, file_format: str, source: Source) -> Image:
    from restorekit.images import opening, png16, tiff

    if file_format == "TIFF":
        return tiff.read(file, source)
    if file_format == "PNG":
        header = png16.header_of(head)
        if header is not None and header[2] == 16:
            return _read_png16(file, header, source)
    return opening.read(file, head, file_format, source)


def _read_png16(file: BinaryIO, header: tuple[int, int, int], source: Source) -> Image:
    from restorekit.images import code_points, png16
    from restorekit.images.image import mode_of
    from restorekit.images.opening import long_texts, open_file
    from restorekit.images.orientation import upright
    from restorekit.images.pillow import metadata_of

    width, height, _ = header
    source.check_size((width, height))
    points = code_points.read(file, "PNG")
    parts = png16.split(file.read())
    source.check_frames(parts.frames)
    with long_texts("PNG"):
        pil = open_file(BytesIO(parts.companion), "PNG", source.name)
        pil.load()
    metadata, turned = metadata_of(pil, "PNG")
    pixels, alpha = png16.decode(parts)
    if pixels.shape[:2] != (height, width):
        raise ValueError("the size is not what the header says")
    metadata = points.added_to(metadata, pixels.shape[2])
    mode = mode_of(pixels.shape[2], alpha is not None, "uint16")
    return Image(upright(pixels, turned), None if alpha is None else upright(alpha, turned), metadata, "PNG", mode)


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """The source as a file that can seek, at its beginning, and what to call it."""
    if isinstance(source, (str, os.PathLike)):
        try:
            file = open(source, "rb")  # noqa: SIM115 - only what goes wrong while opening is handled here
        except OSError as error:
            folder = IsADirectoryError() if os.path.isdir(source) else error  # Windows denies permission to folders
            raise cannot_read(str(source), folder) from error
        except ValueError as error:  # a NUL in the path
            raise ImageError(f"{str(source)!r} is not a path", "Check the path") from error
        with file:
            yield _seekable(file, str(source)), str(source)
        return
    name = getattr(source, "name", None)
    name = name if isinstance(name, str) else "the input"
    yield _seekable(source, name), name


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The file itself, or what a pipe holds."""
    try:
        return file if file.seekable() else BytesIO(file.read())
    except (OSError, ValueError) as error:  # a closed file raises ValueError
        raise ImageError(f"{name} cannot be read: {one_line(error)}", "Open the file for reading") from error
