"""How ``dcpi-depth`` is taught: the true geometry of a video is what its losses are smallest for.

The authors' numbers and gradients are in its goldens.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, triplets
from restorekit.degradations.base import seeded_generator
from restorekit.errors import DataError, SettingError, UnknownNameError
from restorekit.layers.geometry import (
    pixel_grid,
    pose_matrix,
    rigid_flow,
    without_translation,
)
from restorekit.methods import Batch
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig
from restorekit.methods.dcpi_depth import correspondence as dense
from restorekit.methods.dcpi_depth.normals import ranking_loss, surface_normals
from restorekit.methods.dcpi_depth.objective import DcpiObjective, found_depth, geometric_term, weighted_median
from restorekit.methods.dcpi_depth.photometric import auto_masked, photometric_error, smoothness, structural_distance
from restorekit.methods.dcpi_depth.settings import DcpiObjectiveSettings

NEAR, FAR = 0.5, 60.0
BEGUN = DcpiObjectiveSettings(dense=1, divergence=1, adjustment=1, dense_after=0, divergence_after=0)
TINY = DcpiDepthConfig((8, 16, 24), ((1,), (1,), (1, 2)), (4, 4, 4), pose="light", min_depth=NEAR, max_depth=FAR)


@cache
def scene(**options: Any) -> Batch:
    """The triplet of a corridor, with its truth."""
    return triplets([CorridorVideo(3, CorridorSettings(**{"width": 128, "height": 80, **options}))], [4])


class Told(nn.Module):
    """A network that is told what to answer: the truth, unless told otherwise; it remembers what it was called with."""

    def __init__(self, batch: Batch, depth_factor: float = 1.0, turn: float = 0.0, flow: Tensor | None = None) -> None:
        super().__init__()
        inverse = 1 / (depth_factor * batch.extras["depth"])
        self.disparity = nn.Parameter((inverse - 1 / FAR) / (1 / NEAR - 1 / FAR))
        wrong = pose_matrix(torch.tensor([[0, turn, 0]]), torch.zeros(1, 3))
        self.poses = [nn.Parameter(wrong @ batch.extras[f"pose_{name}"]) for name in ("previous", "next")]
        self.flow = flow
        self.calls: list[dict[str, Any]] = []

    def forward(self, image: Tensor, **options: Any) -> SimpleNamespace:
        self.calls.append({"image": image, **options})
        previous, following = self.poses
        return SimpleNamespace(
            disparities=(self.disparity,), previous=previous, following=following, flow=self.flow, flow_back=None
        )


def losses(network: nn.Module, batch: Batch, chosen: DcpiObjectiveSettings = BEGUN) -> dict[str, float]:
    return {name: loss.item() for name, loss in DcpiObjective(chosen, NEAR, FAR)(network, batch).items()}


def without(batch: Batch, *names: str, **others: Tensor) -> Batch:
    kept = {name: value for name, value in batch.extras.items() if not (names and name.startswith(names))}
    return Batch(batch.input, batch.target, {**kept, **others})


class TestPhotometric:
    def test_distance(self) -> None:
        a, b = scene().input, scene().extras["next"]
        assert structural_distance(a, a).max() < 1e-5
        assert torch.allclose(structural_distance(a, b), structural_distance(b, a), atol=1e-5)
        assert photometric_error(a, b, ssim=0).allclose((a - b).abs().mean(1, keepdim=True))

    def test_a_tie_teaches_nothing(self) -> None:
        error, wins = auto_masked(torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 2, 2]))
        assert error.tolist() == [1, 2, 2]
        assert wins.tolist() == [True, False, False]

    def test_smoothness_knows_no_scale_and_spares_edges(self) -> None:
        disparity, image = torch.rand(1, 1, 8, 8), torch.zeros(1, 3, 8, 8)
        assert smoothness(disparity, image).item() == pytest.approx(smoothness(5 * disparity, image).item(), rel=1e-5)
        step = torch.zeros(1, 1, 8, 8)
        step[..., 4:] = 1
        assert smoothness(step, step.expand(-1, 3, -1, -1)).item() == pytest.approx(math.exp(-1) * smoothness(step, image).item())

    @pytest.mark.parametrize("wrong", [{"depth_factor": 1.3}, {"depth_factor": 0.75}, {"turn": 0.02}, {"turn": -0.02}])
    def test_truth_is_best(self, wrong: dict[str, float]) -> None:
        true, off = (losses(Told(scene(), **options), scene())["photometric"] for options in ({}, wrong))
        assert true < 0.8 * off

    def test_auto_mask_leaves_out_what_moves_with_the_camera(self) -> None:
        batch = scene(moving=0.25, sway=0.0, boxes=0)
        network = Told(batch)
        DcpiObjective(BEGUN, NEAR, FAR)(network, without(batch, "flow"))["photometric"].backward()
        moving = batch.extras["moving"]
        grown = nn.functional.max_pool2d(moving.float(), 5, 1, 2) > 0
        inner = ~(nn.functional.max_pool2d((~moving).float(), 5, 1, 2) > 0)
        assert network.disparity.grad is not None
        assert inner.sum() > 50
        assert network.disparity.grad[inner].abs().max() == 0
        assert (network.disparity.grad[~grown] != 0).float().mean() > 0.4


class TestDense:
    @pytest.mark.parametrize("sway", [0.0, 1.0])
    def test_truth_has_no_error(self, sway: float) -> None:
        true, off = (losses(Told(scene(sway=sway), factor), scene(sway=sway)) for factor in (1.0, 1.3))
        assert true["consistency"] < 1e-4
        assert off["consistency"] == pytest.approx(0.3 / 1.3, rel=0.1)
        assert true["divergence"] < 0.005
        assert off["divergence"] > 5 * true["divergence"]
        assert true["adjustment"] < 1e-3
        assert off["adjustment"] > 0.1

    def test_nearly_every_smooth_pixel_has_the_property(self) -> None:
        extras = scene().extras
        depth, flow, intrinsics, pose = (extras[name] for name in ("depth", "flow_next", "intrinsics", "pose_next"))
        left, right = dense.differential_terms(depth, flow, intrinsics, pose)
        usable = dense.without_border(dense.usable_pixels(depth, flow, intrinsics, pose, 0.3, extras["flow_next_back"]))
        error = ((left - right) / right).abs()[usable]
        assert usable.float().mean() > 0.6
        assert error.median() < 0.003
        assert (error < 0.2).float().mean() > 0.95

    def test_sideways_motion_too(self) -> None:
        """Where the authors divide by a forward motion that is not there."""
        intrinsics, x = scene().extras["intrinsics"], pixel_grid(torch.zeros(80, 128))[:, :1]
        depth, pose = 5 + 0.01 * x, pose_matrix(torch.zeros(1, 3), torch.tensor([[0.2, 0, 0]]))
        left, right = dense.differential_terms(depth, rigid_flow(depth, intrinsics, pose), intrinsics, pose)
        assert left[..., 1:-1, 1:-1].abs().min() > 1e-3
        assert torch.allclose(left[..., 1:-1, 1:-1], right[..., 1:-1, 1:-1], rtol=0.02)

    def test_authors_forms_err_on_true_geometry(self) -> None:
        """Their flow is a pixel too long, and their divergence has the wrong sign: what the corrected forms are for."""
        extras = scene(sway=0.0).extras
        depth, flow, intrinsics, pose = (extras[name] for name in ("depth", "flow_next", "intrinsics", "pose_next"))
        usable = dense.usable_pixels(depth, flow, intrinsics, pose)
        geometric = dense.forward_depth(dense.translational_parity(depth, flow, intrinsics, pose), pose)
        assert ((geometric - depth) / depth).abs()[usable].median() > 0.2
        exact = flow - rigid_flow(depth, intrinsics, without_translation(pose))
        assert ((dense.forward_depth(exact, pose) - depth) / depth).abs()[usable].median() < 1e-4
        left, right = dense.differential_terms_parity(depth, exact, pose)
        error = ((left - right) / right).abs()[dense.without_border(usable)]
        assert error.median() == pytest.approx(2, abs=0.4)
        assert (error < 0.2).float().mean() < 0.02

    def test_moving_things_and_what_is_hidden_are_left_out(self) -> None:
        batch = scene(moving=1.0, boxes=2)
        names = ("depth", "flow_next", "intrinsics", "pose_next", "moving", "flow_next_back")
        depth, flow, intrinsics, pose, moving, back = (batch.extras[name] for name in names)
        rigid = rigid_flow(depth, intrinsics, pose)
        fast = flow + 4 * moving  # as if it drove across the picture
        assert dense.usable_pixels(depth, fast, intrinsics, pose)[moving].float().mean() < 0.1
        assert dense.usable_pixels(depth, rigid, intrinsics, pose)[~moving].float().mean() > 0.5
        hidden = dense.usable_pixels(depth, flow, intrinsics, pose) & ~dense.usable_pixels(
            depth, flow, intrinsics, pose, 0.3, back
        )
        assert not batch.extras["visible_next"][hidden].float().mean() > 0.5

    def test_gradients_reach_depth_and_pose_but_the_rigid_flow_teaches_only_the_flow(self) -> None:
        flow = scene().extras["flow_next"].clone().requires_grad_()
        network = Told(scene(), 1.2, flow=flow)
        found = DcpiObjective(BEGUN, NEAR, FAR)(network, without(scene(), "flow"))
        leaves = [network.disparity, network.poses[1], flow]
        reached = {
            name: [grad is not None for grad in torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)]
            for name, loss in found.items()
        }
        assert reached["consistency"] == reached["divergence"] == [True, True, True]
        assert reached["adjustment"] == [False, False, True]
        assert reached["photometric"] == [True, True, False]

    def test_standing_camera(self) -> None:
        batch = scene(speed=0.0, sway=0.0)
        assert all(map(math.isfinite, losses(Told(batch), batch, replace(BEGUN, parity=True)).values()))
        network = Told(batch)
        found = DcpiObjective(BEGUN, NEAR, FAR)(network, batch)
        assert found["consistency"] == found["divergence"] == 0
        torch.stack(list(found.values())).sum().backward()
        assert network.disparity.grad is not None
        assert network.disparity.grad.isfinite().all()
        assert all(pose.grad is not None and pose.grad.isfinite().all() for pose in network.poses)

    def test_nothing_kept_is_no_loss(self) -> None:
        values = torch.tensor([1.0, math.inf], requires_grad=True)
        mean = dense.masked_mean(values, torch.tensor([False, False]))
        mean.backward()
        assert mean == 0
        assert values.grad is not None
        assert values.grad.tolist() == [0, 0]


class TestNormals:
    def test_a_wall_has_one_normal_at_any_scale(self) -> None:
        intrinsics = scene().extras["intrinsics"]
        rays = (pixel_grid(torch.zeros(80, 128)) - intrinsics[:, :2, 2, None, None]) / intrinsics[:, 0, 0]
        wall = 8 / (1 + 0.3 * rays[:, :1] + 0.2 * rays[:, 1:])
        normals = surface_normals(wall, intrinsics)[..., 2:-2, 2:-2]
        expected = nn.functional.normalize(torch.tensor([0.3, 0.2, 1]), dim=0)
        assert (normals - expected.view(1, 3, 1, 1)).abs().max() < 5e-3
        assert torch.allclose(surface_normals(9 * wall, intrinsics)[..., 2:-2, 2:-2], normals, atol=1e-4)

    def test_true_pseudo_depth(self) -> None:
        told = without(scene(), "flow", pseudo_depth=7 * scene().extras["depth"])
        chosen = replace(BEGUN, normals=1, ranking=1)
        true, off = (losses(Told(scene(), factor), told, chosen) for factor in (1.0, 1.3))
        assert true["normals"] < 1e-3
        assert off["normals"] < 1e-3  # nothing but shape counts
        assert true["ranking"] < 1e-3
        flat = without(told, pseudo_depth=torch.ones_like(scene().extras["depth"]))
        assert losses(Told(scene()), flat, chosen)["normals"] > 0.3

    def test_pairs_follow_from_the_generator(self) -> None:
        depth, intrinsics = scene().extras["depth"], scene().extras["intrinsics"]
        pseudo_depth = depth.flip(-1)
        normals, pseudo = surface_normals(depth, intrinsics), surface_normals(pseudo_depth, intrinsics)
        found = [ranking_loss(depth, normals, pseudo_depth, pseudo, seeded_generator(seed)).item() for seed in (0, 0, 1)]
        assert found[0] == found[1] != found[2]
        assert found[0] == pytest.approx(found[2], rel=0.1)
        assert found[0] > 0.02


class TestObjective:
    def test_terms_begin_when_they_should(self) -> None:
        chosen = replace(BEGUN, dense_after=2, divergence_after=3)
        objective, network = DcpiObjective(chosen, NEAR, FAR), Told(scene(), 1.2)
        found = [objective(network, scene()) for _ in range(4)]
        assert [bool(terms["consistency"] > 0) for terms in found] == [False, False, True, True]
        assert [bool(terms["divergence"] > 0) for terms in found] == [False, False, False, True]
        assert [call["flow_images"] is None for call in network.calls] == [True, True, False, False]
        told = without(scene(), step=torch.tensor(3))
        assert DcpiObjective(chosen, NEAR, FAR)(network, told).keys() == found[3].keys()
        assert losses(network, told, chosen) == {name: loss.item() for name, loss in found[3].items()}

    def test_weights(self) -> None:
        plain = losses(Told(scene(), 1.2), scene())
        weighted = losses(Told(scene(), 1.2), scene(), replace(BEGUN, dense=0.1, divergence=0.2, adjustment=0.3, smoothness=2e-3))
        expected = {"photometric": 1, "smoothness": 2, "consistency": 0.1, "divergence": 0.02, "adjustment": 0.03}
        assert {name: weighted[name] / plain[name] for name in plain} == pytest.approx(expected, rel=1e-4)

    def test_both_neighbours_count_unless_the_authors_forms_are_wanted(self) -> None:
        network = Told(scene(), 1.2)
        kept = (("nothing",), ("flow_previous",), ("flow_next",))
        both, next_only, previous_only = (losses(network, without(scene(), *names))["consistency"] for names in kept)
        assert both == pytest.approx((next_only + previous_only) / 2, rel=1e-5)
        assert next_only != previous_only
        parity = replace(BEGUN, parity=True)
        assert losses(network, scene(), parity) == losses(network, without(scene(), "flow_previous"), parity)
        assert network.calls[-1]["backward_flow"] is False

    def test_video_without_flow_teaches_by_its_pictures(self) -> None:
        found = losses(Told(scene(), 1.2), without(scene(), "flow"))
        assert found["photometric"] > 0
        assert found["consistency"] == found["divergence"] == found["adjustment"] == 0

    def test_rigid_flow_draws_depth_and_pose_from_far_off(self) -> None:
        chosen = replace(BEGUN, dense_after=100, rigid=1.0)
        assert "rigid" not in losses(Told(scene()), scene())
        assert losses(Told(scene()), scene(), chosen)["rigid"] < 1e-3
        turned = [losses(Told(scene(), turn=turn), scene(), chosen)["rigid"] for turn in (0.02, 0.1, 0.4)]
        assert turned == sorted(turned)
        network = Told(scene(), 1.5, turn=0.4)
        loss = DcpiObjective(chosen, NEAR, FAR)(network, scene())["rigid"]
        slopes = torch.autograd.grad(loss, [network.disparity, *network.poses])
        assert all(slope.abs().max() > 0 for slope in slopes)
        assert losses(network, without(scene(), "flow"), chosen)["rigid"] == 0
        assert losses(network, scene(), replace(chosen, rigid=0.5))["rigid"] == pytest.approx(loss.item() / 2, rel=1e-5)

    def test_jitter_is_for_the_network_only(self) -> None:
        network, dark = Told(scene()), 0.5 * scene().input
        jittered = Batch(dark, scene().target, {**scene().extras, "next_input": dark, "previous_input": dark})
        assert losses(network, jittered) == losses(network, scene())
        seen = network.calls[0]
        assert seen["image"] is dark
        assert seen["neighbours"] == (dark, dark)
        assert seen["flow_images"][0] is scene().target

    def test_a_step_along_the_gradient_helps(self) -> None:
        torch.manual_seed(0)
        network, objective = METHOD.build(TINY).eval(), DcpiObjective(replace(BEGUN, dense=0.1), NEAR, FAR)

        def total() -> Tensor:
            return torch.stack(list(objective(network, scene()).values())).sum()

        before = total()
        before.backward()
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        assert len(gradients) > 0.8 * len(list(network.parameters()))
        length = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
        assert length.isfinite()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter -= 1e-3 / length * parameter.grad
        assert 0.2e-3 < (before - total()).item() < 2e-3

    def test_photographs_are_no_video(self) -> None:
        image = torch.rand(1, 3, 32, 32)
        with pytest.raises(DataError, match="lack previous, next, intrinsics"):
            DcpiObjective(BEGUN)(Told(scene()), Batch(image, image, {}))

    def test_wrong_settings(self) -> None:
        with pytest.raises(SettingError, match="ssim must be from 0 to 1"):
            METHOD.objective(TINY, {"ssim": 1.5})
        with pytest.raises(UnknownNameError, match="smoothness"):
            METHOD.objective(TINY, {"smoothnes": 1.0})
        with pytest.raises(SettingError, match="divergence_limit must be positive"):
            METHOD.objective(TINY, {"divergence_limit": 0.0})


class TestKnownMotion:
    """Where the motion of the camera is known, but not how far it went."""

    def batch(self, **others: Tensor) -> Batch:
        told = {}
        for name in ("next", "previous"):
            motion = scene().extras[f"pose_{name}"].clone()
            motion[:, :3, 3] /= motion[:, :3, 3].norm()
            told[f"motion_{name}"] = motion
        return without(scene(), **{**told, **others})

    def test_truth_is_right_in_any_unit_whatever_the_pose_network_says(self) -> None:
        chosen = replace(BEGUN, dense_after=100)
        for factor in (0.7, 1.0, 1.5):
            found = losses(Told(self.batch(), factor, turn=0.3), self.batch(), chosen)
            plain = losses(Told(scene()), scene(), chosen)
            assert found["geometric"] < 2e-3
            assert found["photometric"] == pytest.approx(plain["photometric"], rel=0.02)
            assert found["motion"] > 0.02

    def test_flat_depth_is_wrong_and_gradients_leave_the_unit_alone(self) -> None:
        network = Told(self.batch())
        network.disparity.data.fill_(0.1)
        views = DcpiObjective(BEGUN, NEAR, FAR).views(self.batch(), network(self.batch().input))
        depth = views.depths[0].detach().requires_grad_()
        seen = replace(views, depths=(depth,))
        flow, back, motion = (self.batch().extras[name] for name in ("flow_next", "flow_next_back", "motion_next"))
        found = found_depth(seen, flow, back, motion, 0.3)
        loss = geometric_term(depth, [found])
        (slope,) = torch.autograd.grad(loss, depth)
        relative = slope * depth.detach()  # by the logarithm of depth
        assert loss > 0.2
        assert abs(relative.sum()) < 1e-3 * relative.abs().sum()
        assert 0 < found.trust.max() < 1 and (found.trust == 0).any()

    def test_pose_network_learns_the_motion_with_the_way_of_its_depth(self) -> None:
        true = losses(Told(self.batch()), self.batch())
        assert true["motion"] < 1e-3
        turned = [losses(Told(self.batch(), turn=turn), self.batch())["motion"] for turn in (0.01, 0.1)]
        assert 5 * true["motion"] < turned[0] < turned[1]
        assert losses(Told(self.batch(), 1.5), self.batch())["motion"] == pytest.approx(0.1 / 3, rel=0.05)
        terms = DcpiObjective(BEGUN, NEAR, FAR)(network := Told(self.batch(), turn=0.1), self.batch())
        slopes = torch.autograd.grad(terms["motion"], [network.disparity, *network.poses], allow_unused=True)
        assert slopes[0] is None and all(slope is not None and slope.abs().max() > 0 for slope in slopes[1:])

    def test_an_unknown_motion_is_the_pose_networks_affair(self) -> None:
        unknown = torch.eye(4)[None]
        batch = self.batch(motion_next=unknown, motion_previous=unknown)
        found, plain = (losses(Told(batch, turn=0.02), which, BEGUN) for which in (batch, scene()))
        assert found.pop("geometric") == found.pop("motion") == 0
        assert found == plain

    def test_each_neighbour_for_itself(self) -> None:
        batch = self.batch(motion_next=torch.eye(4)[None])
        found = losses(Told(batch), batch)
        assert found["geometric"] < 2e-3 and found["photometric"] == pytest.approx(
            losses(Told(scene()), scene())["photometric"], rel=0.02
        )

    def test_weighted_median(self) -> None:
        values, weights = torch.tensor([3.0, 1, 2, 9]).view(1, 1, 2, 2), torch.tensor([1.0, 1, 1, 0]).view(1, 1, 2, 2)
        assert weighted_median(values, weights).item() == 2
        assert weighted_median(values, torch.tensor([5.0, 1, 1, 2]).view(1, 1, 2, 2)).item() == 3
        assert weighted_median(values, torch.zeros(1, 1, 2, 2)).isfinite().all()


def test_depth_in_its_own_unit_gains_nothing_by_being_smaller() -> None:
    """Whatever the factor, the same losses; without, a factor is an error, as pose and depth share a unit."""
    batch = scene()
    same, other = (
        [losses(Told(batch, factor), batch, replace(BEGUN, own_unit=own)) for factor in (1.0, 1.4)] for own in (True, False)
    )
    assert same[0]["photometric"] == pytest.approx(same[1]["photometric"], rel=1e-4)
    assert other[1]["photometric"] > 1.05 * other[0]["photometric"]
    network = Told(batch, 1.4)
    depths = DcpiObjective(replace(BEGUN, own_unit=True), NEAR, FAR).views(batch, network(batch.input)).depths
    assert (1 / depths[0]).mean().item() == pytest.approx(1, rel=1e-5)
