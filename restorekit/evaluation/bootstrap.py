"""Whether a difference means anything: paired bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from restorekit.errors import UsageError

RESAMPLES = 10_000
LEVEL = 0.95
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Difference:
    """How much higher one set of scores is than another, image by image.

    Attributes:
        mean: mean of the differences.
        low: lower end of the 95 % interval of that mean; a single image has none, and this is its difference.
        high: its upper end.
        wins: images whose difference is positive.
        losses: images whose difference is negative.
        count: images.
    """

    mean: float
    low: float
    high: float
    wins: int
    losses: int
    count: int


def paired_difference(a: Sequence[float], b: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """The mean of ``a - b`` and its percentile bootstrap interval (Efron and Tibshirani 1993, chapter 13).

    Images are drawn with replacement, each with both of its scores: what makes an image easy or hard for both cancels, so that
    far smaller differences show than the spread of the scores suggests. The interval says how the mean would vary over other
    images *of this kind*; it knows nothing of other kinds. Below about ten images it is too narrow.

    Args:
        a: finite scores, one an image.
        b: the same images' other scores.
        resamples: how often all images are drawn.
        seed: fixes the draws.

    Raises:
        UsageError: for no scores, or another number of them.
    """
    if len(a) != len(b) or not len(a):
        raise UsageError(f"{len(a)} and {len(b)} scores cannot be paired", "Give two scores an image")
    differences = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    count = len(differences)
    random = np.random.default_rng(seed)
    step = max(1, _CHUNK // count)
    means = [
        differences[random.integers(0, count, (min(step, resamples - start), count))].mean(1)
        for start in range(0, resamples, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return Difference(float(differences.mean()), float(low), float(high), wins, losses, count)
