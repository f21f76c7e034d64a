"""Writing an image file: as it came, as far as the format can hold it, and whole or not at all."""

from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from restorekit.errors import ImageError, RestoreKitError, SettingError
from restorekit.images.atomic import replacing
from restorekit.images.code_points import hdr_name
from restorekit.images.colour import describes
from restorekit.images.depth import change_depth
from restorekit.images.formats import FORMATS, Format, format_named, format_of
from restorekit.images.image import Image
from restorekit.images.large import LargeImage, write_large
from restorekit.images.problems import cannot_write, one_line

Subsampling = Literal["4:4:4", "4:2:2", "4:2:0"]


def write(
    image: Image | LargeImage,
    target: str | Path | BinaryIO,
    *,
    format: str | None = None,
    quality: int = 95,
    subsampling: Subsampling = "4:4:4",
    strip: bool = False,
    overwrite: bool = True,
) -> None:
    """Write an image with everything it came with that the format can hold.

    Sample depth is kept where the format holds it (16 bits: PNG and TIFF; float: TIFF), else rounded to the deepest it has. Grey
    is written as grey, except where a format has none: WebP, and with alpha BMP, AVIF and HEIC. Alpha is dropped only in JPEG,
    which has none. An image read from CMYK goes back to CMYK, through the same profile, in JPEG and TIFF, and is written as sRGB
    elsewhere. BMP holds no profile: colours are converted to sRGB. So is grey with a profile of its own that becomes RGB.

    ICC profile, EXIF, XMP, resolution and text go where the format has a place for them; WebP, AVIF and HEIC carry the resolution
    in EXIF, BMP carries nothing but the resolution. JPEG takes at most 64 KB of each: an EXIF block that is larger loses its
    preview, then its largest values; a larger XMP packet is left out.

    Args:
        image: what to write. A large one stays in its files if TIFF is written to a path, and is read into memory otherwise.
        target: a path, written atomically (see :func:`restorekit.images.atomic.replacing`), or an open binary file, to which the
            finished bytes are written in one go, so that it need not seek.
        format: a format's name or extension; by default the path's extension decides, and for open files what the image was read
            as.
        quality: 1 to 100, for JPEG, WebP, AVIF and HEIC. 100 is lossless in WebP.
        subsampling: of the colours in JPEG, AVIF and HEIC.
        strip: drop EXIF, XMP, resolution and text. The profile stays: without it the colours would change.
        overwrite: whether a file at that path may be replaced.

    Raises:
        ImageError: if the format is unknown or cannot hold the image, or if the file cannot be written: it exists, no permission,
            no such folder, disk full. A path's old file is untouched then, and nothing else is left behind.
        SettingError: for a quality or subsampling that does not exist.
    """
    if not 1 <= quality <= 100:
        raise SettingError(f"quality {quality} is not between 1 and 100")
    if subsampling not in ("4:4:4", "4:2:2", "4:2:0"):
        raise SettingError(f"subsampling '{subsampling}' is not 4:4:4, 4:2:2 or 4:2:0")
    is_path = isinstance(target, (str, os.PathLike))
    file_format = format_named(format) if format else format_of(target) if is_path else image.format  # type: ignore[arg-type]
    name = str(target) if is_path else str(getattr(target, "name", "the output"))
    if isinstance(image, LargeImage) and not (is_path and file_format == "TIFF"):
        image = image.load()
    fitted, cmyk = _fitted(image, FORMATS[file_format], strip, name)
    try:
        if is_path:
            with replacing(Path(target), overwrite=overwrite) as file:  # type: ignore[arg-type]
                _encode(fitted, file, file_format, quality, subsampling, cmyk, in_place=file.seekable() and file.readable())
        else:
            _encode(fitted, target, file_format, quality, subsampling, cmyk, in_place=False)  # type: ignore[arg-type]
    except RestoreKitError:
        raise
    except FileExistsError as error:
        raise ImageError(f"{name} exists already", "Choose another name, or allow it with --overwrite") from error
    except OSError as error:
        if error.errno is not None or isinstance(error, (IsADirectoryError, FileNotFoundError, PermissionError)):
            raise cannot_write(name, error) from error
        raise _refused(name, file_format, error) from error
    except Exception as error:  # encoders raise everything there is
        raise _refused(name, file_format, error) from error


def _fitted(image: Image | LargeImage, kind: Format, strip: bool, name: str) -> tuple[Image | LargeImage, bool]:
    """The image as the format can hold it, and whether it is to be CMYK."""
    if max(image.size) > kind.max_side:
        raise ImageError(
            f"{name} cannot be {image.width} x {image.height}: {kind.name} holds at most {kind.max_side} pixels a side",
            "Write PNG or TIFF instead",
        )
    if kind.name != "PNG" and (transfer := hdr_name(image.metadata.colour)):
        raise ImageError(f"{name} would come out flat: the picture is HDR ({transfer}), which only PNG keeps here", "Write PNG")
    cmyk = kind.cmyk and image.mode.startswith("CMYK") and not image.is_grey
    dtype = image.pixels.dtype.name
    if cmyk:
        dtype = "uint8"
    elif dtype not in kind.dtypes:
        dtype = kind.dtypes[-1]
    metadata = image.metadata.stripped() if strip else image.metadata
    if not describes(metadata.icc_profile, "CMYK" if cmyk else "GRAY" if image.is_grey else "RGB"):
        metadata = replace(metadata, icc_profile=None)
    if isinstance(image, LargeImage):  # whose samples are among those that TIFF holds
        return replace(image, metadata=metadata), False
    alpha = image.alpha if kind.alpha else None
    fitted = replace(
        image,
        pixels=change_depth(image.pixels, dtype),
        alpha=None if alpha is None else change_depth(alpha, dtype),
        metadata=metadata,
    )
    return fitted, cmyk


def _encode(
    image: Image | LargeImage, file: BinaryIO, file_format: str, quality: int, subsampling: str, cmyk: bool, *, in_place: bool
) -> None:
    """Write the encoded image. Encoders get a buffer: Pillow overlooks a disk that fills up while it writes to a file itself."""
    from restorekit.images import encoding, png16, tiff

    if isinstance(image, LargeImage):
        write_large(image, file)
    elif file_format == "TIFF":
        if in_place:
            tiff.write(file, image.pixels, image.alpha, image.metadata, cmyk)
        else:
            buffer = BytesIO()
            tiff.write(buffer, image.pixels, image.alpha, image.metadata, cmyk)
            file.write(buffer.getbuffer())
    elif file_format == "PNG" and image.pixels.dtype == np.uint16:
        png16.encode(image.pixels, image.alpha, encoding.companion(image.metadata), file)
    else:
        file.write(encoding.encode(image.pixels, image.alpha, image.metadata, file_format, quality, subsampling, cmyk))


def _refused(name: str, file_format: str, error: Exception) -> ImageError:
    return ImageError(f"{name} cannot be encoded as {file_format} ({one_line(error)})", "Write PNG or TIFF instead")
