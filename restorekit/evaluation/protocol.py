"""What is compared, exactly. Protocols can differ by decibels on the same pictures, so no score goes without its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from restorekit.errors import UsageError
from restorekit.metrics import crop_border, luma, round_to_8_bits


@dataclass(frozen=True)
class Protocol:
    """How two images are made comparable.

    Attributes:
        colour: ``"rgb"``: all channels together; ``"y"``: luma of BT.601, 16 to 235 (the derain and super-resolution papers).
        border: pixels cropped on each side.
        eight_bit: whether values are first clipped and rounded to 8 bits, as a saved PNG would be.

    Raises:
        UsageError: for another colour or a negative border.
    """

    colour: Literal["rgb", "y"] = "rgb"
    border: int = 0
    eight_bit: bool = True

    def __post_init__(self) -> None:
        if self.colour not in ("rgb", "y"):
            raise UsageError(f"a protocol compares 'rgb' or 'y', not '{self.colour}'")
        if self.border < 0:
            raise UsageError(f"a border cannot be {self.border} pixels", "Use 0 or more")

    @property
    def name(self) -> str:
        """For tables and cards: ``"RGB, border 0, 8-bit"``."""
        return f"{self.colour.upper()}, border {self.border}, {'8-bit' if self.eight_bit else 'not rounded'}"

    def prepare(self, image: Tensor) -> Tensor:
        """What metrics see of an image ``(B, C, H, W)``, C = 1 or 3, in [0, 1]."""
        image = round_to_8_bits(image) if self.eight_bit else image
        return crop_border(luma(image) if self.colour == "y" else image, self.border)
