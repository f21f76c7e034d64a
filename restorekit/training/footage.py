"""A video as material to learn depth from: its camera, how much it moves, and whether it was fit, seen afterwards."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.data.videos import FOCAL, in_order
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
    """

    size: tuple[int, int]
    frames: int
    gap: int
    motion: float

    @property
    def is_still(self) -> bool:
        """Whether so little moves that nothing can be learnt (below half a pixel; specification of DCPI-Depth, 9.3)."""
        return self.motion < 0.5

    def __str__(self) -> str:
        rows, columns = self.size
        apart = "" if self.gap == 1 else f", taken {self.gap} apart"
        return f"{self.frames} frames of {columns} x {rows}{apart}, median motion {self.motion:.1f} of 640 pixels"


@dataclass(frozen=True)
class Verdict:
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
    count, read = _frames(source)
    if count < 3:
        raise DataError(f"{source} holds no video of three frames or more", "Name a video file, or a folder of frames")
    gaps = [gap for gap in GAPS if 2 * gap < count]
    starts = sorted({round(place) for place in np.linspace(0, count - 1 - gaps[-1], min(_PLACES, count - gaps[-1]))})
    flows: dict[int, list[float]] = {gap: [] for gap in gaps}
    size = (0, 0)
    for start in starts:
        first = read(start)
        size = (first.height, first.width)
        small = _small_grey(first)
        for gap in gaps:
            flows[gap].append(_median_flow(small, _small_grey(read(start + gap))))
    motions = {gap: median(values) * 640 / WIDTH for gap, values in flows.items()}
    gap = next((gap for gap in gaps if motions[gap] >= 2), max(gaps, key=lambda gap: motions[gap]))
    return Footage(size, count, gap, motions[gap])


def intrinsics_of(fov: float | None, size: tuple[int, int]) -> tuple[float, ...]:
    """fx, fy, cx, cy, as shares of width and height, of a camera with square pixels and an angle of view of ``fov`` degrees from
    side to side; empty for None.
    """
    if fov is None:
        return ()
    height, width = size
    focal = 0.5 / math.tan(math.radians(fov) / 2)
    return (focal, focal * width / height, 0.5, 0.5)


def describe_camera(source: Path, intrinsics: Sequence[float]) -> str:
    """Where the intrinsics are from that :func:`restorekit.data.videos.load_clips` takes, in a sentence."""
    if intrinsics:
        return "Camera: as given, " + ", ".join(
            f"{name} {value:.3f}" for name, value in zip(("fx", "fy", "cx", "cy"), intrinsics, strict=True)
        )
    known = next((path for path in (source / "K.txt", source.parent / "K.txt") if path.is_file()), None)
    if known is not None:
        return f"Camera: from {known}"
    angle = 2 * math.degrees(math.atan(0.5 / FOCAL))
    return f"Camera: unknown; {angle:.0f} degrees from side to side are assumed. Say --fov or --intrinsics if you know better"


def judge(recipe: Recipe, card: Card) -> Verdict:
    """What a card that learnt by the recipe makes of the recipe's videos; on the CPU, from a few triplets."""
    import torch

    from restorekit.data.videos import TripletSet, VideoTriplets
    from restorekit.methods.dcpi_depth import METHOD
    from restorekit.methods.dcpi_depth.diagnosis import diagnose
    from restorekit.methods.dcpi_depth.objective import DcpiObjective

    source = training_source(recipe, torch.device("cpu"))
    objective = METHOD.objective(card.parsed_config(), recipe.objective)
    if not isinstance(source, VideoTriplets) or not isinstance(objective, DcpiObjective):
        raise TypeError("only what learns from videos can judge them")
    network = load_network(card).eval()
    triplets = TripletSet(source, _TRIPLETS)
    found = [diagnose(objective, network, triplets[index]) for index in range(len(triplets))]
    return Verdict(fmean(one.explained for one in found), median(one.parallax for one in found))


def _frames(source: Path) -> tuple[int, Callable[[int], images.Image]]:
    """How many frames the first video in ``source`` has, and what reads them."""
    if source.is_file():
        reader = VideoReader(source)
        return count_frames(source), reader.frame
    if not source.is_dir():
        raise DataError(f"the video {source} does not exist", "Correct the path")
    inside = sorted(source.iterdir(), key=in_order)
    pictures = [path for path in inside if images.is_image_path(path)]
    if len(pictures) >= 3:
        return len(pictures), lambda number: images.read(pictures[number])
    for path in inside:
        if path.is_dir() or is_video_path(path):
            count, read = _frames(path)
            if count >= 3:
                return count, read
    return 0, lambda number: images.read(pictures[number])


def _small_grey(frame: images.Image) -> NDArray[np.uint8]:
    import cv2

    height = max(16, round(frame.height * WIDTH / frame.width))
    small = cv2.resize(images.to_float(frame.pixels), (WIDTH, height), interpolation=cv2.INTER_AREA)
    grey = small if small.ndim == 2 else small.mean(2)
    return np.rint(255 * grey).astype(np.uint8)


def _median_flow(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    import cv2

    if first.shape != second.shape:
        raise ImageError("the frames of the video have different sizes", "Keep the frames of one video in a folder of their own")
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(first, second, np.zeros((*first.shape, 2), np.float32))
    return float(np.median(np.hypot(flow[..., 0], flow[..., 1])))
