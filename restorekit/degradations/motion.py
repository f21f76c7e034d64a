"""Motion blur as hand-held photographs have it: the camera moves, turns and nears; things in front of it move on their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, uniform
from restorekit.degradations.sensor import SILENT, SensorSettings, raise_highlights, take_picture
from restorekit.degradations.trajectory import hand_held, rasterise, resample
from restorekit.layers import convolve_circular


@dataclass(frozen=True)
class MotionBlurSettings:
    """How often and how much. The four shares are relative weights.

    Attributes:
        sharp: share of photographs left sharp, so that a network learns to leave them alone.
        shake: share with one kernel everywhere (the camera tilts and shifts).
        turn: share with a blur that varies over the frame (the camera also rolls and nears).
        object: share with a moving thing in front of a background that is still or less blurred.
        length: shortest and longest trajectory, in pixels from end to end.
        length_power: lengths are drawn as ``low + (high - low) * u ** power``; above 1 short ones are more frequent.
        margin: surroundings in pixels, at least half the longest trajectory.
        sensor: what the camera does after the lens.
    """

    sharp: float = 0.1
    shake: float = 0.45
    turn: float = 0.25
    object: float = 0.2
    length: tuple[float, float] = (2.0, 30.0)
    length_power: float = 1.5
    margin: int = 24
    sensor: SensorSettings = field(default_factory=SensorSettings)

    def __post_init__(self) -> None:
        if not 0 < self.length[0] <= self.length[1]:
            raise ValueError("length must be two positive numbers, the smaller first")
        if min(self.sharp, self.shake, self.turn, self.object) < 0 or self.sharp + self.shake + self.turn + self.object == 0:
            raise ValueError("the shares sharp, shake, turn and object must not be negative, nor all zero")
        if self.margin < max(1, self.length[1] / 2):
            raise ValueError(f"margin must be at least {max(1, math.ceil(self.length[1] / 2))}, half the longest trajectory")


class MotionBlur:
    """Random motion blur in linear light, then noise, clipping and file rounding; see :class:`MotionBlurSettings`.

    Each blur is centred on the middle of its light, so that a network has no shift to guess.
    """

    settings_type = MotionBlurSettings
    whole: ClassVar[Mapping[str, Any]] = {"sharp": 0.0, "object": 0.0}  # always blurred, and nothing put in front
    part: ClassVar[Mapping[str, Any]] = {"object": 0.0, "sensor": SILENT}

    def __init__(self, settings: MotionBlurSettings | None = None) -> None:
        self.settings = settings or MotionBlurSettings()
        self.margin = self.settings.margin

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Blur ``(B, 3, H + 2 margin, W + 2 margin)`` to pairs of ``(B, 3, H, W)``; each photograph draws its own kind of
        blur.
        """
        settings, count = self.settings, clean.shape[0]
        shares = torch.tensor([settings.sharp, settings.shake, settings.turn, settings.object], dtype=torch.float32)
        kinds = torch.multinomial(shares, count, replacement=True, generator=generator)
        length = uniform(generator, (count, 1, 1)) ** settings.length_power
        length = settings.length[0] + (settings.length[1] - settings.length[0]) * length
        linear = raise_highlights(rgb_to_linear_rgb(clean), settings.sensor, generator)
        blurred, target = linear.clone(), clean
        shake, turn, thing = (torch.nonzero(kinds == k).flatten() for k in (1, 2, 3))
        if len(shake):
            blurred[shake] = self._shake(linear[shake], length[shake], generator)
        if len(turn):
            blurred[turn] = self._turn(linear[turn], length[turn], generator)
        if len(thing):
            front = linear.roll(1, 0)[thing] if count > 1 else linear.flip(3)
            blurred[thing], composed = self._object(linear[thing], front, length[thing], generator)
            target = target.clone()
            target[thing] = linear_rgb_to_rgb(composed.clamp(0, 1))
        m = self.margin
        image = take_picture(blurred[..., m:-m, m:-m], settings.sensor, generator)
        return Pair(image, target[..., m:-m, m:-m].contiguous())

    def _kernels(self, length: Tensor, generator: Generator) -> Tensor:
        path = hand_held(length.shape[0], 2, generator) * length
        return rasterise(path, self.margin).unsqueeze(1)

    def _shake(self, linear: Tensor, length: Tensor, generator: Generator) -> Tensor:
        return convolve_circular(linear, self._kernels(length, generator).to(linear.device))

    def _turn(self, linear: Tensor, length: Tensor, generator: Generator) -> Tensor:
        """Shift, roll and zoom along one trajectory, about a random centre; displacements reach about ``length`` at the
        frame's edge.
        """
        count, _, height, width = linear.shape
        frame = max(height, width) - 2 * self.margin
        path = hand_held(count, 4, generator)
        emphasis = uniform(generator, (count, 1, 4), 0.15, 1)
        path = path * emphasis / emphasis.amax(2, keepdim=True) * length
        path[..., 2:] *= 2 / frame  # displacement at the edge, half a frame from the middle, becomes an angle or a relative size
        centre = uniform(generator, (count, 1, 2), -0.5, 0.5) * torch.tensor([width, height])
        steps = int(length.amax().clamp(8, 32))
        return average_of_warps(linear, resample(path, steps).to(linear.device), centre.to(linear.device))

    def _object(self, behind: Tensor, front: Tensor, length: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """A blurred patch of ``front`` moving over ``behind``, and the two composed at the middle of the movement, both
        linear light.
        """
        count, _, height, width = behind.shape
        mask = _blobs(count, height, width, generator).to(behind.device)
        kernels = self._kernels(length, generator).to(behind.device)
        background_moves = uniform(generator, (count, 1, 1)) < 0.5
        shorter = (length * uniform(generator, (count, 1, 1), 0, 0.6) * background_moves).clamp_min(1e-3)
        moved = convolve_circular(torch.cat([front * mask, mask], 1), kernels)
        background = convolve_circular(behind, self._kernels(shorter, generator).to(behind.device))
        return moved[:, :3] + (1 - moved[:, 3:]) * background, front * mask + (1 - mask) * behind


def average_of_warps(image: Tensor, path: Tensor, centre: Tensor) -> Tensor:
    """The mean of ``(B, 3, H, W)`` seen from the moments of a trajectory.

    Args:
        image: linear light.
        path: ``(B, N, 4)``: shift x and y in pixels, roll in radians, and relative size less one.
        centre: ``(B, 1, 2)``: centre of roll and zoom, in pixels (x, y) from the middle of the frame.
    """
    height, width = image.shape[-2:]
    half = image.new_tensor([width, height]) / 2
    cos, sin = (1 + path[..., 3]) * torch.cos(path[..., 2]), (1 + path[..., 3]) * torch.sin(path[..., 2])
    turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (B, N, 2, 2)
    shift = path[..., :2] + centre - (turn @ centre.unsqueeze(-1)).squeeze(-1)
    theta = torch.cat([turn * half / half[:, None], (shift / half).unsqueeze(-1)], -1)
    total = torch.zeros_like(image)
    for moment in range(path.shape[1]):
        grid = F.affine_grid(theta[:, moment], list(image.shape), align_corners=False)
        total += F.grid_sample(image, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return total / path.shape[1]


def _blobs(count: int, height: int, width: int, generator: Generator) -> Tensor:
    """Random smooth shapes ``(count, 1, height, width)`` in [0, 1] with edges about two pixels wide."""
    coarse = torch.randn((count, 1, 6, 6), generator=generator)
    field = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    slope = math.hypot(*(6 / size for size in (height, width)))  # typical change of the field from pixel to pixel
    return torch.sigmoid(field / slope * 2)
