"""How depth is taught by video alone: neighbouring frames, warped by depth and pose, must look like the frame between them.

Source: "DCPI-Depth: Explicitly Infusing Dense Correspondence Prior to Unsupervised Monocular Depth Estimation" (IEEE TIP 2025).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.degradations.base import seeded_generator
from restorekit.errors import DataError
from restorekit.layers.geometry import depth_of_flow, project, rigid_flow, triangulate, warp
from restorekit.methods.base import Batch, Objective
from restorekit.methods.dcpi_depth import correspondence as dense
from restorekit.methods.dcpi_depth.fitting import depth_of
from restorekit.methods.dcpi_depth.normals import ranking_loss, surface_normals
from restorekit.methods.dcpi_depth.photometric import auto_masked, least_error, smoothness
from restorekit.methods.dcpi_depth.settings import DcpiObjectiveSettings

NEIGHBOURS = ("previous", "next")


class Answer(Protocol):
    """What the network gives for a frame between its neighbours; see :mod:`restorekit.methods.dcpi_depth.network`.

    Attributes:
        disparities: ``(B, 1, H, W)``, ``(B, 1, H/2, W/2)``..., in [0, 1], finest first.
        previous: the pose that takes points of the frame to the previous one's, ``(B, 4, 4)``.
        following: the same for the next frame.
        flow: the flow to the next frame, ``(B, 2, H, W)``; None from a network without flow.
        flow_back: the flow from there, or None.
    """

    @property
    def disparities(self) -> Sequence[Tensor]: ...
    @property
    def previous(self) -> Tensor: ...
    @property
    def following(self) -> Tensor: ...
    @property
    def flow(self) -> Tensor | None: ...
    @property
    def flow_back(self) -> Tensor | None: ...


@dataclass(frozen=True)
class Views:
    """A frame and its neighbours as the losses see them, with what is estimated of them; all in float32.

    Attributes:
        frames: ``(B, 3, H, W)``, RGB in [0, 1], without any jitter of colours, and the same at the size of each disparity.
        sources: the neighbours ``(B, 3, H, W)``, previous and next.
        disparities: ``(B, 1, H, W)``, ``(B, 1, H/2, W/2)``..., finest first.
        depths: of those, after enlarging each disparity to full size: ``(B, 1, H, W)`` each.
        poses: from the frame to each source, ``(B, 4, 4)``.
        intrinsics: ``(B, 3, 3)``, in pixels of full size.
    """

    frames: tuple[Tensor, ...]
    sources: tuple[Tensor, Tensor]
    disparities: tuple[Tensor, ...]
    depths: tuple[Tensor, ...]
    poses: tuple[Tensor, Tensor]
    intrinsics: Tensor

    def moved(self, found: Mapping[str, FoundDepth]) -> Views:
        """The same with the known motions for the pose network's."""
        previous, following = (
            torch.where(found[name].known[:, 0], found[name].pose, pose) if name in found else pose
            for name, pose in zip(NEIGHBOURS, self.poses, strict=True)
        )
        return replace(self, poses=(previous, following))


@dataclass(frozen=True)
class FoundDepth:
    """What flow and the camera's motion to a neighbour say of a frame; no gradients.

    Attributes:
        depth: ``(B, 1, H, W)``, in the unit of the network's depth.
        trust: ``(B, 1, H, W)`` in [0, 1): 0 where there is no depth, near 1 where the camera's way causes a long flow.
        pose: ``(B, 4, 4)``, the motion with a way in that unit.
        known: ``(B, 1, 1, 1)`` of bool, whether it is known.
    """

    depth: Tensor
    trust: Tensor
    pose: Tensor
    known: Tensor


class DcpiObjective(Objective):
    """The objective of ``dcpi-depth``: ``L_ps + w (L_1 + 0.2 L_2 + 0.2 L_3) + w_n L_n``, term by term, and
    ``w_r L_r + w_g L_g + w_m L_m`` of ours.

    A batch's ``input`` is the frame as the network sees it, ``target`` the same without colour jitter. Its extras:

    * ``previous``, ``next``: the neighbouring frames ``(B, 3, H, W)``, clean; ``previous_input`` and ``next_input`` what the
      network sees of them, where that differs;
    * ``intrinsics``: ``(B, 3, 3)``, in pixels;
    * ``flow_next``, ``flow_previous``, optional: optical flow from the frame to its neighbours, ``(B, 2, H, W)`` in pixels; with
      ``flow_next_back`` and ``flow_previous_back`` the way back. The network's own flow to the next frame, if it has one,
      comes before the batch's. Without any flow the photometric part teaches alone;
    * ``motion_next``, ``motion_previous``, optional, with flows: the camera's motion to the neighbours, ``(B, 4, 4)``, right but
      for the length of its way; no way at all where it is not known. All terms but L_r then see these motions, with ways as long
      as depth and flow say, and the pose network learns them (L_m);
    * ``pseudo_depth``, optional: ``(B, 1, H, W)``, of any positive scale;
    * ``step``, optional: the number of the step, which the beginnings of terms depend on; else calls are counted;
    * ``draw``, optional: what the pairs of the ranking loss are drawn by; else the step.

    Args:
        settings: weights, limits, beginnings.
        min_depth, max_depth: depths of the disparities 1 and 0, of the network's configuration.
    """

    def __init__(self, settings: DcpiObjectiveSettings, min_depth: float = 0.1, max_depth: float = 80.0) -> None:
        self.settings = settings
        self.min_depth = min_depth
        self.max_depth = max_depth
        self._calls = 0

    def appraise(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """The fields of :class:`~restorekit.methods.dcpi_depth.diagnosis.Diagnosis` of a batch of triplets."""
        from restorekit.methods.dcpi_depth.diagnosis import diagnose

        return diagnose(self, network, batch)._asdict()

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms. Those that have not begun, or that there is no flow for, are 0.

        Raises:
            DataError: if the batch is no triplet with intrinsics.
        """
        extras, settings = batch.extras, self.settings
        missing = [name for name in (*NEIGHBOURS, "intrinsics") if name not in extras]
        if missing:
            raise DataError(f"dcpi-depth learns from video, and batches lack {', '.join(missing)}", "Choose a data set of videos")
        step = int(extras.get("step", self._calls))
        self._calls = step + 1
        begun = settings.dense > 0 and step >= settings.dense_after
        answer: Answer = network(
            batch.input,
            neighbours=tuple(extras.get(f"{name}_input", extras[name]) for name in NEIGHBOURS),
            flow_images=(batch.target, extras["next"]) if begun else None,
            backward_flow=begun and not settings.parity,
        )
        views = self.views(batch, answer)
        motions = {name: extras[f"motion_{name}"].float() for name in NEIGHBOURS if f"motion_{name}" in extras}
        flows = _flows(extras, answer) if begun or settings.rigid or motions else {}
        found = self.found_depths(views, flows, motions)
        seen = views.moved(found)
        losses = self.photometric_terms(seen)
        losses |= self.dense_terms(seen, flows, step)
        if settings.rigid:
            losses["rigid"] = settings.rigid * self.rigid_term(views, flows)
        if found:
            losses["geometric"] = settings.geometric * geometric_term(views.depths[0], found.values())
            losses["motion"] = settings.motion * motion_term(views.poses, found)
        if "pseudo_depth" in extras:
            losses |= self.normal_terms(views, extras["pseudo_depth"], int(extras.get("draw", step)))
        return losses

    def views(self, batch: Batch, answer: Answer) -> Views:
        """A batch and the network's answer, with depths at full size."""
        frame, disparities = batch.target, tuple(disparity.float() for disparity in answer.disparities)
        full = (F.interpolate(x, frame.shape[-2:], mode="bilinear", align_corners=False) for x in disparities)
        depths = tuple(depth_of(disparity, self.min_depth, self.max_depth) for disparity in full)
        if self.settings.own_unit:
            unit = (1 / depths[0]).mean((1, 2, 3), keepdim=True)
            depths = tuple(depth * unit for depth in depths)
        return Views(
            tuple(reduced(frame, disparity) for disparity in disparities),
            (batch.extras["previous"], batch.extras["next"]),
            disparities,
            depths,
            (answer.previous.float(), answer.following.float()),
            batch.extras["intrinsics"].float(),
        )

    def photometric_terms(self, views: Views) -> dict[str, Tensor]:
        """L_ps: photometric error, by auto-mask and minimum, and weighted smoothness, each the mean over scales."""
        photometric, smooth = zip(*self.scale_terms(views), strict=True)
        return {"photometric": torch.stack(photometric).mean(), "smoothness": torch.stack(smooth).mean()}

    def scale_terms(self, views: Views) -> list[tuple[Tensor, Tensor]]:
        """Photometric error and weighted smoothness at each scale, finest first."""
        settings, frame = self.settings, views.frames[0]
        identity = least_error(views.sources, frame, settings.ssim)
        terms = []
        for scale, depth in enumerate(views.depths):
            error, _ = auto_masked(least_error(warped_sources(views, depth), frame, settings.ssim), identity)
            smooth = smoothness(views.disparities[scale], views.frames[scale])
            terms.append((error.mean(), settings.smoothness / 2**scale * smooth))
        return terms

    def dense_terms(self, views: Views, flows: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """L_1, L_2 and L_3, weighted, each the mean over the neighbours there is a flow to (the next alone with ``parity``).

        ``flows`` may have ``next`` and ``previous``, and ``next_back`` and ``previous_back``. A term that has not begun is 0.
        """
        settings, zero = self.settings, views.depths[0].new_zeros(())
        begun, late = step >= settings.dense_after, step >= settings.divergence_after
        weights = {
            "consistency": settings.dense * begun,
            "divergence": settings.dense * settings.divergence * (begun and late),
            "adjustment": settings.dense * settings.adjustment * begun,
        }
        names = [name for name in (NEIGHBOURS[1:] if settings.parity else NEIGHBOURS) if name in flows and begun]
        losses = dict.fromkeys(weights, zero)
        for name in names:
            pose = views.poses[NEIGHBOURS.index(name)]
            if settings.parity:
                terms = self._terms_parity(views, flows[name], pose)
            else:
                terms = self._terms(views, flows[name], pose, flows.get(f"{name}_back"))
            for (key, weight), term in zip(weights.items(), terms, strict=True):
                losses[key] = losses[key] + weight / len(names) * term
        return losses

    def _terms(self, views: Views, flow: Tensor, pose: Tensor, back: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        settings, depth, intrinsics = self.settings, views.depths[0], views.intrinsics
        usable = dense.usable_pixels(depth, flow, intrinsics, pose, settings.parallax, back)
        geometric, _ = triangulate(flow, intrinsics, pose)
        sides = dense.differential_terms(depth, flow, intrinsics, pose)
        return (
            dense.consistency(depth, geometric, usable, settings.consistency_limit),
            dense.correlation(*sides, dense.without_border(usable), settings.divergence_limit),
            dense.adjustment(flow, rigid_flow(depth, intrinsics, pose), settings.adjustment_limit),
        )

    def _terms_parity(self, views: Views, flow: Tensor, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        settings, depth, coarse, intrinsics = self.settings, views.depths[0], views.depths[-1], views.intrinsics
        translational = dense.translational_parity(coarse, flow, intrinsics, pose)
        everywhere = torch.ones_like(depth, dtype=torch.bool)
        sides = dense.differential_terms_parity(depth, translational, pose)
        return (
            dense.consistency(depth, dense.forward_depth(translational, pose), everywhere, settings.consistency_limit),
            dense.correlation(*sides, everywhere, settings.divergence_limit),
            dense.adjustment(flow, dense.flow_parity(coarse, intrinsics, pose), settings.adjustment_limit),
        )

    def found_depths(self, views: Views, flows: Mapping[str, Tensor], motions: Mapping[str, Tensor]) -> dict[str, FoundDepth]:
        """What flow and motion to each neighbour, where both are given, say of depth, in the unit of the network's."""
        limit = self.settings.parallax
        return {
            name: found_depth(views, flows[name].detach(), flows.get(f"{name}_back"), motions[name], limit)
            for name in NEIGHBOURS
            if name in flows and name in motions
        }

    def rigid_term(self, views: Views, flows: Mapping[str, Tensor]) -> Tensor:
        """:func:`~restorekit.methods.dcpi_depth.correspondence.rigid_error`, the mean over the neighbours there is a flow to."""
        pairs = [(name, pose) for name, pose in zip(NEIGHBOURS, views.poses, strict=True) if name in flows]
        errors = [
            dense.rigid_error(
                flows[name].detach(), rigid_flow(views.depths[0], views.intrinsics, pose), flows.get(f"{name}_back")
            )
            for name, pose in pairs
        ]
        return torch.stack(errors).mean() if errors else views.depths[0].new_zeros(())

    def normal_terms(self, views: Views, pseudo_depth: Tensor, draw: int) -> dict[str, Tensor]:
        """L_n and, where it has a weight, the ranking loss, whose pairs ``draw`` fixes, against the normals of a pseudo depth
        ``(B, 1, h, w)``.
        """
        settings, depth = self.settings, views.depths[0]
        pseudo_depth = F.interpolate(pseudo_depth.float(), depth.shape[-2:], mode="bilinear", align_corners=False)
        normals, pseudo = (surface_normals(x, views.intrinsics) for x in (depth, pseudo_depth))
        losses = {"normals": settings.normals * F.l1_loss(normals, pseudo)}
        if settings.ranking:
            generator = seeded_generator(draw)
            losses["ranking"] = settings.ranking * ranking_loss(depth, normals, pseudo_depth, pseudo, generator)
        return losses


def _flows(extras: Mapping[str, Tensor], answer: Answer) -> dict[str, Tensor]:
    names = [name + way for name in NEIGHBOURS for way in ("", "_back")]
    flows = {name: extras[f"flow_{name}"] for name in names if f"flow_{name}" in extras}
    if answer.flow is not None:
        flows["next"] = answer.flow
        flows.pop("next_back", None)
        if answer.flow_back is not None:
            flows["next_back"] = answer.flow_back
    return {name: flow.float() for name, flow in flows.items()}


@torch.no_grad()
def found_depth(views: Views, flow: Tensor, back: Tensor | None, motion: Tensor, parallax: float) -> FoundDepth:
    """Depth from flow ``(B, 2, H, W)`` and motion ``(B, 4, 4)``, whose way is made so long that the network's depth is as often
    too large as too small, weighted by trust: so :func:`geometric_term` gains nothing by larger or smaller depths for all.

    Trust is ``q / (q + 2 pixels)``, q the length of the flow that the way causes: flow is a fraction of a pixel wrong.
    """
    depth = views.depths[0]
    found, length, usable = depth_of_flow(flow, back, views.intrinsics, motion, parallax)
    trust = usable * length / (length + 2)
    unit = weighted_median(depth / torch.where(usable, found, 1), trust)
    known = usable.flatten(1).any(1).view(-1, 1, 1, 1)
    pose = motion.clone()
    pose[:, :3, 3:] *= unit[:, 0]
    return FoundDepth(torch.where(usable, found * unit, depth), trust, pose, known)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Of each image of ``(B, 1, H, W)``: the smallest value that half the weight lies up to, ``(B, 1, 1, 1)``."""
    ordered, places = values.flatten(1).sort(1)
    share = weights.flatten(1).gather(1, places).cumsum(1)
    middle = torch.searchsorted(share, share[:, -1:] / 2).clamp_max(share.shape[1] - 1)
    return ordered.gather(1, middle).view(-1, 1, 1, 1)


def geometric_term(depth: Tensor, found: Iterable[FoundDepth]) -> Tensor:
    """The mean of ``|log D - log D_geo|``, weighted by trust; 0 where nothing is known."""
    errors, weights = depth.new_zeros(()), depth.new_zeros(())
    for view in found:
        errors = errors + (view.trust * (depth.log() - view.depth.log()).abs()).sum()
        weights = weights + view.trust.sum()
    return errors / weights.clamp_min(1)


def motion_term(poses: Sequence[Tensor], found: Mapping[str, FoundDepth]) -> Tensor:
    """How far poses, to the previous and the next frame, are from the known motions: ``10 |R - R'| + |t - t'| / |t'|``, of R the
    mean over its numbers; 0 where none is known. A turn by 0.01 then weighs about as much as a tenth of the way.
    """
    errors = []
    for name, pose in zip(NEIGHBOURS, poses, strict=True):
        if name in found:
            true, known = found[name].pose, found[name].known.flatten()
            turn = (pose - true)[:, :3, :3].abs().mean((1, 2))
            way = (pose - true)[:, :3, 3].norm(dim=1) / true[:, :3, 3].norm(dim=1).clamp_min(1e-9)
            errors.append(dense.masked_mean(10 * turn + way, known))
    return torch.stack(errors).mean()


def warped_sources(views: Views, depth: Tensor) -> list[Tensor]:
    """The previous and the next frame ``(B, 3, H, W)`` as the frame would see them if its depth were ``(B, 1, H, W)``."""
    pairs = zip(views.sources, views.poses, strict=True)
    return [warp(source, project(depth, views.intrinsics, pose)) for source, pose in pairs]


def reduced(image: Tensor, like: Tensor) -> Tensor:
    """``image`` ``(B, 3, H, W)`` averaged down to the height and width of ``like``."""
    return image if image.shape[-2:] == like.shape[-2:] else F.interpolate(image, like.shape[-2:], mode="area")
