"""Settings of the losses of ``dcpi-depth``; see :class:`restorekit.methods.dcpi_depth.objective.DcpiObjective`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DcpiObjectiveSettings:
    """The ``[objective]`` table of a recipe. Weights and limits are the paper's, which knows no ``rigid``.

    Attributes:
        ssim: share of structural dissimilarity in the photometric error; the rest is the absolute difference.
        smoothness: weight of edge-aware smoothness at full size; half of it at each smaller scale.
        dense: weight of all terms that compare with optical flow.
        divergence: weight of the differential property correlation among them.
        adjustment: weight of the flow's following the rigid flow among them.
        rigid: weight of the rigid flow's distance from the optical flow, from the first step on. It finds the pose where frames
            lie too far apart for their pictures to tell.
        geometric: weight of the distance from the depth that flow and motion mean, where batches have the camera's motion.
        motion: weight of the pose network's distance from that motion.
        normals: weight of the normals of a pseudo depth, where batches have one.
        ranking: weight of their ranking loss, which the authors describe and leave off.
        dense_after: steps before the dense terms begin; the paper's is one epoch.
        divergence_after: steps before differential property correlation begins; the paper's are two thirds of all.
        consistency_limit: relative errors of depth from this on do not count.
        divergence_limit: the same for differential property correlation.
        adjustment_limit: the same for the flow.
        parallax: shortest translational flow, in pixels, that depth is triangulated from.
        own_unit: whether each image's depths are divided by their harmonic mean first, so that no loss gains by making all of
            them smaller or larger. Else a pose that moves too little draws the disparity to the end of its range, where nothing
            is learnt any more (Wang et al., "Learning depth from monocular videos using direct methods", CVPR 2018).
        parity: the authors' exact forms instead of the corrected ones; see ``docs/methods/dcpi-depth-training.md``.
    """

    ssim: float = 0.85
    smoothness: float = 1e-3
    dense: float = 0.01
    divergence: float = 0.2
    adjustment: float = 0.2
    rigid: float = 0.0
    geometric: float = 1.0
    motion: float = 0.1
    normals: float = 0.01
    ranking: float = 0.0
    dense_after: int = 1000
    divergence_after: int = 2000
    consistency_limit: float = 2.0
    divergence_limit: float = 0.2
    adjustment_limit: float = 0.5
    parallax: float = 0.3
    own_unit: bool = False
    parity: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.ssim <= 1:
            raise ValueError("ssim must be from 0 to 1")
        for name in (
            "smoothness",
            "dense",
            "divergence",
            "adjustment",
            "rigid",
            "geometric",
            "motion",
            "normals",
            "ranking",
            "parallax",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in ("dense_after", "divergence_after"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        for name in ("consistency_limit", "divergence_limit", "adjustment_limit"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
