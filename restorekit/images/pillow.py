"""Between Pillow images and ours, in strips, so that a large photograph never has more copies than it must."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from restorekit.errors import ImageError
from restorekit.images.colour import CMYKConverter, describes
from restorekit.images.depth import Array, change_depth
from restorekit.images.formats import FORMATS
from restorekit.images.image import Image
from restorekit.images.metadata import Metadata, from_info, made_upright
from restorekit.images.orientation import as_stored, exchanges_sides
from restorekit.images.problems import Source

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_PIXELS_A_STRIP = 2**20
_NOT_TEXT = ("exif", "xmp", "xml:com.adobe.xmp", "raw profile type exif", "raw profile type iptc", "icc_profile", "dpi")


def from_loaded(pil: PillowImage.Image, file_format: str) -> Image:
    """The image of a decoded Pillow image with the ``info`` its plugin gave it."""
    metadata, turned = metadata_of(pil, file_format)
    pixels, alpha = arrays_of(pil, turned, metadata.icc_profile)
    return Image(pixels, alpha, metadata, file_format, pil.mode)


def image_from_pil(pil: PillowImage.Image) -> Image:
    """See :meth:`Image.from_pil`."""
    given = {"MPO": "JPEG"}.get(pil.format or "", pil.format or "")
    file_format = given if given in FORMATS else "PNG"
    try:
        pil.load()  # a TIFF file is turned upright by Pillow itself here, and its tags say so
        if "exif" not in pil.info and len(pil.getexif()):
            block = pil.getexif().tobytes()
            pil = pil.copy()
            pil.info["exif"] = block
        return from_loaded(pil, file_format)
    except ImageError:
        raise
    except Exception as error:
        raise Source("the Pillow image").damaged(file_format, error) from error


def metadata_of(pil: PillowImage.Image, file_format: str) -> tuple[Metadata, int]:
    """Metadata of a decoded Pillow image, fitted to upright pixels, and the orientation by which to turn those it has."""
    return made_upright(replace(from_info(pil.info, file_format), text=_text_of(pil, file_format)))


def arrays_of(pil: PillowImage.Image, turned: int, profile: bytes | None) -> tuple[Array, Array | None]:
    """Upright pixels and alpha of a decoded Pillow image of any mode.

    Works strip by strip, so that beside Pillow's own copy and the result there is next to nothing.

    Args:
        pil: the image as the file stores it.
        turned: its EXIF orientation.
        profile: the ICC profile, for CMYK.
    """
    mode, dtype = _readable_mode(pil)
    channels = 3 if mode.startswith("RGB") else 1
    width, height = pil.size
    shape = (width, height) if exchanges_sides(turned) else (height, width)
    pixels = np.empty((*shape, channels), dtype)
    alpha = np.empty(shape, dtype) if mode.endswith("A") else None
    pixels_stored = as_stored(pixels, turned)
    alpha_stored = None if alpha is None else as_stored(alpha, turned)
    cmyk = CMYKConverter(profile) if pil.mode == "CMYK" else None
    rows = max(1, _PIXELS_A_STRIP // width)
    for top in range(0, height, rows):
        strip = pil.crop((0, top, width, min(top + rows, height)))
        if cmyk is not None:
            strip = cmyk.to_rgb(strip)
        elif strip.mode != mode:
            strip = strip.convert(mode)
        samples = np.asarray(strip).reshape(strip.height, width, -1)
        pixels_stored[top : top + rows] = samples[:, :, :channels]
        if alpha_stored is not None:
            alpha_stored[top : top + rows] = samples[:, :, channels]
    return pixels, alpha


def pil_from_image(image: Image) -> PillowImage.Image:
    """See :meth:`Image.to_pil`."""
    if image.is_grey and image.alpha is None and image.pixels.dtype == np.uint16:
        from PIL import Image as PillowImage

        pil = PillowImage.fromarray(image.pixels[:, :, 0])
    else:
        alpha = None if image.alpha is None else change_depth(image.alpha, np.uint8)
        pil = assembled(change_depth(image.pixels, np.uint8), alpha)
    metadata = image.metadata
    if describes(metadata.icc_profile, "GRAY" if image.is_grey else "RGB"):
        pil.info["icc_profile"] = metadata.icc_profile
    for key in ("exif", "xmp", "dpi"):
        if getattr(metadata, key) is not None:
            pil.info[key] = getattr(metadata, key)
    return pil


def assembled(pixels: Array, alpha: Array | None) -> PillowImage.Image:
    """A Pillow image of 8-bit pixels and alpha."""
    from PIL import Image as PillowImage

    pil = PillowImage.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if alpha is not None:
        pil.putalpha(PillowImage.fromarray(alpha))
    return pil


def _readable_mode(pil: PillowImage.Image) -> tuple[str, type[np.generic]]:
    """The mode in which the pixels are taken out, and the type of their samples."""
    mode, transparent = pil.mode, pil.has_transparency_data
    if mode == "F":
        return "F", np.float32
    if mode.startswith("I;16"):
        return mode, np.uint16
    if mode == "I":
        low, high = pil.getextrema()
        if not isinstance(low, (int, float)) or low < 0 or not isinstance(high, (int, float)) or high > 65535:
            raise ImageError("the Pillow image has 32-bit samples that do not fit into 16 bits", "Scale them to 0 to 65535")
        return "I", np.uint16
    if mode in ("1", "L", "LA", "La"):
        return ("LA" if transparent else "L"), np.uint8
    return ("RGBA" if transparent else "RGB"), np.uint8


def _text_of(pil: PillowImage.Image, file_format: str) -> tuple[tuple[str, str], ...]:
    if file_format == "JPEG":
        comment = pil.info.get("comment")
        return (("Comment", _decoded(comment)),) if isinstance(comment, bytes) and comment else ()
    found = getattr(pil, "text", {}) if file_format == "PNG" else {}
    return tuple((k, str(v)) for k, v in found.items() if k.lower() not in _NOT_TEXT and 0 < len(k) < 80)


def _decoded(text: bytes) -> str:
    """UTF-8, as we write it, or what older programs took for text."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")
