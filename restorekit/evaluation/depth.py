"""Scoring depth maps: folders of predictions and of truths, under the protocols of monocular depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit import images
from restorekit.errors import DataError
from restorekit.evaluation.pairs import find_pairs
from restorekit.evaluation.protocol import DepthProtocol
from restorekit.evaluation.report import Report, Score
from restorekit.images.depth_maps import ARRAYS, KITTI_SCALE, read_depth
from restorekit.metrics import DEPTH_SCORES, depth_at, depth_scores


def evaluate_depth(
    predictions: str | Path,
    truths: str | Path,
    protocol: DepthProtocol | None = None,
    *,
    inverse: bool = False,
    scale: float = KITTI_SCALE,
    progress: Callable[[int, int, Score], None] | None = None,
) -> Report:
    """Score predicted depth maps against true ones, paired by name.

    A prediction of another size than its truth is enlarged as inverse depth, bilinearly, as the papers do.

    Args:
        predictions: a folder, or one file; see :func:`read_depth`.
        truths: a folder with the same names, or one file.
        protocol: what is compared; None for all depths to 80 m.
        inverse: predictions are inverse depth, or disparity up to a factor.
        scale: steps a metre of integers.
        progress: called after each map with the number done, the number in all, and the newest score.

    Raises:
        DataError: for what does not pair, or a truth without a depth to compare.
        ImageError: for a file that is no depth map.
    """
    protocol = protocol or DepthProtocol()
    pairs = find_pairs(Path(predictions), Path(truths), _holds_depth)
    scores = []
    for number, pair in enumerate(pairs, 1):
        predicted, truth = (_tensor(read_depth(path, scale)) for path in pair.files)
        if not bool((predicted > 0).all()):
            raise DataError(f"{pair.image} holds depths that are not positive", "Predict a depth for every pixel")
        height, width = truth.shape[-2:]
        found = depth_scores(
            depth_at(predicted if inverse else 1 / predicted, height, width),
            truth,
            maximum=protocol.maximum,
            garg=protocol.garg,
            scale_by_median=protocol.scale_by_median,
            clamp=protocol.clamp,
        )
        if not found.count.item():
            raise DataError(f"{pair.target} has no depth to compare under this protocol", "Remove it, or widen the limits")
        scores.append(Score(pair.name, "predicted", found.mean()))
        if progress is not None:
            progress(number, len(pairs), scores[-1])
    return Report(protocol, DEPTH_SCORES, ("predicted",), tuple(scores))


def _holds_depth(path: Path) -> bool:
    """Whether a file is a depth map: a picture beside an array of its name only shows what that holds."""
    if path.suffix.lower() in ARRAYS:
        return True
    return images.is_image_path(path) and not any(path.with_suffix(suffix).is_file() for suffix in ARRAYS)


def _tensor(depth: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(depth))[None, None].double()
