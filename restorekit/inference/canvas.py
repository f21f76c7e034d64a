"""Where finished blocks go: the arrays of a result, in the sample type of the input."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.inference.result import SPREAD_FULL_SCALE
from restorekit.methods import Prediction

if TYPE_CHECKING:
    from torch import Tensor


class Canvas:
    """The images made of predictions that come a block at a time.

    Args:
        picture: the input, which gives size and sample type, and what the answer is blended with. Of a large one, answer and
            heads lie in files like its own pixels.
        strength: share of the answer in the blend.
        candidates: whether to keep the prediction's ``heads``.
        spread: whether to keep its ``spread``.
        maps: names of further fields of it to keep.
        taken: what to call the difference between the picture and the prediction's image, which is kept as one of the maps; empty
            for not keeping it.

    Attributes:
        answer: ``(H, W, C)`` like the picture's pixels.
        heads: the same for each head.
        spread: ``(H, W, 1)``, uint16, 65535 for :data:`~restorekit.inference.result.SPREAD_FULL_SCALE`; None if it is not kept.
        maps: what is kept of the prediction's other fields, float32, not clipped: ``(H, W)`` for one channel, else ``(H, W, C)``.
    """

    def __init__(
        self,
        picture: images.Image | images.LargeImage,
        strength: float,
        candidates: bool,
        spread: bool,
        maps: Collection[str] = (),
        taken: str = "",
    ) -> None:
        self.picture = picture
        self.strength = np.float32(strength)
        self.keeps_heads = candidates
        self.answer: Any = self._blank()
        self.heads: list[Any] = []
        self.spread = np.empty((picture.height, picture.width, 1), np.uint16) if spread else None
        self.maps: dict[str, NDArray[np.float32]] = {}
        self._names = frozenset(maps)
        self._taken = taken

    def draw(self, rows: slice, columns: slice, prediction: Prediction) -> None:
        """Put a part of a prediction for one image, ``(1, ..., rows, columns)`` on the CPU, where it belongs."""
        block = (rows, columns)
        answer = self._colours(prediction.image[0])
        if self._taken:
            self._keep(self._taken, block, images.to_float(self.picture.pixels[block]) - answer)
        if self.strength < 1:
            given = images.to_float(self.picture.pixels[block])
            answer = given + self.strength * (answer - given)
        self.answer[block] = images.quantise(answer, self.answer.dtype)
        if self.keeps_heads:
            heads: Tensor = prediction.heads[0]  # type: ignore[attr-defined]  # a field of some methods' predictions
            self.heads = self.heads or [self._blank() for _ in heads]
            for kept, head in zip(self.heads, heads, strict=True):
                kept[block] = images.quantise(self._colours(head), kept.dtype)
        if self.spread is not None:
            spread: Tensor = prediction.spread[0]  # type: ignore[attr-defined]
            self.spread[block] = images.quantise(_channels_last(spread) / np.float32(SPREAD_FULL_SCALE), np.uint16)
        for name in self._names:
            self._keep(name, block, np.moveaxis(np.asarray(getattr(prediction, name)[0]), (-2, -1), (0, 1)))

    def _keep(self, name: str, block: tuple[slice, slice], values: NDArray[np.float32]) -> None:
        if values.shape[2:] == (1,):
            values = values[:, :, 0]
        if name not in self.maps:
            self.maps[name] = np.empty((self.picture.height, self.picture.width, *values.shape[2:]), np.float32)
        self.maps[name][block] = values

    def _blank(self) -> Any:
        """Room for an answer: a picture's worth of samples, in memory or in a file."""
        return self.picture.blank() if isinstance(self.picture, images.LargeImage) else np.empty_like(self.picture.pixels)

    def _colours(self, values: Tensor) -> NDArray[np.float32]:
        """``(3, rows, columns)`` as ``(rows, columns, C)``; where the picture is grey, so is the mean of the colours."""
        array = _channels_last(values)
        return array.mean(2, keepdims=True) if self.picture.is_grey else array


def _channels_last(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.asarray(values).transpose(1, 2, 0)  # a tensor's, or already an array
    return array
