"""Nothing goes wrong: photographs that a network should learn to leave alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from kornia.color import rgb_to_linear_rgb
from torch import Generator, Tensor

from restorekit.degradations.base import Pair
from restorekit.degradations.sensor import DAYLIGHT, SILENT, SensorSettings, take_picture


@dataclass(frozen=True)
class UntouchedSettings:
    """How good a picture is that needs nothing.

    Attributes:
        sensor: what the camera does after the lens.
    """

    sensor: SensorSettings = DAYLIGHT


class Untouched:
    """Clean photographs as a camera takes them: one of several alternatives, as in ``"haze | untouched"``."""

    settings_type = UntouchedSettings
    whole: ClassVar[Mapping[str, Any]] = {}
    part: ClassVar[Mapping[str, Any]] = {"sensor": SILENT}
    margin = 0

    def __init__(self, settings: UntouchedSettings | None = None) -> None:
        self.settings = settings or UntouchedSettings()

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """``(B, 3, H, W)`` with the camera's noise and rounding, and as it was."""
        return Pair(take_picture(rgb_to_linear_rgb(clean), self.settings.sensor, generator), clean)
