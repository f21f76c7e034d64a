"""Videos of a corridor with boxes in it, drawn with their true depth, camera motion and optical flow.

For tests and for trying out training from video: nothing is estimated, so every error is the method's. World and camera axes are
x right, y down, z ahead; lengths are metres, times frames; pixel centres lie at whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit.data.clips import Clip
from restorekit.data.flow import packed
from restorekit.data.textures import COARSEST, Poster, Texture, Waves
from restorekit.degradations.base import seeded_generator, uniform
from restorekit.errors import SettingError
from restorekit.methods import Batch

SCENE, TEXTURES = 1, 2
"""Streams of random numbers of a seed."""

GROUND, CEILING, END = 1.5, -4.0, 40.0
"""Where ground, ceiling and end wall are, seen from where the camera starts."""

NEAREST, LAST = 1e-3, 25.0
"""The smallest depth that is seen, and how far the camera may go."""


@dataclass(frozen=True)
class CorridorSettings:
    """What a corridor and its camera are like.

    Attributes:
        width, height: size of the frames in pixels.
        focal: focal length, as a share of the width.
        speed: metres ahead in each frame.
        sway: how much the camera also moves to the sides and turns; 0 goes straight ahead, 1 as a driver looks around.
        boxes: how many stand on the ground.
        detail: cycles a metre of the finest procedural noise; less makes motion easier to follow.
        moving: speed in metres a frame of a box that drives ahead of the camera; None for no such box.
    """

    width: int = 160
    height: int = 96
    focal: float = 0.8
    speed: float = 0.25
    sway: float = 1.0
    boxes: int = 6
    detail: float = 3.0
    moving: float | None = None

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 2 or self.focal <= 0:
            raise SettingError("a video needs frames of 2 x 2 pixels or more, and a positive focal length", "Choose larger ones")
        if self.boxes < 0 or self.detail <= COARSEST:
            raise SettingError(f"boxes must be 0 or more, and detail above {COARSEST}", "Correct them")


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        image: ``(3, H, W)``, RGB in [0, 1].
        depth: ``(1, H, W)``, in metres along the camera's axis.
        moving: ``(1, H, W)`` of bool, where something moves by itself.
    """

    image: Tensor
    depth: Tensor
    moving: Tensor


@dataclass(frozen=True)
class _Box:
    """A box with its textures: half its sides, where it stands in frame 0, its turn ``(3, 3)`` and how far it goes a frame."""

    half: Tensor
    centre: Tensor
    turn: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class _Hit:
    """Where rays meet a surface, ``(N,)`` each: depth, infinite where they do not; surface coordinates in metres; and the ray's
    share along the normal.
    """

    depth: Tensor
    texture: int
    u: Tensor
    v: Tensor
    facing: Tensor


class CorridorVideo:
    """A video of a drive down the corridor, each frame drawn when it is looked at; the same seed gives the same video.

    Args:
        seed: fixes layout, textures and the phases of the camera's sway.
        settings: size, motion, boxes.
        photographs: what surfaces are papered with, ``(3, h, w)``, RGB in [0, 1]; none for procedural noise.
    """

    def __init__(self, seed: int, settings: CorridorSettings | None = None, photographs: Sequence[Tensor] = ()) -> None:
        self.seed = seed
        self.settings = settings = settings or CorridorSettings()
        generator = seeded_generator(seed, SCENE)
        self._half_width = float(uniform(generator, (), 4, 6))
        self._boxes = [self._standing_box(number, generator) for number in range(settings.boxes)]
        if settings.moving is not None:
            self._boxes.append(_driving_box(settings.moving))
        count = 5 + 3 * len(self._boxes)
        self._textures = [
            _texture(seeded_generator(seed, TEXTURES, number), photographs, settings.detail) for number in range(count)
        ]
        self._frames: dict[int, tuple[Frame, Tensor]] = {}

    def _standing_box(self, number: int, generator: torch.Generator) -> _Box:
        half = torch.stack([uniform(generator, (), 0.4, high) for high in (1.0, 1.2, 1.2)]).double()
        side = -1.0 if number % 2 else 1.0
        x = side * uniform(generator, (), 1.6, self._half_width - 0.8).double()
        z = uniform(generator, (), 6, 34).double()
        turn = _about_y(float(uniform(generator, (), -0.6, 0.6)))
        return _Box(half, torch.stack([x, GROUND - half[1], z]), turn, torch.zeros(3, dtype=torch.float64))

    @property
    def intrinsics(self) -> Tensor:
        """K, ``(3, 3)`` in pixels: square pixels, the principal point in the middle."""
        return self._camera_matrix().float()

    def _camera_matrix(self) -> Tensor:
        settings = self.settings
        focal = settings.focal * settings.width
        rows = [[focal, 0, (settings.width - 1) / 2], [0, focal, (settings.height - 1) / 2], [0, 0, 1]]
        return torch.tensor(rows, dtype=torch.float64)

    def _camera(self, time: int) -> tuple[Tensor, Tensor]:
        """Rotation from camera to world ``(3, 3)``, and the camera's place ``(3,)``."""
        settings, seed = self.settings, self.seed
        sway = settings.sway
        ahead = settings.speed * time
        if not -LAST < ahead < LAST:
            raise SettingError(f"frame {time} lies beyond the corridor", f"Stay within {LAST:g} m of its beginning")
        centre = [0.5 * sway * math.sin(0.13 * time + seed), 0.06 * sway * math.sin(0.5 * time), ahead]
        yaw, pitch = 0.06 * sway * math.sin(0.21 * time + seed), 0.015 * sway * math.sin(0.37 * time + 2 * seed)
        return _about_y(yaw) @ _about_x(pitch), torch.tensor(centre, dtype=torch.float64)

    def pose(self, first: int, second: int) -> Tensor:
        """``T_{first -> second}`` ``(4, 4)``: points seen from one frame's camera to the same seen from another's."""
        return self._pose(first, second).float()

    def _pose(self, first: int, second: int) -> Tensor:
        (turn0, centre0), (turn1, centre1) = self._camera(first), self._camera(second)
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, :3] = turn1.T @ turn0
        pose[:3, 3] = turn1.T @ (centre0 - centre1)
        return pose

    def frame(self, time: int) -> Frame:
        """Frame number ``time``, 0 the first; :class:`~restorekit.errors.SettingError` beyond the corridor."""
        return self._drawn(time)[0]

    def flow(self, first: int, second: int) -> tuple[Tensor, Tensor]:
        """Where each pixel of one frame is in another: the flow ``(2, H, W)`` in pixels, x before y, and whether it can be seen
        there, ``(1, H, W)`` of bool.
        """
        depth, (turn, centre) = self._drawn(first)[1], self._camera(first)
        points = centre + (depth[..., None] * self._rays()) @ turn.T
        if self.settings.moving is not None:
            carried = self._boxes[-1].velocity * (second - first)
            points = points + self.frame(first).moving[0, :, :, None] * carried
        turn, centre = self._camera(second)
        seen = (points - centre) @ turn @ self._camera_matrix().T
        target = seen[..., :2] / seen[..., 2:].clamp_min(NEAREST)
        height, width = depth.shape
        x, y = target.round().long().unbind(2)
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (seen[..., 2] > NEAREST)
        there = self._drawn(second)[1][y.clamp(0, height - 1), x.clamp(0, width - 1)]
        visible = inside & ((there - seen[..., 2]).abs() < 0.05 * seen[..., 2] + 0.02)
        flow = target - self._pixels()
        return flow.permute(2, 0, 1).float(), visible[None]

    def _pixels(self) -> Tensor:
        rows, columns = torch.arange(self.settings.height), torch.arange(self.settings.width)
        y, x = torch.meshgrid(rows.double(), columns.double(), indexing="ij")
        return torch.stack([x, y], 2)

    def _rays(self) -> Tensor:
        """Directions ``(H, W, 3)`` in the camera's axes whose third coordinate is 1, so that a ray's length is its depth."""
        matrix = self._camera_matrix()
        xy = (self._pixels() - matrix[:2, 2]) / matrix[[0, 1], [0, 1]]
        return torch.cat([xy, torch.ones_like(xy[..., :1])], 2)

    def _drawn(self, time: int) -> tuple[Frame, Tensor]:
        if time not in self._frames:
            self._frames[time] = self._draw(time)
        return self._frames[time]

    def _draw(self, time: int) -> tuple[Frame, Tensor]:
        height, width = self.settings.height, self.settings.width
        turn, centre = self._camera(time)
        rays = (self._rays() @ turn.T).view(-1, 3)
        hits = self._plane_hits(centre, rays)
        for number, box in enumerate(self._boxes):
            hits += _box_hits(box, time, centre, rays, first=5 + 3 * number)
        depth, nearest = torch.stack([hit.depth for hit in hits]).min(0)
        focal, length = self.settings.focal * width, rays.norm(dim=1)
        colours = torch.empty_like(rays)
        for number, hit in enumerate(hits):
            here = nearest == number
            cosine = (hit.facing[here].abs() / length[here]).clamp_min(0.05)
            footprint = depth[here] / (focal * cosine)
            colours[here] = self._textures[hit.texture](hit.u[here], hit.v[here], footprint)
        driving = nearest >= len(hits) - 3 if self.settings.moving is not None else torch.zeros_like(nearest, dtype=torch.bool)
        depth = depth.view(height, width)
        image = colours.T.reshape(3, height, width).float()
        return Frame(image, depth[None].float(), driving.view(1, height, width)), depth

    def _plane_hits(self, centre: Tensor, rays: Tensor) -> list[_Hit]:
        side = self._half_width
        planes = ((1, GROUND, (0, 2)), (1, CEILING, (0, 2)), (0, -side, (2, 1)), (0, side, (2, 1)), (2, END, (0, 1)))
        hits = []
        for number, (axis, place, (u, v)) in enumerate(planes):
            depth = (place - centre[axis]) / rays[:, axis]
            points = centre + depth[:, None] * rays
            depth = torch.where(depth > NEAREST, depth, math.inf)
            hits.append(_Hit(depth, number, points[:, u], points[:, v], rays[:, axis]))
        return hits


def _box_hits(box: _Box, time: int, centre: Tensor, rays: Tensor, first: int) -> list[_Hit]:
    """A hit for each pair of opposite faces, whose textures are ``first`` and the two after it."""
    origin = (centre - box.centre - box.velocity * time) @ box.turn
    directions = rays @ box.turn
    directions = torch.where(directions.abs() < 1e-9, 1e-9, directions)
    ways = torch.stack([(-box.half - origin) / directions, (box.half - origin) / directions])
    near, face = ways.amin(0).max(1)
    hit = (near < ways.amax(0).amin(1)) & (near > NEAREST)
    places = origin + near[:, None] * directions
    hits = []
    for axis, (u, v) in enumerate(((2, 1), (0, 2), (0, 1))):
        depth = torch.where(hit & (face == axis), near, math.inf)
        hits.append(_Hit(depth, first + axis, places[:, u], places[:, v], directions[:, axis]))
    return hits


def _driving_box(speed: float) -> _Box:
    half, centre, velocity = torch.tensor([[0.8, 0.7, 1.6], [-0.8, GROUND - 0.7, 9], [0, 0, speed]], dtype=torch.float64)
    return _Box(half, centre, torch.eye(3, dtype=torch.float64), velocity)


def _texture(generator: torch.Generator, photographs: Sequence[Tensor], detail: float) -> Texture:
    if not photographs:
        return Waves(generator, detail)
    chosen = int(torch.randint(len(photographs), (), generator=generator))
    return Poster(photographs[chosen], generator)


def _about_y(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)


def _about_x(angle: float) -> Tensor:
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)


def triplets(videos: Sequence[CorridorVideo], times: Sequence[int]) -> Batch:
    """Frames between their neighbours, one of each video at its time, as ``dcpi-depth`` is taught by them.

    Input and target are the frames. The extras have ``previous`` and ``next``, ``intrinsics`` and, for what needs the truth,
    ``depth``, ``moving``, and for either neighbour ``pose_next``, ``flow_next``, ``flow_next_back`` and ``visible_next``.
    """
    pairs = list(zip(videos, times, strict=True))
    frames = [video.frame(time) for video, time in pairs]
    image = torch.stack([frame.image for frame in frames])
    extras = {
        "intrinsics": torch.stack([video.intrinsics for video in videos]),
        "depth": torch.stack([frame.depth for frame in frames]),
        "moving": torch.stack([frame.moving for frame in frames]),
    }
    for name, step in (("previous", -1), ("next", 1)):
        there = [video.flow(time, time + step) for video, time in pairs]
        extras |= {
            name: torch.stack([video.frame(time + step).image for video, time in pairs]),
            f"pose_{name}": torch.stack([video.pose(time, time + step) for video, time in pairs]),
            f"flow_{name}": torch.stack([flow for flow, _ in there]),
            f"visible_{name}": torch.stack([visible for _, visible in there]),
            f"flow_{name}_back": torch.stack([video.flow(time + step, time)[0] for video, time in pairs]),
        }
    return Batch(image, image, extras)


def as_clip(video: CorridorVideo, frames: int, gap: int = 1, *, with_flow: bool = False) -> Clip:
    """The first frames of a video as those of a file are, rounded to 8 bits, to train on.

    Args:
        video: what to draw.
        frames: how many.
        gap: how far neighbours in a triplet lie apart.
        with_flow: with the true flow between those.
    """
    images = torch.stack([video.frame(time).image for time in range(frames)])
    flow = None
    if with_flow and gap < frames:
        pairs = [(time, time + gap) for time in range(frames - gap)]
        flow = torch.stack([packed(torch.stack([video.flow(a, b)[0], video.flow(b, a)[0]])) for a, b in pairs])
    return Clip(f"corridor {video.seed}", images.mul(255).round().to(torch.uint8), video.intrinsics, flow, gap)
