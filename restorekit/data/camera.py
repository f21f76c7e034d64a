"""The camera a video was taken with: its intrinsics, and how they are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from restorekit import images
from restorekit.errors import DataError
from restorekit.images.exif import focal_length

FOCAL = 0.866
"""Focal length, as a share of the width, of a camera that nobody knows better: 60 degrees from side to side."""

_BELIEVED = (0.1, 50.0)
"""Focal lengths, as shares of the longer side, that are taken from EXIF data: more than a fisheye's, less than a telescope's."""


@dataclass(frozen=True)
class Camera:
    """Intrinsics, whatever the size of the frames.

    Attributes:
        intrinsics: fx, fy, cx, cy as shares of the frames' width and height; the middle is at 0.5, 0.5.
        origin: said by the user, in a file ``K.txt``, in the EXIF data of a frame, or assumed for want of anything better.
        path: that file or frame.
    """

    intrinsics: tuple[float, float, float, float]
    origin: Literal["given", "file", "exif", "assumed"]
    path: Path | None = None

    @property
    def angle(self) -> float:
        """The angle of view from side to side, in degrees."""
        return 2 * math.degrees(math.atan(0.5 / self.intrinsics[0]))

    def matrix(self, height: int, width: int) -> Tensor:
        """K ``(3, 3)``, in pixels of frames of that size, whose centres lie at whole numbers."""
        fx, fy, cx, cy = self.intrinsics
        rows = [[fx * width, 0, cx * width - 0.5], [0, fy * height, cy * height - 0.5], [0, 0, 1]]
        return torch.tensor(rows, dtype=torch.float32)

    def __str__(self) -> str:
        if self.origin == "given":
            names = zip(("fx", "fy", "cx", "cy"), self.intrinsics, strict=True)
            return "Camera: as given, " + ", ".join(f"{name} {value:.3f}" for name, value in names)
        wide = f"{self.angle:.0f} degrees from side to side"
        if self.origin == "assumed":
            return f"Camera: unknown; {wide} are assumed. Say --fov or --intrinsics if you know better"
        return f"Camera: {wide}, from {'the EXIF data of ' if self.origin == 'exif' else ''}{self.path}"


def find_camera(source: Path, size: tuple[int, int], given: Sequence[float] = (), pictures: Sequence[Path] = ()) -> Camera:
    """The camera of a video, by the best that is known of it.

    Args:
        source: the video file, or the folder of the frames.
        size: rows and columns of the frames as they are there.
        given: fx, fy, cx, cy as shares of width and height, which count before all. Without them a file ``K.txt``, 3 x 3 in
            pixels of the frames, beside the frames or one folder up; then KITTI's ``calib_cam_to_cam.txt``, where the frames lie
            in ``image_02/data`` or the like of one of its drives; then the focal length in the EXIF data of the first frame,
            with square pixels; and else :data:`FOCAL`.
        pictures: the frames' files, if there are any.

    Raises:
        DataError: for a file ``K.txt`` that is no matrix, or a calibration without the camera.
        ImageError: if the first frame cannot be read.
    """
    height, width = size
    if given:
        fx, fy, cx, cy = given
        return Camera((fx, fy, cx, cy), "given")
    for path in (source / "K.txt", source.parent / "K.txt"):
        if path.is_file():
            k = _read_matrix(path)
            centre = (float(k[0, 2]) + 0.5) / width, (float(k[1, 2]) + 0.5) / height
            return Camera((float(k[0, 0]) / width, float(k[1, 1]) / height, *centre), "file", path)
    calibration = source.parent.parent.parent / "calib_cam_to_cam.txt"
    if source.name == "data" and source.parent.name.startswith("image_") and calibration.is_file():
        return Camera(_read_calibration(calibration, source.parent.name.removeprefix("image_")), "file", calibration)
    block = images.read(pictures[0]).metadata.exif if pictures else None
    focal = focal_length(block, size) if block else None
    if focal is not None and _BELIEVED[0] < focal / max(size) < _BELIEVED[1]:
        return Camera((focal / width, focal / height, 0.5, 0.5), "exif", pictures[0])
    return Camera((FOCAL, FOCAL * width / height, 0.5, 0.5), "assumed")


def _read_matrix(path: Path) -> np.ndarray:
    try:
        return np.loadtxt(path).reshape(3, 3)
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no 3 x 3 matrix: {error}", "Write three lines of three numbers") from None


def _read_calibration(path: Path, camera: str) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy of a rectified camera of KITTI's as shares of its frames' size."""
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    values = {name: numbers.split() for name, _, numbers in lines}
    try:
        width, height = map(float, values[f"S_rect_{camera}"])
        fx, _, cx, _, _, fy, cy, *_ = map(float, values[f"P_rect_{camera}"])
    except (KeyError, ValueError):
        problem = f"{path} lacks S_rect_{camera} or P_rect_{camera}"
        raise DataError(problem, "Take it from the data set again, or give the intrinsics") from None
    return fx / width, fy / height, (cx + 0.5) / width, (cy + 0.5) / height
