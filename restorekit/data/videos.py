"""Videos, as triplets of frames, for methods that learn depth from motion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as tv

from restorekit import images
from restorekit.data.clean import load_rgb
from restorekit.data.clips import Clip
from restorekit.data.crops import below
from restorekit.data.held_back import HeldBack
from restorekit.data.streams import ALL, TRAINING, one_for_each
from restorekit.degradations import seeded_generator
from restorekit.errors import DataError
from restorekit.images.depth_maps import read_depth
from restorekit.layers.geometry import invert_pose
from restorekit.methods import Batch
from restorekit.metrics import depth_scores

FLOWS = ("flow_next", "flow_next_back", "flow_previous", "flow_previous_back")
"""Of a triplet's extras: the flow from the frame to its neighbours, and back from there."""

MOTIONS = ("motion_next", "motion_previous")
"""Of a triplet's extras: the camera's motion from the frame to its neighbours, as far as flow tells it."""


class _Triplet(NamedTuple):
    """What the network sees of the frames, the frames ``(3, 3, H, W)``, K, and, if they are known, the :data:`FLOWS`
    ``(4, 2, H, W)`` and the :data:`MOTIONS` ``(2, 4, 4)``.
    """

    seen: Tensor
    true: Tensor
    intrinsics: Tensor
    flows: Tensor | None
    motions: Tensor | None


class VideoTriplets:
    """Training batches by number: frames between their neighbours; batch ``step`` depends on the seed and ``step`` alone.

    A triplet is mirrored with probability 1/2, its intrinsics, flows and motions with it. With probability 1/2 what the network
    sees is changed in brightness, contrast and saturation (by up to 20 %) and hue (by up to 10 %), alike in all three frames; the
    losses see true colours.

    Args:
        clips: where frames are from, all of one size; neighbours lie a clip's ``gap`` apart. Flows are taken if every one has
            them, and so are motions.
        seed: fixes the order and all else.
        jitter: change colours.

    Raises:
        DataError: if no clip is long enough.
        ValueError: if clips have flows of another gap.
    """

    complete = True

    def __init__(self, clips: Sequence[Clip], seed: int, *, jitter: bool = True) -> None:
        self.clips = [clip for clip in clips if len(clip.frames) > 2 * clip.gap]
        self.seed, self.jitter = seed, jitter
        self.middles = [(i, t) for i, clip in enumerate(self.clips) for t in range(clip.gap, len(clip.frames) - clip.gap)]
        if not self.middles:
            least = min((2 * clip.gap + 1 for clip in clips), default=3)
            raise DataError(f"no video has the {least} frames of a triplet", "Use longer videos")
        for clip in self.clips:
            for between in (clip.flow, clip.motion):
                if between is not None and len(clip.frames) - len(between) != clip.gap:
                    raise ValueError(f"the flow or motion of {clip.name} is not that of frames {clip.gap} apart")
        self.has_flow = all(clip.flow is not None for clip in self.clips)
        self.has_motion = all(clip.motion is not None for clip in self.clips)

    def __len__(self) -> int:
        return len(self.middles)

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The triplets ``own`` of batch number ``step``, which has ``count``, whole. Extras are those that ``dcpi-depth`` is
        taught with.
        """
        generators = one_for_each(count, seeded_generator(self.seed, TRAINING, step))[own]
        return _batch([self._triplet(generator) for generator in generators], step)

    def held_back(self, index: int, count: int) -> Batch:
        """Triplet number ``index`` of ``count`` that lie evenly over all videos, as it was filmed, to watch a training by."""
        number, time = self.middles[(2 * index + 1) * len(self.middles) // (2 * count)]
        return _batch([self._filmed(number, time)], index)

    def _filmed(self, number: int, time: int) -> _Triplet:
        clip = self.clips[number]
        gap = clip.gap
        frames = clip.frames[time - gap : time + gap + 1 : gap].float() / 255
        flows = motions = None
        if self.has_flow and clip.flow is not None:
            after, before = clip.flow[time], clip.flow[time - gap]  # each there and back
            flows = torch.stack([after[0], after[1], before[1], before[0]]).float()
        if self.has_motion and clip.motion is not None:
            motions = torch.cat([clip.motion[time, None], invert_pose(clip.motion[time - gap, None])])
        return _Triplet(frames, frames, clip.intrinsics.clone(), flows, motions)

    def _triplet(self, generator: Generator) -> _Triplet:
        triplet = self._filmed(*self.middles[below(len(self.middles), generator)])
        mirror, change, *amounts = torch.rand(6, generator=generator).tolist()
        if mirror < 0.5:
            triplet = _mirrored(triplet)
        changes = self.jitter and change < 0.5
        return triplet._replace(seen=_jittered(triplet.true, amounts)) if changes else triplet


def _mirrored(triplet: _Triplet) -> _Triplet:
    frames, intrinsics = triplet.true.flip(3), triplet.intrinsics.clone()
    intrinsics[0, 2] = frames.shape[3] - 1 - intrinsics[0, 2]
    flows, motions = triplet.flows, triplet.motions
    if flows is not None:
        flows = flows.flip(3) * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    if motions is not None:
        mirror = torch.tensor([-1.0, 1.0, 1.0, 1.0])
        motions = mirror[:, None] * motions * mirror
    return _Triplet(frames, frames, intrinsics, flows, motions)


def _batch(triplets: Sequence[_Triplet], step: int) -> Batch:
    seen, true = torch.stack([triplet.seen for triplet in triplets]), torch.stack([triplet.true for triplet in triplets])
    extras = {
        "previous": true[:, 0],
        "next": true[:, 2],
        "previous_input": seen[:, 0],
        "next_input": seen[:, 2],
        "intrinsics": torch.stack([triplet.intrinsics for triplet in triplets]),
        "step": torch.tensor(step),
    }
    flows = [triplet.flows for triplet in triplets if triplet.flows is not None]
    if flows:
        extras |= dict(zip(FLOWS, torch.stack(flows, 1), strict=True))
    motions = [triplet.motions for triplet in triplets if triplet.motions is not None]
    if motions:
        extras |= dict(zip(MOTIONS, torch.stack(motions, 1), strict=True))
    return Batch(seen[:, 1], true[:, 1], extras)


def held_back_triplets(triplets: VideoTriplets, count: int) -> HeldBack:
    """At most ``count`` triplets to watch a training by, for want of true depth: by how well depth and motion explain one frame
    by the next. Some of them are trained on too, which without truth is no cheating.
    """
    count = min(count, len(triplets))
    return HeldBack("triplet", [triplets.held_back(index, count) for index in range(count)], "none")


def _jittered(frames: Tensor, amounts: Sequence[float]) -> Tensor:
    brightness, contrast, saturation, hue = (2 * amount - 1 for amount in amounts)
    frames = tv.adjust_brightness(frames, 1 + 0.2 * brightness)
    frames = tv.adjust_contrast(frames, 1 + 0.2 * contrast)
    frames = tv.adjust_saturation(frames, 1 + 0.2 * saturation)
    return tv.adjust_hue(frames, 0.1 * hue)


def _by_stem(folder: Path) -> dict[str, Path]:
    """The images in a folder, by name, but for hidden ones."""
    return {path.stem: path for path in sorted(folder.glob("[!.]*")) if images.is_image_path(path)}


class DepthSet:
    """Frames with their true depth, to validate on: a folder with ``frames`` and ``depth``, paired by name.

    Depth maps are 16-bit grey images, or of floats in metres, 0 where nothing is known. A frame without one is passed over.

    Args:
        folder: where they lie.
        unit: metres of one step of a depth map's integers.

    Raises:
        DataError: if no frame has a depth map.
        ImageError: here and later, for what is no depth map; see :func:`restorekit.images.depth_maps.read_depth`.
    """

    truth: ClassVar[Literal["depth"]] = "depth"

    def __init__(self, folder: Path, unit: float = 1e-3) -> None:
        frames, depths = (_by_stem(folder / inside) for inside in ("frames", "depth"))
        self.names = [name for name in frames if name in depths]
        self.pairs = [(frames[name], depths[name]) for name in self.names]
        self.unit = unit
        if not self.pairs:
            raise DataError(f"{folder} holds no frames/NAME with a depth/NAME", "Check the path")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Batch:
        """The frame ``(1, 3, H, W)`` in [0, 1] and its depth ``(1, 1, H, W)`` in metres."""
        frame, depth = self.pairs[index]
        return Batch(load_rgb(frame)[None].float() / 255, self._depth(depth)[None, None], {})

    def tells(self, index: int) -> bool:
        """Whether a frame has a depth that :func:`restorekit.metrics.depth_scores` counts."""
        values = self._depth(self.pairs[index][1])[None, None]
        return bool(depth_scores(torch.ones_like(values), values).count > 0)

    def _depth(self, path: Path) -> Tensor:
        return torch.from_numpy(read_depth(path, 1 / self.unit))
