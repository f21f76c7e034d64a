"""Video files, frame by frame, as OpenCV decodes them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import ImageError
from restorekit.images.image import Image
from restorekit.images.problems import Source

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong with a file is told once, by us

VIDEO_EXTENSIONS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")
"""Of files that are read as videos, lower case, with the dot."""


def is_video_path(path: str | PurePath) -> bool:
    """Whether the file's extension is that of a video; the file is not opened."""
    return PurePath(path).suffix.lower() in VIDEO_EXTENSIONS


def read_frames(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The frames of a video file in the order of time, ``(H, W, 3)``, RGB, upright.

    Raises:
        ImageError: if there is no frame to be read.
    """
    import cv2

    capture = _open(path)
    try:
        there, frame = capture.read()
        if not there:
            raise _unreadable(path)
        while there:
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            there, frame = capture.read()
    finally:
        capture.release()


def count_frames(path: Path) -> int:
    """How many frames :func:`read_frames` gives. What a file's head says is often wrong, so they are gone through.

    Raises:
        ImageError: if there is none.
    """
    capture = _open(path)
    try:
        count = 0
        while capture.grab():
            count += 1
    finally:
        capture.release()
    if not count:
        raise _unreadable(path)
    return count


def is_cut_short(path: Path, count: int) -> bool:
    """Whether the file's head tells of many more frames than the ``count`` that there are: a copy that broke off.

    Heads that count a few too many are not unusual.
    """
    import cv2

    capture = _open(path)
    try:
        return bool(count < 0.9 * capture.get(cv2.CAP_PROP_FRAME_COUNT) - 1)
    finally:
        capture.release()


class VideoReader:
    """Single frames of a video file; quick as long as their numbers grow, as nothing is decoded twice then.

    Args:
        path: the file.
        max_pixels: most pixels a frame may have; None for any number.
    """

    def __init__(self, path: Path, max_pixels: int | None = None) -> None:
        self.path = path
        self._source = Source(str(path), max_pixels)
        self._frames = read_frames(path)
        self._next = 0

    def frame(self, number: int) -> Image:
        """Frame ``number``, from 0.

        Raises:
            ImageError: if the file cannot be read, ends before, or has larger frames than are allowed.
        """
        if number < self._next:
            self.close()
            self._frames, self._next = read_frames(self.path), 0
        for frame in self._frames:
            self._next += 1
            if self._next > number:
                self._source.check_size((frame.shape[1], frame.shape[0]))
                return Image(frame)
        raise ImageError(f"{self.path} ends before frame {number + 1}", "Copy or download the file again")

    def close(self) -> None:
        """Let go of the file."""
        self._frames.close()  # type: ignore[attr-defined]  # it is a generator


def _open(path: Path) -> Any:
    import cv2

    if not path.is_file():
        raise ImageError(f"the video {path} does not exist", "Correct the path")
    if not path.stat().st_size:
        raise ImageError(f"{path} is empty", "Copy or download the file again")
    return cv2.VideoCapture(str(path))


def _unreadable(path: Path) -> ImageError:
    return ImageError(f"{path} cannot be read as a video", "Convert it to H.264 in an MP4 file, or to a folder of frames")
