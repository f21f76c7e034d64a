"""An image in memory: upright pixels, with everything else the file held set aside until it is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from restorekit.errors import ImageError
from restorekit.images.depth import DTYPES, Array, change_depth, check_white, unknown_dtype
from restorekit.images.metadata import Metadata, of_other_pixels

if TYPE_CHECKING:
    from PIL import Image as PillowImage

_LAYOUTS = "(H, W) grey, (H, W, 1) grey, (H, W, 2) grey and alpha, (H, W, 3) RGB or (H, W, 4) RGB and alpha"


@dataclass(frozen=True, eq=False)
class Image:
    """Pixels as a network wants them, and what is needed to write them back as they came.

    Attributes:
        pixels: ``(H, W, C)``, C-contiguous, upright, C = 1 grey or 3 RGB; uint8, uint16 or float32 with 1.0 as white. Values are
            the file's own, in the colour space of its ICC profile; only CMYK and other colours than grey and RGB are converted,
            to sRGB.
        alpha: ``(H, W)``, C-contiguous, of the same type, or None. Not multiplied into the pixels.
        metadata: what travels to the output.
        format: what the image was read as, ``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"WEBP"``, ``"BMP"``, ``"AVIF"`` or ``"HEIF"``;
            ``"PNG"`` for arrays.
        mode: what the file held, in Pillow's words: ``"1"``, ``"L"``, ``"LA"``, ``"P"``, ``"RGB"``, ``"RGBA"``, ``"CMYK"``,
            ``"I;16"``; what Pillow has no word for follows the same pattern, ``"RGB;16"``, ``"LA;16"``, ``"RGB;F"``.

    Raises:
        ImageError: if shapes or types do not fit together.
    """

    pixels: Array
    alpha: Array | None = None
    metadata: Metadata = field(default_factory=Metadata)
    format: str = "PNG"
    mode: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _native(self.pixels))
        object.__setattr__(self, "alpha", None if self.alpha is None else _native(self.alpha))
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] not in (1, 3):
            raise ImageError(
                f"pixels have the shape {shape}, not (H, W, 1) or (H, W, 3)", "Use Image.from_array, which takes other layouts"
            )
        if not shape[0] or not shape[1]:
            raise ImageError(f"an image of {shape[1]} x {shape[0]} has no pixels")
        if self.pixels.dtype.name not in DTYPES:
            raise unknown_dtype(self.pixels.dtype)
        if self.alpha is not None and (self.alpha.shape != shape[:2] or self.alpha.dtype != self.pixels.dtype):
            raise ImageError(
                f"alpha of shape {self.alpha.shape} and type {self.alpha.dtype.name} does not go with the pixels",
                f"Give it the shape {shape[:2]} and the type {self.pixels.dtype.name}",
            )
        if not self.mode:
            object.__setattr__(self, "mode", mode_of(shape[2], self.alpha is not None, self.pixels.dtype.name))

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in Pillow's order."""
        return self.width, self.height

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel rather than three."""
        return bool(self.pixels.shape[2] == 1)

    @property
    def bit_depth(self) -> int:
        """Bits of a sample: 8, 16 or 32 (floating point)."""
        return self.pixels.dtype.itemsize * 8

    @classmethod
    def from_array(cls, array: Array) -> Image:
        """An image of an array ``(H, W)``, ``(H, W, 1)``, ``(H, W, 2)`` grey and alpha, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGBA.

        Args:
            array: uint8 or uint16, or floats in which 1.0 is white. No copy is made where none is needed.

        Raises:
            ImageError: for another shape or type, or floats that mostly lie above white.
        """
        if array.ndim == 2:
            array = array[:, :, None]
        if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
            hint = (
                "Move the channels to the end"
                if array.ndim == 3 and array.shape[0] in (1, 3, 4)
                else f"Give it one of {_LAYOUTS}"
            )
            raise ImageError(f"an array of shape {array.shape} is not an image", hint)
        if np.issubdtype(array.dtype, np.floating):
            array = array.astype(np.float32, copy=False)
            check_white(array, "the array")
        channels = array.shape[2]
        if channels in (1, 3):
            return cls(array)
        return cls(array[:, :, :-1], array[:, :, -1])

    @classmethod
    def from_pil(cls, image: PillowImage.Image) -> Image:
        """An image of a Pillow image of any mode, turned upright, with its profile, EXIF, XMP and resolution.

        Colours are converted as :func:`restorekit.images.read` does. Integers of 32 bits must fit into 16.

        Raises:
            ImageError: if the image cannot be loaded or its mode has no meaning as a picture.
        """
        from restorekit.images.pillow import image_from_pil

        return image_from_pil(image)

    def to_pil(self) -> PillowImage.Image:
        """A Pillow image ``L``, ``LA``, ``RGB`` or ``RGBA`` with 8 bits, or ``I;16`` for 16-bit grey without alpha.

        Pillow has no 16-bit colours, so those are rounded to 8. Profile, EXIF, XMP and resolution are in its ``info``; the
        profile of a CMYK file is left out, as it does not describe the RGB pixels.
        """
        from restorekit.images.pillow import pil_from_image

        return pil_from_image(self)

    def replace_pixels(self, pixels: Array) -> Image:
        """New pixels of the same height and width, with this image's alpha, metadata but for the EXIF preview, format and mode.

        Args:
            pixels: ``(H, W)``, ``(H, W, 1)`` or ``(H, W, 3)``. If the sample type is another one, alpha is converted to it.

        Raises:
            ImageError: for another size.
        """
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.shape[:2] != (self.height, self.width):
            raise ImageError(
                f"pixels of {pixels.shape[1]} x {pixels.shape[0]} cannot replace those of {self.width} x {self.height}"
            )
        alpha = None if self.alpha is None else change_depth(self.alpha, pixels.dtype)
        return replace(self, pixels=pixels, alpha=alpha, metadata=of_other_pixels(self.metadata))


def _native(array: Array) -> Array:
    """The array in C order and in this machine's byte order; no copy is made where it is so already."""
    return np.ascontiguousarray(array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("=")))


def mode_of(channels: int, alpha: bool, dtype: str) -> str:
    """The name of a layout; see :class:`Image`."""
    base = ("L" if channels == 1 else "RGB") + ("A" if alpha else "")
    if dtype == "uint8":
        return base
    if base == "L":
        return {"uint16": "I;16", "float32": "F"}[dtype]
    return base + {"uint16": ";16", "float32": ";F"}[dtype]
