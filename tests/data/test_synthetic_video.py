"""The synthetic corridor: its depth, poses and flow agree with each other and with its pictures."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, as_clip, triplets
from restorekit.data.textures import Waves
from restorekit.data.videos import VideoTriplets
from restorekit.degradations.base import seeded_generator
from restorekit.errors import SettingError

SMALL = CorridorSettings(width=96, height=64)


@cache
def video(seed: int = 3, settings: CorridorSettings = SMALL) -> CorridorVideo:
    return CorridorVideo(seed, settings)


def reprojected(video: CorridorVideo, first: int, second: int) -> Tensor:
    """The flow by back-projection, pose and projection, point by point."""
    depth, intrinsics, pose = video.frame(first).depth[0], video.intrinsics, video.pose(first, second)
    height, width = depth.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], 2).float()
    points = depth[..., None] * (pixels @ torch.linalg.inv(intrinsics).T)
    seen = (points @ pose[:3, :3].T + pose[:3, 3]) @ intrinsics.T
    return (seen[..., :2] / seen[..., 2:] - pixels[..., :2]).permute(2, 0, 1)


def looked_up(image: Tensor, flow: Tensor) -> Tensor:
    """What is seen of ``(3, H, W)`` where the flow leads."""
    height, width = image.shape[1:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    steps = torch.tensor([width - 1, height - 1])
    grid = 2 * (torch.stack([x, y], 2) + flow.permute(1, 2, 0)) / steps - 1
    return F.grid_sample(image[None], grid[None], align_corners=True)[0]


class TestTruth:
    def test_depth_is_that_of_the_corridor(self) -> None:
        corridor = CorridorVideo(0, CorridorSettings(sway=0, boxes=0))
        depth = corridor.frame(8).depth[0]  # 2 m ahead: 38 m to the end wall, the camera 1.5 m above the ground
        assert depth[47, 80] == pytest.approx(38, rel=1e-6)
        assert depth[95, 80] == pytest.approx(1.5 * 128 / (95 - 47.5), rel=1e-6)
        assert depth[0, 80] == pytest.approx(4 * 128 / 47.5, rel=1e-6)
        assert float(depth[47, 0]) == pytest.approx(float(depth[47, 159]), rel=1e-6)

    @pytest.mark.parametrize("steps", [-1, 1, 4])
    def test_flow_is_what_depth_and_pose_make(self, steps: int) -> None:
        flow, _ = video().flow(5, 5 + steps)
        assert (flow - reprojected(video(), 5, 5 + steps)).abs().max() < 2e-4

    def test_flow_leads_to_the_same_colours(self) -> None:
        flow, visible = video().flow(3, 4)
        here, there = video().frame(3).image, video().frame(4).image
        error = (looked_up(there, flow) - here).abs().mean(0)
        assert 0.85 < visible.float().mean() < 0.99
        assert error[visible[0]].mean() < 0.2 * (there - here).abs().mean(0)[visible[0]].mean()
        assert error[visible[0]].mean() < 0.3 * error[~visible[0]].mean()

    def test_poses_are_rigid_and_follow_each_other(self) -> None:
        once, twice, back = video().pose(2, 3), video().pose(2, 7), video().pose(7, 2)
        assert torch.allclose(twice[:3, :3] @ twice[:3, :3].T, torch.eye(3), atol=1e-6)
        assert torch.allclose(back @ twice, torch.eye(4), atol=1e-6)
        assert torch.allclose(video().pose(3, 7) @ once, twice, atol=1e-6)
        assert once[2, 3] == pytest.approx(-0.25, abs=0.02)

    def test_straight_ahead(self) -> None:
        pose = CorridorVideo(1, CorridorSettings(sway=0)).pose(0, 1)
        expected = torch.eye(4)
        expected[2, 3] = -0.25
        assert pose.equal(expected)

    def test_moving_box(self) -> None:
        driven = video(2, CorridorSettings(96, 64, sway=0, moving=0.35, boxes=0))
        moving = driven.frame(2).moving[0]
        assert 0.01 < moving.float().mean() < 0.2
        flow, visible = driven.flow(2, 3)
        apart = (flow - reprojected(driven, 2, 3)).norm(dim=0)
        assert apart[~moving].max() < 2e-4
        assert apart[moving].min() > 0.05
        error = (looked_up(driven.frame(3).image, flow) - driven.frame(2).image).abs().mean(0)
        assert error[moving & visible[0]].mean() < 0.03
        depths = [driven.frame(time).depth[0][driven.frame(time).moving[0]].min() for time in (2, 6)]
        assert depths[1] - depths[0] == pytest.approx(4 * 0.1, abs=1e-5)

    def test_same_speed_stands_still_in_the_picture(self) -> None:
        driven = video(2, CorridorSettings(96, 64, moving=0.25, sway=0, boxes=0))
        flow, _ = driven.flow(2, 3)
        assert flow[:, driven.frame(2).moving[0]].abs().max() < 1e-5


class TestPictures:
    def test_range_and_contrast(self) -> None:
        image = video().frame(0).image
        assert image.shape == (3, 64, 96)
        assert image.dtype == torch.float32
        assert 0 <= image.min() < 0.1
        assert 0.9 < image.max() <= 1
        assert 0.12 < image.std() < 0.3

    def test_seed_decides_everything(self) -> None:
        again = CorridorVideo(3, SMALL)
        assert again.frame(4).image.equal(video().frame(4).image)
        assert not CorridorVideo(4, SMALL).frame(4).image.equal(video().frame(4).image)

    def test_footprints_are_averages(self) -> None:
        """A texture under a footprint is the mean of what points within it show, so far surfaces do not flicker."""
        waves = Waves(seeded_generator(7))
        around = 0.2 * torch.randn(20_000, 2, generator=seeded_generator(8), dtype=torch.float64)
        points = waves(1.3 + around[:, 0], -0.4 + around[:, 1], torch.zeros(20_000, dtype=torch.float64))
        place = torch.tensor([1.3, -0.4, 0.4], dtype=torch.float64)[:, None]
        assert (points.mean(0) - waves(*place)[0]).abs().max() < 0.01
        assert points.std(0).min() > 0.05

    def test_photographs_on_the_walls(self) -> None:
        photograph = torch.zeros(3, 60, 80)
        photograph[0], photograph[1, 20:40] = 0.8, 0.5
        papered = CorridorVideo(3, SMALL, [photograph])
        image = papered.frame(0).image
        assert image[0].sub(0.8).abs().max() < 1e-5
        assert image[2].abs().max() < 1e-5
        assert image[1].std() > 0.1
        assert papered.frame(0).depth.equal(video().frame(0).depth)


class TestBatches:
    def test_triplet(self) -> None:
        batch = triplets([video(), video(5)], [2, 7])
        assert batch.input.shape == (2, 3, 64, 96)
        assert batch.extras["previous"][1].equal(video(5).frame(6).image)
        assert batch.extras["next"][0].equal(video().frame(3).image)
        assert batch.extras["pose_previous"][0].equal(video().pose(2, 1))
        assert batch.extras["flow_next_back"][0].equal(video().flow(3, 2)[0])
        assert batch.extras["intrinsics"][0].tolist() == [
            [pytest.approx(76.8), 0, 47.5],
            [0, pytest.approx(76.8), 31.5],
            [0, 0, 1],
        ]

    def test_clip(self) -> None:
        clip = as_clip(video(), 3)
        assert clip.frames.shape == (3, 3, 64, 96)
        assert (clip.frames[2] / 255 - video().frame(2).image).abs().max() <= 0.5 / 255 + 1e-6
        batch = VideoTriplets([clip], seed=0, jitter=False).batch(0, 1, 0)
        true = triplets([video()], [1])
        mirrored = bool((batch.target - true.target).abs().max() > 0.1)
        expected = true.extras["next"].flip(3) if mirrored else true.extras["next"]
        assert (batch.extras["next"] - expected).abs().max() < 0.01
        assert torch.allclose(batch.extras["intrinsics"], true.extras["intrinsics"])

    def test_what_cannot_be(self) -> None:
        with pytest.raises(SettingError, match="beyond the corridor"):
            video().frame(100)
        with pytest.raises(SettingError, match="boxes must be 0 or more"):
            CorridorSettings(boxes=-1)
