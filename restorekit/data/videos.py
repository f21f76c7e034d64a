"""Videos, as triplets of frames, for methods that learn depth from motion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as tv

from restorekit import images
from restorekit.data.clean import load_rgb
from restorekit.data.crops import below
from restorekit.data.problems import refuse
from restorekit.data.streams import TRAINING
from restorekit.degradations import seeded_generator
from restorekit.errors import DataError, ImageError
from restorekit.images.video import is_video_path, read_frames
from restorekit.methods import Batch

FOCAL = 0.866
"""Focal length, as a share of the width, of a camera that nobody knows better: 60 degrees from side to side."""


@dataclass(frozen=True)
class Clip:
    """A video in memory.

    Attributes:
        name: where it is from.
        frames: ``(N, 3, H, W)`` uint8, RGB, in the order of time.
        intrinsics: ``(3, 3)``, in pixels of these frames, whose centres lie at whole numbers.
    """

    name: str
    frames: Tensor
    intrinsics: Tensor


def load_clips(source: Path, size: tuple[int, int], intrinsics: Sequence[float] = ()) -> list[Clip]:
    """The videos in ``source``: a video file, a folder of frames, or a folder of such folders and files.

    Args:
        source: what to read.
        size: height and width the frames are resized to.
        intrinsics: fx, fy, cx, cy as shares of the width and height; without them a file ``K.txt``, 3 x 3 in pixels of the
            frames, is looked for beside the frames and one folder up, and else :data:`FOCAL` assumed.

    Raises:
        DataError: if there is no video, naming every frame that cannot be read.
    """
    if not source.exists():
        raise DataError(f"the video {source} does not exist", "Correct the path")
    clips = list(_clips(source, size, intrinsics))
    if not clips:
        raise DataError(f"{source} holds no video of three frames or more", "Name a video file, or a folder of frames")
    return clips


def _clips(source: Path, size: tuple[int, int], intrinsics: Sequence[float]) -> Iterator[Clip]:
    if source.is_file():
        yield from _clip(source, _video_frames(source, size), intrinsics)
        return
    inside = sorted(source.iterdir(), key=in_order)
    yield from _clip(source, _image_frames([path for path in inside if images.is_image_path(path)], size), intrinsics)
    for path in inside:
        if path.is_dir() or is_video_path(path):
            yield from _clips(path, size, intrinsics)


def _clip(source: Path, frames: tuple[list[Tensor], tuple[int, int]], intrinsics: Sequence[float]) -> Iterator[Clip]:
    pictures, original = frames
    if len(pictures) >= 3:
        stack = torch.stack(pictures)
        yield Clip(str(source), stack, camera_matrix(source, original, (stack.shape[2], stack.shape[3]), intrinsics))


def _image_frames(paths: Sequence[Path], size: tuple[int, int]) -> tuple[list[Tensor], tuple[int, int]]:
    problems, frames, original = [], [], size
    for path in paths:
        try:
            frame = load_rgb(path)
        except ImageError as error:
            problems.append(error.problem)
            continue
        original = frame.shape[1], frame.shape[2]
        frames.append(_resized(frame, size))
    refuse(problems, "Correct or remove these frames")
    return frames, original


def _video_frames(path: Path, size: tuple[int, int]) -> tuple[list[Tensor], tuple[int, int]]:
    frames, original = [], size
    try:
        for frame in read_frames(path):
            original = frame.shape[0], frame.shape[1]
            frames.append(_resized(torch.from_numpy(frame).permute(2, 0, 1), size))
    except ImageError as error:
        raise DataError(error.problem, error.remedy) from None
    return frames, original


def _resized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    if frame.shape[1:] == torch.Size(size):
        return frame.contiguous()
    resized = F.interpolate(frame[None].float(), size, mode="bicubic", antialias=True)
    return resized[0].round().clamp(0, 255).to(torch.uint8)


def in_order(path: Path) -> list[tuple[int, str]]:
    """Sorts files by the numbers in their names: ``frame-9`` comes before ``frame-10``."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def camera_matrix(source: Path, original: tuple[int, int], size: tuple[int, int], normalised: Sequence[float] = ()) -> Tensor:
    """The intrinsics ``(3, 3)`` of frames of ``original`` height and width after resizing to ``size``; see :func:`load_clips`."""
    height, width = size
    if normalised:
        fx, fy, cx, cy = normalised
        return _matrix(fx * width, fy * height, cx * width - 0.5, cy * height - 0.5)
    for path in (source / "K.txt", source.parent / "K.txt"):
        if path.is_file():
            try:
                k = np.loadtxt(path).reshape(3, 3)
            except (ValueError, OSError) as error:
                raise DataError(f"{path} is no 3 x 3 matrix: {error}", "Write three lines of three numbers") from None
            sx, sy = width / original[1], height / original[0]
            return _matrix(k[0, 0] * sx, k[1, 1] * sy, (k[0, 2] + 0.5) * sx - 0.5, (k[1, 2] + 0.5) * sy - 0.5)
    focal = FOCAL * original[1]
    return _matrix(focal * width / original[1], focal * height / original[0], (width - 1) / 2, (height - 1) / 2)


def _matrix(fx: float, fy: float, cx: float, cy: float) -> Tensor:
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float32)


class VideoTriplets:
    """Training batches by number: frames between their neighbours; batch ``step`` depends on the seed and ``step`` alone.

    A triplet is mirrored with probability 1/2, its intrinsics with it. With probability 1/2 what the network sees is changed in
    brightness, contrast and saturation (by up to 20 %) and hue (by up to 10 %), alike in all three frames; the losses see true
    colours.

    Args:
        clips: where frames are from, all of one size.
        seed: fixes the order and all else.
        gap: frames from one to its neighbour.
        jitter: change colours.

    Raises:
        DataError: if no clip is long enough.
    """

    complete = True

    def __init__(self, clips: Sequence[Clip], seed: int, *, gap: int = 1, jitter: bool = True) -> None:
        self.clips, self.seed, self.gap, self.jitter = clips, seed, gap, jitter
        self.middles = [(i, t) for i, clip in enumerate(clips) for t in range(gap, len(clip.frames) - gap)]
        if not self.middles:
            raise DataError(f"no video has the {2 * gap + 1} frames of a triplet", "Use longer videos")

    def __len__(self) -> int:
        return len(self.middles)

    def batch(self, step: int, count: int, patch: int) -> Batch:
        """Batch number ``step``: ``count`` triplets, whole. Extras are those that ``dcpi-depth`` is taught with."""
        generator = seeded_generator(self.seed, TRAINING, step)
        return _batch([self._triplet(generator) for _ in range(count)], step)

    def held_back(self, index: int, count: int) -> Batch:
        """Triplet number ``index`` of ``count`` that lie evenly over all videos, as it was filmed, to watch a training by."""
        number, time = self.middles[(2 * index + 1) * len(self.middles) // (2 * count)]
        frames, intrinsics = self._frames(number, time)
        return _batch([(frames, frames, intrinsics)], index)

    def _frames(self, number: int, time: int) -> tuple[Tensor, Tensor]:
        clip = self.clips[number]
        return clip.frames[time - self.gap : time + self.gap + 1 : self.gap].float() / 255, clip.intrinsics.clone()

    def _triplet(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        frames, intrinsics = self._frames(*self.middles[below(len(self.middles), generator)])
        mirror, change, *amounts = torch.rand(6, generator=generator).tolist()
        if mirror < 0.5:
            frames = frames.flip(3)
            intrinsics[0, 2] = frames.shape[3] - 1 - intrinsics[0, 2]
        seen = _jittered(frames, amounts) if self.jitter and change < 0.5 else frames
        return seen, frames, intrinsics


def _batch(triplets: Sequence[tuple[Tensor, Tensor, Tensor]], step: int) -> Batch:
    seen, true, intrinsics = (torch.stack(part) for part in zip(*triplets, strict=True))
    extras = {
        "previous": true[:, 0],
        "next": true[:, 2],
        "previous_input": seen[:, 0],
        "next_input": seen[:, 2],
        "intrinsics": intrinsics,
        "step": torch.tensor(step),
    }
    return Batch(seen[:, 1], true[:, 1], extras)


class TripletSet:
    """Triplets to watch a training by, for want of true depth: by how well depth and motion explain one frame by the next.

    Args:
        triplets: where they are from; some of them are trained on too, which without truth is no cheating.
        count: how many.
    """

    truth: ClassVar[Literal["none"]] = "none"

    def __init__(self, triplets: VideoTriplets, count: int) -> None:
        count = min(count, len(triplets))
        self.names = [f"triplet-{index:02d}" for index in range(count)]
        self._triplets = [triplets.held_back(index, count) for index in range(count)]

    def __len__(self) -> int:
        return len(self._triplets)

    def __getitem__(self, index: int) -> Batch:
        return self._triplets[index]


def _jittered(frames: Tensor, amounts: Sequence[float]) -> Tensor:
    brightness, contrast, saturation, hue = (2 * amount - 1 for amount in amounts)
    frames = tv.adjust_brightness(frames, 1 + 0.2 * brightness)
    frames = tv.adjust_contrast(frames, 1 + 0.2 * contrast)
    frames = tv.adjust_saturation(frames, 1 + 0.2 * saturation)
    return tv.adjust_hue(frames, 0.1 * hue)


class DepthSet:
    """Frames with their true depth, to validate on: a folder with ``frames`` and ``depth``, paired by name.

    Depth maps are 16-bit grey images, 0 where nothing is known. A frame without one is passed over.

    Args:
        folder: where they lie.
        unit: length of one step of a depth map's values.

    Raises:
        DataError: if no frame has a depth map.
    """

    truth: ClassVar[Literal["depth"]] = "depth"

    def __init__(self, folder: Path, unit: float = 1e-3) -> None:
        frames = {path.stem: path for path in sorted((folder / "frames").glob("*")) if images.is_image_path(path)}
        depths = {path.stem: path for path in sorted((folder / "depth").glob("*")) if images.is_image_path(path)}
        self.names = [name for name in frames if name in depths]
        self.pairs = [(frames[name], depths[name]) for name in self.names]
        self.unit = unit
        if not self.pairs:
            raise DataError(f"{folder} holds no frames/NAME with a depth/NAME", "Check the path")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        """The frame ``(1, 3, H, W)`` in [0, 1] and its depth ``(1, 1, H, W)`` in units of ``unit``'s."""
        frame, depth = self.pairs[index]
        values = torch.from_numpy(images.read(depth).pixels[..., 0].astype(np.float32)) * self.unit
        return Batch(load_rgb(frame)[None].float() / 255, values[None, None], {})
