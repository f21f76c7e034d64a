"""What can be wrong with a file, in one line each."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from restorekit.errors import ImageError

_CUT_SHORT = ("truncated", "cut short", "end of file", "premature", "incomplete", "not enough data", "unexpected end", "missing")


@dataclass(frozen=True)
class Source:
    """A file being read, for checks and messages.

    Attributes:
        name: what to call it.
        max_pixels: most pixels it may have; None for any number.
        length: bytes of the file, if known.
    """

    name: str
    max_pixels: int | None = None
    length: int | None = None

    def check_size(self, size: tuple[int, int] | None) -> None:
        """Refuse an image without pixels or with too many; ``size`` is width and height, None if not known yet."""
        if size is None:
            return
        width, height = size
        if width < 1 or height < 1:
            raise ImageError(f"{self.name} has no pixels: it is {width} x {height}", "Copy or export the file again")
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise ImageError(
                f"{self.name} is {width} x {height}, {_mega(width * height)} Mpixel; the limit is {_mega(self.max_pixels)}",
                f"If you trust the file, raise the limit with --max-pixels {width * height}",
            )

    def check_frames(self, frames: int) -> None:
        """Refuse an animation or a document of several pages: writing one picture would silently lose the others."""
        if frames > 1:
            raise ImageError(f"{self.name} holds {frames} pictures", "Split it into single images first")

    def damaged(self, file_format: str, error: Exception) -> ImageError:
        """The error for data that cannot be decoded."""
        said = one_line(error)
        if isinstance(error, MemoryError):
            return ImageError(f"{self.name} does not fit into memory", "Use a smaller image or a machine with more memory")
        if said == "not identified by this driver":  # Pillow's words for a side of 0, once the signature fits
            return ImageError(f"{self.name} has no pixels", "Copy or export the file again")
        if isinstance(error, EOFError) or any(sign in said.lower() for sign in _CUT_SHORT):
            return ImageError(
                f"{self.name} is cut short: the {file_format} data end too early", "Copy or download the file again"
            )
        return ImageError(
            f"{self.name} is damaged and cannot be decoded as {file_format} ({said})", "Copy or download the file again"
        )


def cannot_read(name: str, error: OSError) -> ImageError:
    """The error for a file the system will not open or read."""
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{name} does not exist", "Check the path")
    if isinstance(error, IsADirectoryError):
        return ImageError(f"{name} is a folder, not an image", "Name the images in it")
    if isinstance(error, PermissionError):
        return ImageError(f"{name} may not be read: permission denied", "Change its permissions or copy it elsewhere")
    return ImageError(f"{name} cannot be read: {error.strerror or one_line(error)}", "Check the path and the disk")


def cannot_write(name: str, error: OSError) -> ImageError:
    """The error for a file the system will not create, write or replace."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ImageError(f"{name} cannot be written: the disk is full", "Free some space or write to another disk")
    if isinstance(error, FileNotFoundError):
        return ImageError(f"{name} cannot be written: its folder does not exist", "Create the folder first")
    if isinstance(error, (IsADirectoryError, NotADirectoryError)):
        return ImageError(f"{name} cannot be written: a folder and a file are mixed up in the path", "Name a file in a folder")
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return ImageError(f"{name} may not be written: permission denied", "Change the folder's permissions or write elsewhere")
    return ImageError(f"{name} cannot be written: {error.strerror or one_line(error)}", "Check the path and the disk")


def one_line(error: BaseException) -> str:
    """What a library said, on one line and not too long; the name of the error if it said nothing."""
    said = " ".join(str(error).split()).rstrip(". ")
    return (said if len(said) <= 120 else said[:117] + "...") or type(error).__name__


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.0f}" if pixels >= 1e7 else f"{pixels / 1e6:.3g}"
