"""Opening files with Pillow, checked before anything is decoded.

Files are opened through their format's own class, not ``PIL.Image.open``, whose size limit is a global others may rely on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO

from restorekit.errors import ImageError
from restorekit.images import code_points
from restorekit.images.image import Image
from restorekit.images.pillow import from_loaded
from restorekit.images.problems import Source

if TYPE_CHECKING:
    from PIL import Image as PillowImage


class _Limit:
    """A limit that is a global of one of Pillow's modules, and can be raised as long as anybody needs that."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name
        self._lock = threading.Lock()
        self._users = 0
        self._usual: Any = None

    @contextmanager
    def raised(self, value: int | None) -> Iterator[None]:
        """The limit is ``value``, None for none, until the last of those who raised it is done."""
        module = import_module(self._module)
        with self._lock:
            if not self._users:
                self._usual = getattr(module, self._name)
            self._users += 1
            setattr(module, self._name, value)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    setattr(module, self._name, self._usual)


_SIZE = _Limit("PIL.Image", "MAX_IMAGE_PIXELS")
_TEXT = _Limit("PIL.PngImagePlugin", "MAX_TEXT_CHUNK")
_LARGEST_TEXT = 64 * 2**20
"""Bytes of a compressed profile or text in a PNG file. Pillow's own limit is 1 MiB, which profiles of printers exceed."""


def read(file: BinaryIO, head: bytes, file_format: str, source: Source) -> Image:
    """The image in a file of any format but TIFF and 16-bit PNG.

    Args:
        file: the file, at its beginning.
        head: its first bytes.
        file_format: what they say it is.
        source: what to call it and how large it may be.

    Raises:
        ImageError: for an image without pixels, with too many of them, or with several pictures, and for HDR in AVIF and HEIC.
        Exception: whatever Pillow raises on damaged data.
    """
    size = _size_in(head, file_format)
    source.check_size(size)
    points = code_points.read(file, file_format)
    with long_texts(file_format):
        with limit_lifted(size):
            pil = open_file(file, file_format, source.name)
        source.check_size(pil.size)
        if file_format in ("PNG", "WEBP", "AVIF"):  # JPEG and HEIF keep previews and gain maps beside their picture, not frames
            source.check_frames(getattr(pil, "n_frames", 1))
        if file_format in ("AVIF", "HEIF") and not pil.info.get("icc_profile"):
            points.check_range(source.name)
        pil.load()
    image = from_loaded(pil, file_format)
    return replace(image, metadata=points.added_to(image.metadata, image.pixels.shape[2]))


def open_file(file: BinaryIO, file_format: str, name: str) -> PillowImage.Image:
    """A Pillow image of a file, not decoded yet."""
    if file_format == "PNG":
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(file)
    if file_format == "JPEG":
        from PIL.JpegImagePlugin import jpeg_factory

        return jpeg_factory(file)
    if file_format == "WEBP":
        from PIL.WebPImagePlugin import WebPImageFile

        return WebPImageFile(file)
    if file_format == "BMP":
        from PIL.BmpImagePlugin import BmpImageFile

        return BmpImageFile(file)
    if file_format == "TIFF":
        from PIL.TiffImagePlugin import TiffImageFile

        return TiffImageFile(file)
    if file_format == "AVIF":
        from PIL.AvifImagePlugin import AvifImageFile

        return AvifImageFile(file)
    opened: PillowImage.Image = heif_plugin(name).HeifImageFile(file)
    return opened


def heif_plugin(name: str) -> Any:
    """The module ``pillow_heif``, its formats made known to Pillow.

    Raises:
        ImageError: if it is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise ImageError(f"{name} is a HEIC file, which needs pillow-heif", "Install it with pip install pillow-heif") from error
    pillow_heif.register_heif_opener()
    return pillow_heif


@contextmanager
def limit_lifted(size: tuple[int, int] | None) -> Iterator[None]:
    """Pillow's own size limit switched off, if an image of this width and height would meet it; ours has been checked already."""
    from PIL import Image as PillowImage

    limit = PillowImage.MAX_IMAGE_PIXELS
    if limit is None or size is None or size[0] * size[1] <= limit:
        yield
        return
    with _SIZE.raised(None):
        yield


@contextmanager
def long_texts(file_format: str) -> Iterator[None]:
    """Profiles and texts of PNG files read that are longer than Pillow allows."""
    if file_format != "PNG":
        yield
        return
    with _TEXT.raised(_LARGEST_TEXT):
        yield


def _size_in(head: bytes, file_format: str) -> tuple[int, int] | None:
    """Width and height from a file's first bytes, for formats whose class in Pillow takes memory, or fails, before it tells."""
    if file_format == "PNG" and head[12:16] == b"IHDR" and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if file_format == "BMP" and len(head) >= 26 and head[14] >= 40:
        width, height = (int.from_bytes(head[at : at + 4], "little", signed=True) for at in (18, 22))
        return max(width, 0), abs(height)
    if file_format == "WEBP" and len(head) >= 30:
        if head[12:16] == b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        if head[12:16] == b"VP8L":
            sides = int.from_bytes(head[21:25], "little")
            return (sides & 0x3FFF) + 1, (sides >> 14 & 0x3FFF) + 1
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None
