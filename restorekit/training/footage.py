"""A video as material to learn depth from: its camera, how much it moves, and whether it was fit, seen afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.data.camera import Camera, find_camera
from restorekit.data.clips import visible_in_order
from restorekit.data.flow import dense_inverse_search
from restorekit.data.shots import find_shots, small_grey
from restorekit.errors import DataError, ImageError
from restorekit.images.video import VideoReader, count_frames, is_video_path
from restorekit.training.recipe import Recipe
from restorekit.training.sources import training_source
from restorekit.zoo import Card, load_network

GAPS = (1, 2, 4, 8)
"""Frames from one to its neighbour in a triplet that are tried, the nearest first."""

WIDTH = 320
"""Columns of the small frames that motion is measured in."""

_PLACES = 6
_TRIPLETS = 8


@dataclass(frozen=True)
class Footage:
    """What a video is like.

    Attributes:
        size: rows and columns of its frames.
        frames: how many it has.
        gap: frames from one to its neighbour in a triplet, so that what lies between them is worth two pixels of 640.
        motion: median flow between such frames, as pixels of 640 columns.
        camera: as far as it is known if nobody says more.
    """

    size: tuple[int, int]
    frames: int
    gap: int
    motion: float
    camera: Camera

    @property
    def is_still(self) -> bool:
        """Whether so little moves that nothing can be learnt (below half a pixel; specification of DCPI-Depth, 9.3)."""
        return self.motion < 0.5

    def __str__(self) -> str:
        rows, columns = self.size
        apart = "" if self.gap == 1 else f", taken {self.gap} apart"
        return f"{self.frames} frames of {columns} x {rows}{apart}, median motion {self.motion:.1f} of 640 pixels"


@dataclass(frozen=True)
class FootageVerdict:
    """What the networks that learnt from a video make of it.

    Attributes:
        explained: share of its pixels that depth and motion explain better than standing still does.
        parallax: median flow, in pixels, that the camera's translation causes.
    """

    explained: float
    parallax: float

    @property
    def reason(self) -> str:
        """Why the video is not fit; empty if it is."""
        if self.explained < 0.2:
            return "the camera stands still, other things than it move, or there were too few steps"
        if self.parallax < 0.5:
            return "the camera turned rather than moved, and only moving tells depth, or there were too few steps"
        return ""

    @property
    def is_fit(self) -> bool:
        """Whether there was something to learn from."""
        return not self.reason

    def __str__(self) -> str:
        return f"Explained by depth and motion: {self.explained:.0%} of the pixels; median parallax {self.parallax:.1f} pixels"


def survey(source: Path) -> Footage:
    """Look at a few places of a video file, or of a folder of frames or videos, there of the first one.

    Raises:
        DataError: if there is no video of three frames.
        ImageError: for a file that cannot be read.
    """
    video = _open(source)
    if video is None:
        raise DataError(f"{source} holds no video of three frames or more", "Name a video file, or a folder of frames")
    last = max(video.count - 1 - 2 * GAPS[-1], 0)
    places = [_Place(video, start) for start in sorted({round(place) for place in np.linspace(0, last, _PLACES)})]
    longest = max(len(place.grey) for place in places)
    motions = {gap: _motion(places, gap) for gap in GAPS if 2 * gap < longest}
    if not motions:
        raise DataError(f"{source} has no three frames that follow each other", "Name a video without so many cuts")
    gap = next((gap for gap in motions if motions[gap] >= 2), max(motions, key=lambda gap: motions[gap]))
    size = places[0].size
    return Footage(size, video.count, gap, motions[gap], find_camera(video.source, size, pictures=video.pictures))


def intrinsics_of(fov: float | None, size: tuple[int, int]) -> tuple[float, ...]:
    """fx, fy, cx, cy, as shares of width and height, of a camera with square pixels and an angle of view of ``fov`` degrees from
    side to side; empty for None.
    """
    if fov is None:
        return ()
    height, width = size
    focal = 0.5 / math.tan(math.radians(fov) / 2)
    return (focal, focal * width / height, 0.5, 0.5)


def judge(recipe: Recipe, card: Card) -> FootageVerdict | None:
    """What a card that learnt by the recipe makes of the recipe's videos; on the CPU, from a few triplets. None if its method
    cannot tell (:meth:`restorekit.methods.Objective.appraise`).
    """
    import torch

    from restorekit.data.videos import VideoTriplets, held_back_triplets

    without_flow = replace(recipe, data=replace(recipe.data, flow="none", motion="none", gaps=recipe.data.gaps[:1]))
    source = training_source(without_flow, torch.device("cpu"))
    if not isinstance(source, VideoTriplets):
        raise TypeError("only what learns from videos can judge them")
    objective = card.restoration_method().objective(card.parsed_config(), recipe.objective)
    network = load_network(card).eval()
    triplets = held_back_triplets(source, _TRIPLETS)
    found = [objective.appraise(network, triplets[index]) for index in range(len(triplets))]
    if not all(found):
        return None
    return FootageVerdict(fmean(one["explained"] for one in found), median(one["parallax"] for one in found))


@dataclass(frozen=True)
class _Video:
    """A video file or a folder of frames, how many frames it has, what reads them, and their files, if they have any."""

    source: Path
    count: int
    read: Callable[[int], images.Image]
    pictures: list[Path]


def _open(source: Path) -> _Video | None:
    """The first video of three frames or more in ``source``."""
    if source.is_file():
        video = _Video(source, count_frames(source), VideoReader(source).frame, [])
        return video if video.count >= 3 else None
    if not source.is_dir():
        raise DataError(f"the video {source} does not exist", "Correct the path")
    inside = visible_in_order(source)
    pictures = [path for path in inside if images.is_image_path(path)]
    if len(pictures) >= 3:
        return _Video(source, len(pictures), lambda number: images.read(pictures[number]), pictures)
    videos = (_open(path) for path in inside if path.is_dir() or is_video_path(path))
    return next((video for video in videos if video is not None), None)


class _Place:
    """A few frames of a video that follow each other, small and grey: as many as a triplet reaches over, less what repeats and
    what lies beyond a cut.

    Attributes:
        size: rows and columns of the frames as they are there.
        grey: the small frames.

    Raises:
        ImageError: if frames cannot be read, or have several sizes.
    """

    def __init__(self, video: _Video, start: int) -> None:
        grey = []
        for number in range(start, min(start + 2 * GAPS[-1] + 1, video.count)):
            frame = video.read(number)
            self.size = frame.height, frame.width
            grey.append(_small_grey(frame))
        if len({frame.shape for frame in grey}) > 1:
            raise ImageError(
                "the frames of the video have different sizes", "Keep the frames of one video in a folder of their own"
            )
        self.grey = [grey[number] for number in find_shots([small_grey(frame) for frame in grey]).longest]


def _small_grey(frame: images.Image) -> NDArray[np.uint8]:
    import cv2

    height = max(16, round(frame.height * WIDTH / frame.width))
    small = cv2.resize(images.to_float(frame.pixels), (WIDTH, height), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else small.mean(2)
    return np.rint(255 * grey).astype(np.uint8)


def _motion(places: Sequence[_Place], gap: int) -> float:
    """The median flow between frames that lie ``gap`` apart, as pixels of 640 columns."""
    pairs = [(place.grey[0], place.grey[gap]) for place in places if len(place.grey) > gap]
    flows = [dense_inverse_search(*pair) for pair in pairs]
    return median(float(np.median(np.hypot(flow[..., 0], flow[..., 1]))) for flow in flows) * 640 / WIDTH
