"""What the engine gives: images, and how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from restorekit import images

if TYPE_CHECKING:
    from PIL import Image as PillowImage

SPREAD_FULL_SCALE = 0.25
"""The spread, in units of the image's range [0, 1], that a spread map shows as 65535. Larger ones are shown as 65535 too."""


@dataclass(frozen=True)
class Run:
    """How a result came about.

    Attributes:
        device: where the network ran, for example ``"cpu"`` or ``"cuda:0"``.
        precision: ``"fp32"``, ``"bf16"``, ``"fp16"`` or of an ONNX graph ``"int8"``; what it ran in at last.
        tile: rows and columns of a tile; None if the image ran whole.
        overlap: pixels of context on each side of what a tile answers for; 0 if the image ran whole.
        tiles: how many tiles there were; 0 if the network did not run, as at strength 0.
        seconds: from the image in memory to the result in memory.
        notes: what did not go as asked, one sentence each: a tile halved, a precision raised.
        memory: bytes the network was planned to take on its device for the tiles that ran at once, or for the whole image.
        budget: bytes it was allowed to take; None for no limit.
        model: the name of the model.
        batch: how many tiles ran at once.
    """

    device: str
    precision: str
    tile: tuple[int, int] | None
    overlap: int
    tiles: int
    seconds: float
    notes: tuple[str, ...] = ()
    memory: int = 0
    budget: int | None = None
    model: str = ""
    batch: int = 1

    def __str__(self) -> str:
        if self.tile is None:
            how = "whole" if self.tiles else "untouched"
        else:
            how = f"{self.tiles} tiles of {self.tile[1]}x{self.tile[0]} with {self.overlap} of context on each side"
            how += f", {self.batch} at once" if self.batch > 1 else ""
        if self.memory:
            how += f" in {_size(self.memory)}"
        return f"{self.device}, {self.precision}, {how}, {self.seconds:.1f} s"


@dataclass(frozen=True)
class Restoration:
    """A restored image, and what else was asked for.

    Attributes:
        image: the answer: size, sample type, alpha and metadata of the input.
        candidates: the images the network's heads give, in their order; the strength does not blend them. Empty unless asked for.
        spread: where the heads differ: grey, uint16, 65535 for :data:`SPREAD_FULL_SCALE`; None unless asked for.
        run: device, precision, tiles, time.
        maps: what else the method gives, by the names of its prediction's fields, as far as it was asked for: ``(H, W)`` or, of
            several channels, ``(H, W, C)``, float32, not clipped. ``dcpi-depth`` has ``disparity`` and ``depth``, ``rrformer``
            ``reflection``, ``deeprft`` ``kernels``, ``infwide`` ``features``, ``denoised`` and ``deconvolved``, ``multi-output``
            ``heads``, ``(H, W, n, 3)``.
    """

    image: images.Image
    candidates: tuple[images.Image, ...]
    spread: images.Image | None
    run: Run
    maps: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def save(self, target: str | Path | BinaryIO, **options: Any) -> None:
        """Write the answer; the options are those of :func:`restorekit.images.write`: format, quality, strip, overwrite."""
        images.write(self.image, target, **options)

    def to_array(self) -> NDArray[Any]:
        """The answer as ``(H, W)`` grey, ``(H, W, 2)`` grey and alpha, ``(H, W, 3)`` RGB or ``(H, W, 4)`` RGB and alpha."""
        if self.image.alpha is not None:
            return np.dstack([self.image.pixels, self.image.alpha])
        return self.image.pixels[:, :, 0] if self.image.is_grey else self.image.pixels

    def to_pil(self) -> PillowImage.Image:
        """The answer as a Pillow image, with metadata; 16-bit colours are rounded to 8 bits, as Pillow has none."""
        return self.image.to_pil()


def _size(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{max(1, round(count / 2**20))} MiB"
