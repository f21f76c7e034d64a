"""The losses of ``dcpi-depth``, their gradients, and the metrics of depth; the adaptor of the model hands them on to this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.geometry import (
    divergence,
    gradient,
    pose_matrix,
    project,
    to_unit_range,
    without_translation,
)
from restorekit.methods.dcpi_depth import correspondence as dense
from restorekit.methods.dcpi_depth.fitting import depth_of
from restorekit.methods.dcpi_depth.normals import cosine_error, edge_responses, edge_strength, surface_normals
from restorekit.methods.dcpi_depth.objective import DcpiObjective, Views, warped_sources
from restorekit.methods.dcpi_depth.photometric import (
    auto_masked,
    least_error,
    photometric_error,
    smoothness,
    structural_distance,
)
from restorekit.methods.dcpi_depth.settings import DcpiObjectiveSettings
from restorekit.metrics import DepthScores, depth_at, depth_scores
from tests.goldens.adaptor import Case, Value
from tests.goldens.golden import Golden

MODELS = ()
PARTS = ("losses", "loss gradients", "evaluation metrics")

SETTINGS = DcpiObjectiveSettings(dense_after=1, divergence_after=21, parity=True)
"""With an epoch of one step, of thirty."""

GRADIENT_SCALES = {"disp": 100, "axisangle": 10, "translation": 10, "flow": 1e5}


def adapt(golden: Golden) -> Case:
    part, config = golden.config["part"], golden.config
    if part == "losses":
        return Case("losses", lambda inputs: _losses(inputs, config), optional=frozenset({"normal_ranking_seed1234"}))
    if part == "loss gradients":
        return Case("gradients of the losses", lambda inputs: _gradients(inputs, config))
    return Case("metrics", _metrics, optional=frozenset({"post_processed_disp"}))  # ours takes the plain mean of mirror images


def _views(inputs: Mapping[str, Tensor], config: Mapping[str, Any]) -> Views:
    frame = inputs["color_0"]
    height, width = frame.shape[-2:]
    intrinsics = frame.new_tensor(
        [[config["fx_normalised"] * width, 0, 0.5 * width], [0, config["fy_normalised"] * height, 0.5 * height], [0, 0, 1]]
    ).repeat(len(frame), 1, 1)
    disparities = tuple(inputs[f"disp{scale}"] for scale in range(3))
    depths = tuple(
        depth_of(F.interpolate(x, (height, width), mode="bilinear", align_corners=False), 0.1, 80.0) for x in disparities
    )
    poses = [pose_matrix(inputs[f"axisangle_{f}"][:, 0, 0], inputs[f"translation_{f}"][:, 0, 0], f == "m1") for f in ("m1", "p1")]
    frames = (frame, inputs["color_0_s1"], inputs["color_0_s2"])
    return Views(frames, (inputs["color_m1"], inputs["color_p1"]), disparities, depths, (poses[0], poses[1]), intrinsics)


def _losses(inputs: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Value]:
    views, flow, pseudo_depth = _views(inputs, config), inputs["flow"], inputs["pseudo_depth"]
    objective = DcpiObjective(SETTINGS)
    depth, coarse, intrinsics, (before, after) = views.depths[0], views.depths[2], views.intrinsics, views.poses
    frame, following = views.frames[0], views.sources[1]
    warped = warped_sources(views, depth)
    _, wins = auto_masked(least_error(warped, frame), least_error(views.sources, frame))
    scales = [photometric + smooth for photometric, smooth in objective.scale_terms(views)]
    totals = {epoch: _total(objective, views, flow, epoch) for epoch in (0, 1, 29)}
    dense_terms = {step: objective.dense_terms(views, {"next": flow}, step) for step in (0, 1, 29)}
    late = {name: term / SETTINGS.dense for name, term in dense_terms[29].items()}
    normals, pseudo = surface_normals(depth, intrinsics), surface_normals(pseudo_depth, intrinsics)
    places = torch.arange(depth[0].numel() - 7)
    pairs = [cosine_error(ours, theirs, places, places + 7) for ours, theirs in zip(normals, pseudo, strict=True)]
    return {
        "T_m1": before,
        "T_p1": after,
        "R_p1": without_translation(after),
        "depth0": depth,
        "depth2": coarse,
        "sample_p1_s0": to_unit_range(project(depth, intrinsics, after)),
        "warped_m1_s0": warped[0],
        "warped_p1_s0": warped[1],
        "rot_flow": dense.flow_parity(coarse, intrinsics, without_translation(after)),
        "rig_flow": dense.flow_parity(coarse, intrinsics, after),
        "ssim_map": structural_distance(following, frame),
        "photometric_map": photometric_error(following, frame),
        "identity_selection_s0": wins.squeeze(1).float(),
        "smooth_of_raw_disp0": _raw_smoothness(inputs["disp0"], frame),
        **{f"loss_scale{scale}": loss for scale, loss in enumerate(scales)},
        "photometric_smooth_total": torch.stack(scales).mean(),
        "div_of_flow": divergence(flow),
        "grad_of_depth0": gradient(depth),
        "dcpi_term1_depth_consistency": late["consistency"],
        "dcpi_term2_divergence": late["divergence"] / SETTINGS.divergence,
        "dcpi_term3_flow_adjustment": late["adjustment"] / SETTINGS.adjustment,
        "dcpi_early": sum(dense_terms[1].values()) / SETTINGS.dense,
        "dcpi_late": sum(late.values()),
        "dcpi_in_full_run_late": sum(late.values()),
        **{f"total_epoch{epoch}": total for epoch, total in totals.items()},
        "total_epoch29_with_normal": totals[29] + objective.normal_terms(views, pseudo_depth, 29)["normals"],
        "normals_of_depth0": normals,
        "normal_l1": F.l1_loss(normals, pseudo),
        "edge_of_depth0": edge_strength(edge_responses(depth)),
        "edge_of_pseudo_normals": edge_strength(edge_responses(pseudo)),
        "ranking_pairs_i_iplus7": torch.cat(pairs).mean(),
    }


def _raw_smoothness(disparity: Tensor, image: Tensor) -> Tensor:
    """Without the division by the mean of each disparity, which ours always does."""
    pairs = zip(disparity[:, None], image[:, None], strict=True)
    return torch.stack([smoothness(one, shown) * (one.mean() + 1e-7) for one, shown in pairs]).mean()


def _total(objective: DcpiObjective, views: Views, flow: Tensor, epoch: int) -> Tensor:
    terms = objective.photometric_terms(views) | objective.dense_terms(views, {"next": flow}, epoch)
    return torch.stack(list(terms.values())).sum()


def _gradients(inputs: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Value]:
    objective = DcpiObjective(SETTINGS)
    with torch.enable_grad():
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items() if _scale(name)}
        views = _views({**inputs, **leaves}, config)
        normal = objective.normal_terms(views, inputs["pseudo_depth"], 29)["normals"]
        total = _total(objective, views, leaves["flow"], 29) + normal
        gradients = torch.autograd.grad(total, list(leaves.values()))
    return {f"grad_total_{name}": _scale(name) * grad for name, grad in zip(leaves, gradients, strict=True)}


def _scale(name: str) -> float:
    return next((scale for start, scale in GRADIENT_SCALES.items() if name.startswith(start)), 0.0)


def _metrics(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
    truth = inputs["gt"][None, None]
    prediction = depth_at(inputs["pred_disp"][None, None], *truth.shape[-2:])
    cropped = depth_scores(prediction, truth, garg=True, clamp=False)
    close = depth_scores(3 * truth * inputs["ratio_noise"], truth, clamp=False)
    return {
        "errors_garg_crop": _errors(cropped),
        "ratio_garg_crop": cropped.ratio,
        "count_garg_crop": cropped.count,
        "errors_garg_crop_clamped": _errors(depth_scores(prediction, truth, garg=True)),
        "errors_no_crop": _errors(depth_scores(prediction, truth, clamp=False)),
        "errors_close": _errors(close),
        "ratio_close": close.ratio,
    }


def _errors(scores: DepthScores) -> Tensor:
    return torch.tensor(list(scores.mean().values()))
