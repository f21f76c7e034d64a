"""Making two images lie over each other: cutting to a common size, and searching for a shift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from restorekit.errors import DataError, UsageError
from restorekit.evaluation.protocol import Protocol

Align = Literal["error", "crop"]


@dataclass(frozen=True)
class Alignment:
    """What is done about images that do not lie over their targets.

    Attributes:
        sizes: ``"error"``: sizes must be equal; ``"crop"``: both are cut to what they share of rows and columns, at the right and
            at the bottom, where data sets lose them that are cut to multiples of 8.
        shift: the farthest an image may have moved against its target, in whole pixels, to each side. The shift with the least
            square error is taken, as Levin et al. (2009) do because blind deblurring knows a kernel only up to a shift; a frame
            of that many pixels is left out.
    """

    sizes: Align = "error"
    shift: int = 0

    def __post_init__(self) -> None:
        if self.shift < 0:
            raise UsageError(f"a shift cannot be {self.shift} pixels", "Use 0 or more")

    @property
    def name(self) -> str:
        """For tables: ``"cut to common size, best shift up to 5 pixels"``; empty if nothing is done."""
        cut = ["cut to common size"] if self.sizes == "crop" else []
        return ", ".join(cut + ([f"best shift up to {self.shift} pixels"] if self.shift else []))

    def apply(self, name: str, image: Tensor, target: Tensor, protocol: Protocol) -> tuple[Tensor, Tensor]:
        """Both, ``(1, C, H, W)``, one over the other; :class:`~restorekit.errors.DataError` if their sizes forbid it."""
        if image.shape[2:] != target.shape[2:]:
            if self.sizes == "error":
                raise DataError(
                    f"{name} is {image.shape[3]} x {image.shape[2]} but its target is {target.shape[3]} x {target.shape[2]}",
                    "Give images of one size",
                )
            height, width = (min(image.shape[side], target.shape[side]) for side in (2, 3))
            image, target = image[:, :, :height, :width], target[:, :, :height, :width]
        return (image, target) if not self.shift else _register(image, target, self.shift, protocol)


def _register(image: Tensor, target: Tensor, reach: int, protocol: Protocol) -> tuple[Tensor, Tensor]:
    height, width = (side - 2 * reach for side in target.shape[2:])
    if min(height, width) < 1:
        raise UsageError(f"a shift of {reach} pixels leaves nothing of {target.shape[3]} x {target.shape[2]}", "Search less far")
    middle = target[:, :, reach : reach + height, reach : reach + width]
    wanted = protocol.prepare(middle)

    def shifted(down: int, right: int) -> Tensor:
        return image[:, :, reach + down : reach + down + height, reach + right : reach + right + width]

    def error(shift: tuple[int, int]) -> tuple[float, int]:
        # Of equal errors the shortest shift: flat images must not wander.
        return float((protocol.prepare(shifted(*shift)) - wanted).square().mean()), abs(shift[0]) + abs(shift[1])

    shifts = [(down, right) for down in range(-reach, reach + 1) for right in range(-reach, reach + 1)]
    return shifted(*min(shifts, key=error)), middle
