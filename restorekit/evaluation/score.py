"""Scoring: folders, files, or images in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit import images
from restorekit.errors import DataError
from restorekit.evaluation.pairs import check_pairs, find_pairs
from restorekit.evaluation.protocol import Protocol
from restorekit.evaluation.report import Report, Score
from restorekit.metrics import psnr, ssim

Picture = images.Image | NDArray[Any]
"""An image in memory: as :func:`restorekit.images.read` gives it, or an array ``(H, W)`` or ``(H, W, C)``."""

Progress = Callable[[int, int, Score], None]
"""Called after each image with the number done, the number in all, and the newest score."""


def evaluate(
    restored: str | Path,
    targets: str | Path,
    protocol: Protocol | None = None,
    *,
    restore: Callable[[Path], Picture] | None = None,
    progress: Progress | None = None,
    max_pixels: int | None = images.DEFAULT_MAX_PIXELS,
) -> Report:
    """Score restored images against what they should look like.

    Args:
        restored: a folder, sub-folders included, or one file.
        targets: a folder with the same names (extensions may differ), or one file.
        protocol: what is compared; None for RGB, no border, rounded to 8 bits.
        restore: given, ``restored`` holds images that still are to be restored, and this restores one, for example
            ``lambda path: restorer(path).image``. Inputs are scored too, so that the report tells what was gained.
        progress: see :data:`Progress`.
        max_pixels: largest image to read, in pixels; None for no limit.

    Raises:
        DataError: naming everything that is wrong with the pairs, before anything is restored or scored; or an image that
            ``restore`` gave another size.
    """
    protocol = protocol or Protocol()
    pairs = find_pairs(Path(restored), Path(targets))
    check_pairs(pairs, protocol, max_pixels)
    scores = []
    for done, pair in enumerate(pairs, 1):
        image, target = images.read(pair.image, max_pixels=max_pixels), images.read(pair.target, max_pixels=max_pixels)
        if restore is None:
            score = score_pair(pair.name, image, target, protocol)
        else:
            score = score_pair(pair.name, restore(pair.image), target, protocol, before=image)
        scores.append(score)
        if progress is not None:
            progress(done, len(pairs), score)
    return Report(protocol, tuple(scores))


def evaluate_pairs(pairs: Iterable[tuple[str, Picture, Picture]], protocol: Protocol | None = None) -> Report:
    """Score images in memory: ``(name, restored, target)``, one after the other, so that a generator may restore them on the fly.

    Raises:
        DataError: when a pair's sizes differ, or there is no pair.
    """
    protocol = protocol or Protocol()
    scores = tuple(score_pair(name, restored, target, protocol) for name, restored, target in pairs)
    if not scores:
        raise DataError("there are no images to score")
    return Report(protocol, scores)


@torch.no_grad()
def score_pair(name: str, restored: Picture, target: Picture, protocol: Protocol, before: Picture | None = None) -> Score:
    """The score of one image in memory, and of ``before``, its degraded input, if given.

    Alpha is left out. A grey image is compared with a colour one as if it held the same grey in all three channels.

    Raises:
        DataError: when the sizes differ.
    """
    value = _compare(name, restored, target, protocol)
    return Score(name, *value, *(_compare(name, before, target, protocol) if before is not None else ()))


def _compare(name: str, image: Picture, target: Picture, protocol: Protocol) -> tuple[float, float]:
    a, b = _tensor(image), _tensor(target)
    if a.shape[2:] != b.shape[2:]:
        sizes = f"{a.shape[3]} x {a.shape[2]} but its target is {b.shape[3]} x {b.shape[2]}"
        raise DataError(f"{name} is {sizes}", "Give images of one size")
    channels = max(a.shape[1], b.shape[1])
    a, b = (protocol.prepare(x.expand(-1, channels, -1, -1)) for x in (a, b))
    return float(psnr(a, b)), float(ssim(a, b))


def _tensor(picture: Picture) -> Tensor:
    """``(1, C, H, W)`` float32 in [0, 1], C = 1 or 3."""
    image = images.Image.from_array(picture) if isinstance(picture, np.ndarray) else picture
    return torch.from_numpy(images.to_float(image.pixels)).permute(2, 0, 1).unsqueeze(0)
