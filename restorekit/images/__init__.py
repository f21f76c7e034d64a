"""Image files in and out: what the file had, the result has.

:func:`read` gives an :class:`Image` whose pixels are upright grey or RGB, with alpha, profile, EXIF, XMP and resolution set
aside; :func:`write` puts them back. Pillow, tifffile and OpenCV are imported only when a file is read or written.
"""

from restorekit.images.depth import quantise, to_float
from restorekit.images.formats import EXTENSIONS, format_of, is_image_path
from restorekit.images.image import Image
from restorekit.images.large import LargeImage, open_large
from restorekit.images.metadata import Metadata
from restorekit.images.reading import DEFAULT_MAX_PIXELS, read
from restorekit.images.writing import Subsampling, write

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "EXTENSIONS",
    "Image",
    "LargeImage",
    "Metadata",
    "Subsampling",
    "format_of",
    "is_image_path",
    "open_large",
    "quantise",
    "read",
    "to_float",
    "write",
]
