"""Whether a video can teach depth at all: what the networks that learnt from it make of its motion."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from restorekit.layers.geometry import rigid_flow, without_translation
from restorekit.methods.base import Batch
from restorekit.methods.dcpi_depth.objective import NEIGHBOURS, DcpiObjective, warped_sources
from restorekit.methods.dcpi_depth.photometric import auto_masked, least_error


class Diagnosis(NamedTuple):
    """What a triplet says.

    Attributes:
        explained: share of the pixels that depth and motion explain better than standing still does; the others are auto-masked
            and teach nothing.
        parallax: median length, in pixels, of what flow the camera's translation causes; turning alone causes none.
    """

    explained: float
    parallax: float


@torch.no_grad()
def diagnose(objective: DcpiObjective, network: nn.Module, batch: Batch) -> Diagnosis:
    """The diagnosis of a batch of triplets, as the objective takes them, by a network with a pose network, in eval mode."""
    neighbours = tuple(batch.extras[name] for name in NEIGHBOURS)
    views = objective.views(batch, network(batch.input, neighbours=neighbours))
    depth, frame, ssim = views.depths[0], views.frames[0], objective.settings.ssim
    _, wins = auto_masked(
        least_error(warped_sources(views, depth), frame, ssim),
        least_error(views.sources, frame, ssim),
    )
    lengths = [
        (rigid_flow(depth, views.intrinsics, pose) - rigid_flow(depth, views.intrinsics, without_translation(pose))).norm(dim=1)
        for pose in views.poses
    ]
    return Diagnosis(float(wins.float().mean()), float(torch.stack(lengths).median()))
