"""How far a depth map is from the truth: the seven numbers of Eigen et al. (2014), as tables of monocular depth report them.

Depth from one image has no scale, so each prediction is first multiplied by the ratio of the medians.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import UsageError
from restorekit.metrics.shapes import check_pair

DEPTH_SCORES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")
"""Names of the scores, in the order of tables; see :class:`DepthScores`."""

MINIMUM = 1e-3
"""Depths of the truth up to this do not count, in its unit."""


@dataclass(frozen=True)
class DepthScores:
    """Scores of each depth map of a batch, ``(B,)`` each. g is the truth, p the prediction.

    Attributes:
        abs_rel: ``mean(|g - p| / g)``.
        sq_rel: ``mean((g - p)^2 / g)``, in units of depth.
        rmse: ``sqrt(mean((g - p)^2))``, in units of depth.
        rmse_log: ``sqrt(mean((ln g - ln p)^2))``.
        a1, a2, a3: shares of pixels with ``max(g / p, p / g)`` below 1.25, 1.25^2 and 1.25^3.
        ratio: what the prediction was multiplied by.
        count: pixels that were compared.
    """

    abs_rel: Tensor
    sq_rel: Tensor
    rmse: Tensor
    rmse_log: Tensor
    a1: Tensor
    a2: Tensor
    a3: Tensor
    ratio: Tensor
    count: Tensor

    def mean(self) -> dict[str, float]:
        """The seven scores by name, averaged over images; those without a pixel to compare do not count."""
        return {name: getattr(self, name).nanmean().item() for name in DEPTH_SCORES}


def depth_scores(
    prediction: Tensor,
    truth: Tensor,
    *,
    maximum: float = 80.0,
    garg: bool = False,
    scale_by_median: bool = True,
    clamp: bool = True,
) -> DepthScores:
    """Compare depth maps ``(B, 1, H, W)`` with their truth where that is known, in the metre or whatever unit the truth has.

    Args:
        prediction: depth, positive, of the truth's size; see :func:`depth_at`.
        truth: depth, 0 or NaN where it is not known; up to :data:`MINIMUM` it does not count.
        maximum: depths of the truth from this on do not count: 80 for KITTI, 200 for DDAD, 75 for nuScenes and Waymo.
        garg: only the part of the image that the tables of KITTI look at; see :func:`garg_crop`.
        scale_by_median: multiply each prediction by ``median(g) / median(p)`` over the pixels compared.
        clamp: then limit it to [:data:`MINIMUM`, ``maximum``], as most papers since monodepth2 do. DCPI-Depth does not.

    Returns:
        NaN for an image without a pixel to compare.

    Raises:
        UsageError: when the shapes differ.
    """
    check_pair(prediction, truth)
    mask = (truth > MINIMUM) & (truth < maximum)
    if garg:
        rows, columns = garg_crop(*truth.shape[-2:])
        inside = torch.zeros_like(mask)
        inside[..., rows, columns] = True
        mask &= inside
    found = []
    for p, g, use in zip(prediction, truth, mask, strict=True):
        p, g = p[use], g[use]
        ratio = _median(g) / _median(p) if scale_by_median else p.new_tensor(1.0)
        p = p * ratio
        found.append([*_scores(p.clamp(MINIMUM, maximum) if clamp else p, g), ratio, p.new_tensor(len(p))])
    return DepthScores(*(torch.stack(column) for column in zip(*found, strict=True)))


def garg_crop(height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns that Garg et al. (2016) compare: neither sky nor bonnet nor the sides."""
    return (
        slice(int(0.40810811 * height), int(0.99189189 * height)),
        slice(int(0.03594771 * width), int(0.96405229 * width)),
    )


def depth_at(inverse_depth: Tensor, height: int, width: int) -> Tensor:
    """Depth ``(B, 1, height, width)`` of positive inverse depth ``(B, 1, h, w)``: enlarged bilinearly, then inverted.

    In this order an edge between near and far stays near, as the authors of monocular depth have it. The scores are taken so.

    Raises:
        UsageError: when a size is not positive.
    """
    if height < 1 or width < 1:
        raise UsageError(f"a depth map of {width} x {height} pixels is empty", "Give the size of the truth")
    return 1 / F.interpolate(inverse_depth, (height, width), mode="bilinear", align_corners=False)


def _median(values: Tensor) -> Tensor:
    """The mean of the two middle values: torch's own takes the lower."""
    if not len(values):
        return values.new_tensor(float("nan"))
    ordered = values.sort().values
    return (ordered[(len(values) - 1) // 2] + ordered[len(values) // 2]) / 2


def _scores(p: Tensor, g: Tensor) -> list[Tensor]:
    error, factor = g - p, torch.maximum(g / p, p / g)
    return [
        (error.abs() / g).mean(),
        (error.square() / g).mean(),
        error.square().mean().sqrt(),
        (g.log() - p.log()).square().mean().sqrt(),
        *((factor < 1.25**power).to(g).mean() for power in (1, 2, 3)),
    ]
