"""Scoring depth maps: folders of predictions and of truths, under the protocols of monocular depth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit import images
from restorekit.errors import DataError, ImageError
from restorekit.evaluation.pairs import find_pairs
from restorekit.evaluation.protocol import DepthProtocol
from restorekit.evaluation.report import Report, Score
from restorekit.images.psf import first_array
from restorekit.metrics import DEPTH_SCORES, depth_at, depth_scores

KITTI_SCALE = 256.0
"""Steps a metre in the 16-bit depth maps of KITTI; 0 stands for unknown."""

_ARRAYS = (".npy", ".npz")


def read_depth(path: Path, scale: float = KITTI_SCALE) -> NDArray[np.float32]:
    """A depth map ``(H, W)`` in metres, 0 where it is not known.

    Args:
        path: a 16-bit PNG or TIFF in steps of ``1 / scale`` metres, a TIFF of floats in metres, or a ``.npy`` file or the first
            array of an ``.npz``, in metres.
        scale: steps a metre of integers: 256 for KITTI, 1000 for millimetres.

    Raises:
        ImageError: for a file that cannot be read, has colours, or only 8 bits, too few for depths.
    """
    if path.suffix.lower() in _ARRAYS:
        return _read_array(path)
    picture = images.read(path, any_floats=True)
    if not picture.is_grey:
        raise ImageError(f"{path} has colours: it is a picture of depths, not a depth map", "Give 16-bit grey or .npy")
    if picture.bit_depth == 8:
        raise ImageError(f"{path} has 8 bits, too few for depths", "Give 16-bit grey or .npy")
    values = picture.pixels[:, :, 0].astype(np.float32)
    return values / np.float32(scale) if picture.bit_depth == 16 else values


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
    if path.suffix.lower() in _ARRAYS:
        return True
    return images.is_image_path(path) and not any(path.with_suffix(suffix).is_file() for suffix in _ARRAYS)


def _read_array(path: Path) -> NDArray[np.float32]:
    try:
        array = np.squeeze(np.asarray(first_array(path), np.float32))
    except Exception as error:  # NumPy and zipfile raise several kinds on damaged data
        raise ImageError(f"{path} cannot be read as an array: {error}", "Give a .npy file of numbers") from None
    if array.ndim != 2:
        raise ImageError(f"{path} has the shape {array.shape}, not (H, W)", "Give one depth map a file")
    return np.nan_to_num(array, nan=0.0, posinf=0.0, neginf=0.0)


def _tensor(depth: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(depth))[None, None].double()
