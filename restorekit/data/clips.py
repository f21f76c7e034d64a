"""Videos in memory: files and folders of frames, brought to one size, with their camera, cut where they are cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit import images
from restorekit.data.camera import find_camera
from restorekit.data.clean import load_rgb
from restorekit.data.problems import refuse
from restorekit.data.shots import find_shots, small_grey
from restorekit.errors import DataError, ImageError, UnknownNameError
from restorekit.images.folders import is_hidden
from restorekit.images.video import is_video_path, read_frames

LEAST = 3
"""Frames of the shortest video."""

OnNote = Callable[[str], None]
"""Told what is worth knowing of the data, a line at a time."""


@dataclass(frozen=True)
class Clip:
    """A video in memory, without cuts.

    Attributes:
        name: where it is from.
        frames: ``(N, 3, H, W)`` uint8, RGB, in the order of time.
        intrinsics: ``(3, 3)``, in pixels of these frames, whose centres lie at whole numbers.
        flow: optical flow between the frames that lie G apart, ``(N - G, 2, 2, H, W)`` in float16: from each frame to the later
            one, and back from there; x before y, in pixels. None where it is not known.
        gap: G, how far a frame's neighbours in a triplet lie from it.
        motion: the camera's between those frames, ``(N - G, 4, 4)``, from each to the later one, with ways of length 1, or 0
            where it is not known (:mod:`restorekit.data.egomotion`). None where it was not looked for.
    """

    name: str
    frames: Tensor
    intrinsics: Tensor
    flow: Tensor | None = None
    gap: int = 1
    motion: Tensor | None = None


VIDEO_LAYOUTS: dict[str, str] = {"folders": "", "kitti": "*_*_*/*_drive_*_sync/image_0[23]/data"}
"""Where data sets of videos, as they unpack, have the folders of frames that count; empty: wherever there are any."""


def load_clips(
    source: Path,
    size: tuple[int, int],
    intrinsics: Sequence[float] = (),
    on_note: OnNote | None = None,
    layout: str = "folders",
) -> list[Clip]:
    """The videos in ``source``: a video file, a folder of frames, or a folder of such folders and files.

    Where a video is cut, it becomes several; frames that repeat the one before are left out (:mod:`restorekit.data.shots`).

    Args:
        source: what to read.
        size: height and width the frames are resized to.
        intrinsics: fx, fy, cx, cy as shares of the width and height; without them :func:`~restorekit.data.camera.find_camera`
            looks for them.
        on_note: told of cuts and repeated frames.
        layout: a name in :data:`VIDEO_LAYOUTS`.

    Raises:
        DataError: if there is no video, naming every frame that cannot be read.
        UnknownNameError: for a name that no layout has.
    """
    if not source.exists():
        raise DataError(f"the video {source} does not exist", "Correct the path")
    if layout not in VIDEO_LAYOUTS:
        raise UnknownNameError("layout", layout, VIDEO_LAYOUTS)
    found = sorted(source.glob(VIDEO_LAYOUTS[layout])) if VIDEO_LAYOUTS[layout] else [source]
    places = [place for place in found if not is_hidden(place, source)]
    if not places:
        raise DataError(
            f"{source} holds no folder {VIDEO_LAYOUTS[layout]}", f"Check the folder, or leave out the layout '{layout}'"
        )
    clips = [clip for place in places for video in _videos(place, size) for clip in _cut(video, size, intrinsics, on_note)]
    if not clips:
        raise DataError(f"{source} holds no video of three frames or more", "Name a video file, or a folder of frames")
    return clips


@dataclass(frozen=True)
class _Video:
    """Resized frames ``(3, H, W)`` of a file or folder, their size there, and their files, if they have any."""

    source: Path
    frames: list[Tensor]
    original: tuple[int, int]
    pictures: list[Path]


def _videos(source: Path, size: tuple[int, int]) -> Iterator[_Video]:
    if source.is_file():
        yield _from_file(source, size)
        return
    inside = visible_in_order(source)
    yield _from_pictures(source, [path for path in inside if images.is_image_path(path)], size)
    for path in inside:
        if path.is_dir() or is_video_path(path):
            yield from _videos(path, size)


def _cut(video: _Video, size: tuple[int, int], intrinsics: Sequence[float], on_note: OnNote | None) -> Iterator[Clip]:
    if len(video.frames) < LEAST:
        return
    matrix = find_camera(video.source, video.original, intrinsics, video.pictures).matrix(*size)
    shots = find_shots([small_grey(frame.permute(1, 2, 0).numpy()) for frame in video.frames])
    if shots.remark and on_note is not None:
        on_note(f"{video.source}: {shots.remark}")
    for number, part in enumerate(shots.parts):
        if len(part) >= LEAST:
            name = f"{video.source}, shot {number + 1}" if len(shots.parts) > 1 else str(video.source)
            yield Clip(name, torch.stack([video.frames[index] for index in part]), matrix.clone())


def _from_pictures(source: Path, paths: list[Path], size: tuple[int, int]) -> _Video:
    problems, frames, sizes = [], [], list[tuple[int, int]]()
    for path in paths:
        try:
            frame = load_rgb(path)
        except ImageError as error:
            problems.append(error.problem)
            continue
        sizes.append((frame.shape[1], frame.shape[2]))
        frames.append(_resized(frame, size))
    refuse(problems, "Correct or remove these frames")
    if len(frames) >= LEAST and len(set(sizes)) > 1:  # one camera cannot have taken them
        raise DataError(f"the frames in {source} have different sizes", "Keep the frames of one video in a folder of their own")
    return _Video(source, frames, sizes[-1] if sizes else size, paths)


def _from_file(path: Path, size: tuple[int, int]) -> _Video:
    frames, original = [], size
    try:
        for frame in read_frames(path):
            original = frame.shape[0], frame.shape[1]
            frames.append(_resized(torch.from_numpy(frame).permute(2, 0, 1), size))
    except ImageError as error:
        raise DataError(error.problem, error.remedy) from None
    return _Video(path, frames, original, [])


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    if frame.shape[1:] == torch.Size(size):
        return frame.contiguous()
    resized = F.interpolate(frame[None].float(), size, mode="bicubic", antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def visible_in_order(folder: Path) -> list[Path]:
    """What lies in a folder, but for what is hidden, in the order of :func:`in_order`."""
    return sorted((path for path in folder.iterdir() if not is_hidden(path, folder)), key=in_order)


def in_order(path: Path) -> list[tuple[int, str]]:
    """Sorts files by the numbers in their names: ``frame-9`` comes before ``frame-10``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]
