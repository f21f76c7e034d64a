"""Scores of methods that give several candidates for one image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from restorekit.errors import UsageError


@dataclass(frozen=True)
class BestSingle:
    """The candidate index that scores best over a whole set, and its mean score."""

    index: int
    score: float


def best_overall(scores: Tensor) -> float:
    """The mean over images of the best candidate's score, from ``(images, K)`` scores of which higher is better.

    Choosing the best candidate of each image needs the ground truth: this is an upper bound, not something a user gets.
    """
    return _checked(scores).max(1).values.mean().item()


def best_single(scores: Tensor) -> BestSingle:
    """The candidate with the best mean over images, from ``(images, K)`` scores of which higher is better.

    One fixed candidate for all images is what a user can have.
    """
    means = _checked(scores).mean(0)
    index = int(means.argmax())
    return BestSingle(index, means[index].item())


def _checked(scores: Tensor) -> Tensor:
    if scores.ndim != 2 or scores.numel() == 0:
        raise UsageError(f"scores of shape {tuple(scores.shape)} are not (images, K)", "Stack one row of scores an image")
    return scores
