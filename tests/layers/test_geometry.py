"""Where pixels go when the camera moves, and what flow says about depth under a known motion."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.layers.geometry import (
    derotated_flow,
    divergence,
    gradient,
    invert_pose,
    pixel_grid,
    pose_matrix,
    project,
    rigid_flow,
    triangulate,
    warp,
)
from restorekit.methods.dcpi_depth.fitting import depth_of
from tests.methods.test_dcpi_depth_objective import scene

small = st.floats(-0.2, 0.2)


class TestGeometry:
    def test_a_quarter_turn(self) -> None:
        turn = pose_matrix(torch.tensor([[0, 0, math.pi / 2]]), torch.tensor([[1.0, 2, 3]]))
        assert torch.allclose(turn[0] @ torch.tensor([1.0, 0, 0, 1]), torch.tensor([1.0, 3, 3, 1]), atol=1e-6)

    @given(st.tuples(small, small, small), st.tuples(small, small, small))
    @settings(max_examples=20)
    def test_rotations_are_rodrigues_and_inverses_undo(self, axis_angle: Any, translation: Any) -> None:
        r, t = (torch.tensor([values], dtype=torch.float64) for values in (axis_angle, translation))
        pose = pose_matrix(r, t)
        angle = r.norm()
        cross = torch.linalg.cross(r.expand(3, 3), torch.eye(3, dtype=torch.float64), dim=1).T
        rodrigues = torch.eye(3, dtype=torch.float64) + torch.sinc(angle / math.pi) * cross
        rodrigues += 0.5 * torch.sinc(angle / 2 / math.pi) ** 2 * cross @ cross
        assert torch.allclose(pose[0, :3, :3], rodrigues, atol=1e-12)
        assert torch.allclose(pose @ pose_matrix(r, t, invert=True), torch.eye(4, dtype=torch.float64), atol=1e-12)
        assert torch.allclose(invert_pose(pose), pose_matrix(r, t, invert=True), atol=1e-12)

    def test_no_rotation_has_a_gradient(self) -> None:
        r = torch.zeros(1, 3, requires_grad=True)
        pose_matrix(r, torch.zeros(1, 3))[0, 2, 1].backward()
        assert r.grad is not None
        assert r.grad.tolist() == [[1, 0, 0]]

    def test_projection_is_that_of_kornia(self) -> None:
        from kornia.geometry.depth import warp_frame_depth

        batch = scene()
        depth, intrinsics, pose = (batch.extras[name] for name in ("depth", "intrinsics", "pose_next"))
        image, points = batch.extras["next"], project(depth, intrinsics, pose)
        inside = ((points > 0) & (points < torch.tensor([127, 79]).view(1, 2, 1, 1))).all(1, keepdim=True)
        expected = warp_frame_depth(image, depth, pose, intrinsics)
        assert ((warp(image, points) - expected).abs() * inside).max() < 1e-4

    @given(st.tuples(small, small, small), st.tuples(small, small, small))
    @settings(max_examples=20)
    def test_any_motion_can_be_derotated_and_triangulated(self, axis_angle: Any, translation: Any) -> None:
        depth, intrinsics = scene().extras["depth"].double(), scene().extras["intrinsics"].double()
        r, t = (torch.tensor([values], dtype=torch.float64) for values in (axis_angle, translation))
        pose = pose_matrix(r, t)
        flow = rigid_flow(depth, intrinsics, pose)
        moved = pose_matrix(torch.zeros_like(r), (pose[:, :3, :3].mT @ t.unsqueeze(2)).squeeze(2))
        assert torch.allclose(derotated_flow(flow, intrinsics, pose), rigid_flow(depth, intrinsics, moved), atol=1e-6)
        found, parallax = triangulate(flow, intrinsics, pose)
        error = ((found - depth) / depth).abs()[parallax > 0.01]
        assert not len(error) or error.max() < 1e-3

    def test_points_behind_the_camera_stay_finite(self) -> None:
        batch = scene()
        pose = torch.eye(4)[None].clone()
        pose[0, 2, 3] = -50.0
        depth = batch.extras["depth"].clone().requires_grad_()
        warp(batch.input, project(depth, batch.extras["intrinsics"], pose)).sum().backward()
        assert depth.grad is not None
        assert depth.grad.isfinite().all()

    def test_differences_are_not_halved(self) -> None:
        x, y = pixel_grid(torch.zeros(5, 7)).chunk(2, 1)
        assert divergence(torch.cat([3 * x, 2 * y], 1))[..., 1:-1, 1:-1].unique().tolist() == [10]
        assert gradient(3 * x - y)[0, :, 1:-1, 1:-1].flatten(1).unique(dim=1).tolist() == [[6], [-2]]
        assert gradient(torch.ones(1, 1, 3, 3))[0, 0].tolist() == [[1, 0, -1]] * 3

    def test_disparity_spans_the_depths(self) -> None:
        assert depth_of(torch.tensor([0, 0.5, 1]), 0.1, 80).tolist() == pytest.approx([80, 1 / 5.00625, 0.1])
