"""The camera's motion from optical flow, against that of drawn videos."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from restorekit.data.clips import Clip
from restorekit.data.egomotion import find_motion, unknown_motion, with_motion
from restorekit.data.flow import with_flow
from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, as_clip
from restorekit.data.videos import FLOWS, MOTIONS, VideoTriplets
from restorekit.layers.geometry import depth_of_flow, pixel_grid, pose_matrix, rigid_flow, warp
from restorekit.training import load_recipe
from restorekit.training.sources import training_source

VIDEO = CorridorVideo(3, CorridorSettings(width=128, height=80, speed=0.6))


@cache
def clip() -> Clip:
    return as_clip(VIDEO, 5, with_flow=True)


def motions(clip: Clip) -> Tensor:
    assert clip.motion is not None
    return clip.motion


def errors(found: Tensor, gap: int = 1) -> tuple[float, float]:
    """The largest turn in radians and the largest angle between ways, in radians, that ``found`` (N, 4, 4) are wrong by."""
    true = torch.stack([VIDEO.pose(time, time + gap) for time in range(len(found))])
    turn = (found[:, :3, :3].mT @ true[:, :3, :3]).diagonal(dim1=1, dim2=2).sum(1)
    way = torch.nn.functional.cosine_similarity(found[:, :3, 3], true[:, :3, 3])
    return float(((turn - 1) / 2).clamp(-1, 1).acos().max()), float(way.clamp(-1, 1).acos().max())


def test_true_flow_tells_the_motion_but_for_the_length_of_the_way() -> None:
    found = motions(with_motion(clip()))
    turn, way = errors(found)
    assert found.shape == (4, 4, 4) and turn < 1e-3 and way < 5e-3
    assert torch.allclose(found[:, :3, 3].norm(dim=1), torch.ones(4), atol=1e-5)


def test_found_flow_tells_it_too() -> None:
    turn, way = errors(motions(with_motion(with_flow(replace(clip(), flow=None), 1))))
    assert turn < 3e-3 and way < 0.05


def test_frames_farther_apart() -> None:
    turn, way = errors(motions(with_motion(as_clip(VIDEO, 5, 2, with_flow=True))), gap=2)
    assert turn < 1e-3 and way < 5e-3


def test_turning_alone_or_standing_still_tells_no_way() -> None:
    depth, camera = VIDEO.frame(0).depth[None], clip().intrinsics[None]
    turned = pose_matrix(torch.tensor([[0.0, 0.02, 0.0]]), torch.zeros(1, 3))
    for pose in (turned, torch.eye(4)[None]):
        there, back = rigid_flow(depth, camera, pose)[0], rigid_flow(depth, camera, pose.inverse())[0]
        assert torch.equal(find_motion(there, back, camera[0]), unknown_motion())


def test_what_no_motion_explains_or_nothing_shows_is_unknown() -> None:
    camera = clip().intrinsics
    waves = 6 * torch.sin(torch.arange(128) / 5).expand(80, 128)
    swirl = torch.stack([waves, 6 * torch.cos(torch.arange(80) / 4)[:, None].expand(80, 128)])
    back = -swirl[None]
    for _ in range(20):  # the way back from where each pixel has gone, by iteration
        back = -warp(swirl[None], pixel_grid(swirl[None]) + back)
    assert torch.equal(find_motion(swirl, back[0], camera), unknown_motion())
    gone = torch.full((2, 80, 128), 500.0)
    assert torch.equal(find_motion(gone, -gone, camera), unknown_motion())


def test_motion_needs_flow() -> None:
    with pytest.raises(ValueError, match="no optical flow"):
        with_motion(replace(clip(), flow=None))


def test_triplets_have_the_motion_to_both_neighbours_and_mirrors_keep_it_true() -> None:
    """Flow and motion of each triplet, mirrored or not, agree: nearly all that is seen again can be triangulated."""
    batch = VideoTriplets([with_motion(clip())], seed=0).batch(0, 8, 0)
    assert 0 < (batch.extras["motion_next"][:, 0, 3] > 0).sum() < 8  # to either side, as some are mirrored
    flows = dict(zip(FLOWS[::2], FLOWS[1::2], strict=True))
    for (there, back), name in zip(flows.items(), MOTIONS, strict=True):
        _, _, usable = depth_of_flow(
            batch.extras[there], batch.extras[back], batch.extras["intrinsics"], batch.extras[name], least_parallax=0.1
        )
        assert usable.float().mean((1, 2, 3)).min() > 0.75
    mixed = VideoTriplets([with_motion(clip()), clip()], seed=0).batch(0, 2, 0)
    assert not set(MOTIONS) & mixed.extras.keys()


def test_shots_too_short_for_a_gap_are_passed_over() -> None:
    """A corridor of 16 frames has no frames 16 apart, and is none too short for its neighbours."""
    changes = ["data.videos=[]", "data.validation_depth=[]", "corridors=1", "config.height=64", "config.width=96"]
    source = training_source(load_recipe("dcpi-depth-compact", [*changes, "data.gaps=[1, 16]"]), torch.device("cpu"))
    assert isinstance(source, VideoTriplets) and source.has_motion and len(source) == 14
