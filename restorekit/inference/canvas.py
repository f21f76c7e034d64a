"""Where finished rows go: the arrays of a result, in the sample type of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.inference.result import SPREAD_FULL_SCALE
from restorekit.methods import Prediction

if TYPE_CHECKING:
    from torch import Tensor


class Canvas:
    """The images made of predictions that come a few rows at a time.

    Args:
        picture: the input, which gives size and sample type, and what the answer is blended with.
        strength: share of the answer in the blend.
        candidates: whether to keep the prediction's ``heads``.
        spread: whether to keep its ``spread``.

    Attributes:
        answer: ``(H, W, C)`` like the picture's pixels.
        heads: the same for each head.
        spread: ``(H, W, 1)``, uint16, 65535 for :data:`~restorekit.inference.result.SPREAD_FULL_SCALE`; None if it is not kept.
    """

    def __init__(self, picture: images.Image, strength: float, candidates: bool, spread: bool) -> None:
        self.picture = picture
        self.strength = np.float32(strength)
        self.keeps_heads = candidates
        self.answer: NDArray[Any] = np.empty_like(picture.pixels)
        self.heads: list[NDArray[Any]] = []
        self.spread = np.empty((picture.height, picture.width, 1), np.uint16) if spread else None

    def draw(self, top: int, prediction: Prediction) -> None:
        """Put the rows of a prediction for one image, ``(1, ..., rows, W)`` on the CPU, where ``top`` is the first of them."""
        rows = slice(top, top + prediction.image.shape[-2])
        answer = self._colours(prediction.image[0])
        if self.strength < 1:
            given = images.to_float(self.picture.pixels[rows])
            answer = given + self.strength * (answer - given)
        self.answer[rows] = images.quantise(answer, self.answer.dtype)
        if self.keeps_heads:
            heads: Tensor = prediction.heads[0]  # type: ignore[attr-defined]  # a field of some methods' predictions
            self.heads = self.heads or [np.empty_like(self.answer) for _ in heads]
            for kept, head in zip(self.heads, heads, strict=True):
                kept[rows] = images.quantise(self._colours(head), kept.dtype)
        if self.spread is not None:
            spread: Tensor = prediction.spread[0]  # type: ignore[attr-defined]
            self.spread[rows] = images.quantise(_channels_last(spread) / np.float32(SPREAD_FULL_SCALE), np.uint16)

    def _colours(self, values: Tensor) -> NDArray[np.float32]:
        """``(3, rows, W)`` as ``(rows, W, C)``; where the picture is grey, so is the mean of the colours."""
        array = _channels_last(values)
        return array.mean(2, keepdims=True) if self.picture.is_grey else array


def _channels_last(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.permute(1, 2, 0).numpy()
    return array
