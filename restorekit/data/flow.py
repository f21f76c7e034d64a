"""Optical flow between the frames of a video, by dense inverse search: a method without weights.

Source: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse Search" (ECCV 2016), with variational refinement,
as OpenCV has it.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.data.clips import Clip

FARTHEST = 1e4
"""The longest component of a flow that is kept, in pixels: what passes beside the camera may go anywhere, and float16 ends."""


def dense_inverse_search(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The flow ``(H, W, 2)``, x before y, in pixels, from one grey frame ``(H, W)`` to another.

    OpenCV's medium preset stops at half size; at full size the flow of small frames is twice as exact.
    """
    import cv2

    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    return np.asarray(search.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def with_flow(clip: Clip, gap: int) -> Clip:
    """The clip with the flow between frames that lie ``gap`` apart, found by :func:`dense_inverse_search` on all cores."""
    grey = [_grey(frame) for frame in clip.frames]
    pairs = list(zip(grey, grey[gap:], strict=False))

    def both_ways(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> Tensor:
        first, second = pair
        there, back = dense_inverse_search(first, second), dense_inverse_search(second, first)
        return packed(torch.from_numpy(np.stack([there, back])).permute(0, 3, 1, 2))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        flows = list(pool.map(both_ways, pairs))
    return replace(clip, gap=gap, flow=torch.stack(flows) if flows else None)


def packed(flow: Tensor) -> Tensor:
    """A flow in float16, as clips keep it: exact to 1/64 pixel up to 32 pixels."""
    return flow.clamp(-FARTHEST, FARTHEST).half()


def _grey(frame: Tensor) -> NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY), np.uint8)
