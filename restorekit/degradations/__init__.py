"""The physics of what goes wrong with photographs, as batched tensor functions on the training device.

Every :class:`Degradation` takes clean photographs ``(B, 3, H, W)``, RGB in [0, 1], with a margin around what is wanted, and gives
the degraded and the clean middle. All randomness comes from the generator passed in: the same seed gives the same pairs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from restorekit.degradations.base import Degradation, Pair, degrade_image, seeded_generator
from restorekit.degradations.lowlight import LowLight, LowLightSettings
from restorekit.degradations.motion import MotionBlur, MotionBlurSettings
from restorekit.degradations.photograph import degrade_photograph
from restorekit.degradations.sensor import SensorSettings, jpeg, shot_read_noise
from restorekit.errors import UnknownNameError
from restorekit.settings import from_table

__all__ = [
    "DEGRADATIONS",
    "Degradation",
    "LowLight",
    "LowLightSettings",
    "MotionBlur",
    "MotionBlurSettings",
    "Pair",
    "SensorSettings",
    "degrade_image",
    "degrade_photograph",
    "get_degradation",
    "jpeg",
    "seeded_generator",
    "shot_read_noise",
]

DEGRADATIONS: dict[str, type[MotionBlur] | type[LowLight]] = {"lowlight": LowLight, "motion": MotionBlur}
"""Degradations by the name recipes and ``restorekit degrade --kind`` know them by."""


def get_degradation(name: str, settings: Mapping[str, Any], *, whole: bool = False) -> Degradation:
    """The degradation called ``name``, with the settings of a recipe's ``[degradation]`` table.

    Args:
        name: a key of :data:`DEGRADATIONS`.
        settings: what differs from the defaults.
        whole: for whole photographs that are to be compared with themselves: start from the degradation's ``whole`` settings.
    """
    if name not in DEGRADATIONS:
        raise UnknownNameError("degradation", name, DEGRADATIONS)
    kind = DEGRADATIONS[name]
    table = {**kind.whole, **settings} if whole else settings
    return kind(from_table(kind.settings_type, table, "[degradation]"))  # type: ignore[arg-type]
