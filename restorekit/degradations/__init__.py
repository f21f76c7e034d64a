"""The physics of what goes wrong with photographs, as batched tensor functions on the training device.

Every :class:`Degradation` takes clean photographs ``(B, 3, H, W)``, RGB in [0, 1], with a margin around what is wanted, and gives
the degraded and the clean middle. All randomness comes from the generator passed in: the same seed gives the same pairs.
"""

from __future__ import annotations

from restorekit.degradations.base import Degradation, Pair, degrade_image, seeded_generator
from restorekit.degradations.composition import Alternatives, Composition, Kept
from restorekit.degradations.haze import Haze, HazeSettings
from restorekit.degradations.lowlight import LowLight, LowLightSettings
from restorekit.degradations.motion import MotionBlur, MotionBlurSettings
from restorekit.degradations.naming import DEGRADATIONS, get_degradation
from restorekit.degradations.noise import Noise, NoiseSettings
from restorekit.degradations.photograph import PhotographPair, degrade_photograph, make_pair
from restorekit.degradations.rain import Rain, RainSettings
from restorekit.degradations.raindrop import Raindrop, RaindropSettings
from restorekit.degradations.reflection import Reflection, ReflectionSettings
from restorekit.degradations.sensor import SensorSettings, jpeg, shot_read_noise
from restorekit.degradations.snow import Snow, SnowSettings
from restorekit.degradations.untouched import Untouched, UntouchedSettings

__all__ = [
    "DEGRADATIONS",
    "Alternatives",
    "Composition",
    "Degradation",
    "Haze",
    "HazeSettings",
    "Kept",
    "LowLight",
    "LowLightSettings",
    "MotionBlur",
    "MotionBlurSettings",
    "Noise",
    "NoiseSettings",
    "Pair",
    "PhotographPair",
    "Rain",
    "RainSettings",
    "Raindrop",
    "RaindropSettings",
    "Reflection",
    "ReflectionSettings",
    "SensorSettings",
    "Snow",
    "SnowSettings",
    "Untouched",
    "UntouchedSettings",
    "degrade_image",
    "degrade_photograph",
    "get_degradation",
    "jpeg",
    "make_pair",
    "seeded_generator",
    "shot_read_noise",
]
