"""How a camera moved between two frames, from the optical flow between them: the epipolar geometry that most pixels agree on.

Source: the essential matrix of five points (Nister, "An efficient solution to the five-point relative pose problem", PAMI 2004),
chosen by MAGSAC++ (Barath et al., CVPR 2020), as OpenCV has both.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from restorekit.data.clips import Clip
from restorekit.layers.geometry import depth_of_flow, lands_inside, pixel_grid, returns

STRIDE = 3
"""Every third pixel of every third row is asked for the motion."""

TOLERANCE = 0.35
"""How far, in pixels, a flow may end from its epipolar line and still count for a motion."""

FEWEST = 100
"""Pixels that a motion is found from."""

AGREED = 0.7
"""The share of the pixels with a flow to believe that must fit a motion, for it to be believed itself."""

SHORTEST = 1.0
"""The median length in pixels, at least, of the flow that the camera's way causes: turning alone tells nothing of depth."""


def unknown_motion() -> Tensor:
    """``(4, 4)``: no turn and no way, which no depth follows from."""
    return torch.eye(4)


def find_motion(flow: Tensor, back: Tensor, intrinsics: Tensor) -> Tensor:
    """The pose ``[R | t]``, ``(4, 4)``, from a frame to another, with ``|t| = 1``: flow does not tell how far the camera went.

    :func:`unknown_motion`, with ``t = 0``, where no motion explains the flow, or where the camera only turned.

    Args:
        flow: from the frame to the other, ``(2, H, W)``, x before y, in pixels.
        back: from there to the frame.
        intrinsics: ``(3, 3)``, in pixels.
    """
    import cv2

    there, camera = flow[None].float(), intrinsics[None].float()
    believed = lands_inside(there) & returns(there, back[None].float())
    few = believed[0, 0, ::STRIDE, ::STRIDE]
    grid = pixel_grid(there)
    first, second = (x[0, :, ::STRIDE, ::STRIDE][:, few].T.double().numpy() for x in (grid, grid + there))
    if len(first) < FEWEST:
        return unknown_motion()
    matrix = intrinsics.double().numpy()
    essential, _ = cv2.findEssentialMat(first, second, matrix, cv2.USAC_MAGSAC, 0.999, TOLERANCE)
    if essential is None or np.shape(essential) != (3, 3):
        return unknown_motion()
    _, rotation, translation, _ = cv2.recoverPose(essential, first, second, matrix)
    motion = torch.eye(4)
    motion[:3, :3], motion[:3, 3] = torch.from_numpy(rotation), torch.from_numpy(translation[:, 0])
    _, parallax, agreed = depth_of_flow(there, back[None].float(), camera, motion[None])
    known = agreed.sum() >= AGREED * believed.sum() and parallax[believed].median() >= SHORTEST
    return motion if known else unknown_motion()


def with_motion(clip: Clip) -> Clip:
    """The clip with the motions between the frames its flow lies between, found by :func:`find_motion` on all cores.

    Raises:
        ValueError: for a clip without flow.
    """
    if clip.flow is None:
        raise ValueError(f"{clip.name} has no optical flow to find motions from")

    def find(pair: Tensor) -> Tensor:
        return find_motion(pair[0], pair[1], clip.intrinsics)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        motions = list(pool.map(find, clip.flow))
    return replace(clip, motion=torch.stack(motions)) if motions else clip
