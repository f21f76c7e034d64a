"""What is wrong with a photograph, as far as small classical estimates can tell, and of drops and reflections the networks that
take them off.

The thresholds were chosen on 122 clean photographs, of which no more than an eighth may be accused, and on what
:mod:`restorekit.degradations` makes of clean ones; ``docs/auto.md`` says how often the verdict is right, and
``benchmarks/diagnosis.py`` measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from restorekit.diagnosis.blur import estimate_blur
from restorekit.diagnosis.falling import Falling, estimate_falling
from restorekit.diagnosis.noise import estimate_noise, is_grey
from restorekit.diagnosis.veil import estimate_distant_veil, estimate_veil
from restorekit.diagnosis.views import luma, reduced, windows
from restorekit.images import Image

SMALLEST = 96
"""Shorter side in pixels of the smallest photograph that anything is said of."""

NOISE = (0.0075, 0.0043)
"""Noise that is worth removing: from a sharp photograph, and from a blurred one, where sharpening would bring it out."""
NOISE_GREY = 0.021
"""The same for grey photographs, whose texture cannot be told from it."""
BLUR = (0.78, 0.88)
"""Pixels of blur: without a veil, and with one, as haze softens edges too. Photographs reduced for the screen stay below 0.75."""
AIR = 0.09
"""Brightness of the darkest places that tells of a veil, such as rain and snow bring along."""
HAZE = 0.15
"""The same where nothing but the veil is wrong: blacks may be raised for the looks of it."""
DISTANT = 0.25
"""The same of the haziest third of the photograph alone."""
UPRIGHT = (0.16, 0.07)
"""How upright fine structure must be everywhere for rain: without a veil, and with one."""
BRIGHT = (0.6, 0.3)
"""How much more bright than dark it must be everywhere for snow: without a veil, and with one."""
CONTRAST = (0.01, 0.003)
"""How much fine structure quiet places must have for either: without a veil, and with one."""
DROPS = 6 / 255
"""How much a network for drops takes off a photograph where there are some; chosen with ``multi-output-deraindrop``."""
REFLECTION = 16 / 255
"""How much a network for reflections takes off a photograph of a pane; chosen with ``multi-output-dereflect``."""


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: ``"noise"``, ``"blur"``, ``"haze"``, ``"rain"``, ``"snow"``, ``"drops"`` or ``"reflection"``.
        reason: what was measured, in words.
        tasks: the verbs for it, the best first.
    """

    kind: str
    reason: str
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """A measure in words.

    Attributes:
        name: what was measured.
        value: how much of it there is, with its unit.
        limit: how much is too much for this photograph.
        over: whether it is too much.
    """

    name: str
    value: str
    limit: str
    over: bool


_RAIN = Finding("rain", "upright streaks everywhere", ("derain", "weather"))
_SNOW = Finding("snow", "bright spots everywhere", ("desnow", "weather"))
_DROPS = Finding("drops", "drops on the glass", ("deraindrop", "weather"))
_REFLECTION = Finding("reflection", "a reflection in a pane", ("dereflect",))


@dataclass(frozen=True)
class Diagnosis:
    """What was measured of a photograph, and what follows.

    Attributes:
        noise: standard deviation of the noise in [0, 1], see :func:`~restorekit.diagnosis.noise.estimate_noise`.
        blur: where it is sharpest, in pixels of a copy of a megapixel, see :func:`~restorekit.diagnosis.blur.estimate_blur`;
            None if it has no edges: of an empty picture only the noise can be told.
        veil: brightness of the darkest places in [0, 1], see :func:`~restorekit.diagnosis.veil.estimate_veil`.
        distant: the same of the haziest third, see :func:`~restorekit.diagnosis.veil.estimate_distant_veil`.
        falling: what fine structure has in common everywhere, see :class:`~restorekit.diagnosis.falling.Falling`.
        grey: whether it has no colours.
        judged: whether the photograph is large enough for any of this.
        drops: what a network for drops takes off it, in [0, 1]; None if it was not asked.
        reflection: the same of a network for reflections.
    """

    noise: float = 0.0
    blur: float | None = 0.0
    veil: float = 0.0
    distant: float = 0.0
    falling: Falling = field(default_factory=Falling)
    grey: bool = False
    judged: bool = True
    drops: float | None = None
    reflection: float | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the first to be dealt with first; empty if nothing is.

        Rain and snow come first, as they raise other measures too; then noise, which sharpening would bring out; and haze last,
        as a veil often comes with something else.
        """
        if not self.judged:
            return ()
        found = []
        if self._falls:
            rain = self.falling.upright / UPRIGHT[self._veiled] >= self.falling.bright / BRIGHT[self._veiled]
            found.append(_RAIN if rain else _SNOW)
        if self.noise > self._noise_limit:
            found.append(Finding("noise", f"noise {255 * self.noise:.0f}/255", ("denoise",)))
        if self.blur is not None and self._blurred:
            found.append(Finding("blur", f"edges blurred by {self.blur:.1f} pixels", ("deblur",)))
        if self._hazy:
            far = "" if self.veil > HAZE else " far away"
            veil = self.distant if far else self.veil
            found.append(Finding("haze", f"nothing{far} is darker than {255 * veil:.0f}/255", ("dehaze", "weather")))
        if self.drops is not None and self.drops > DROPS:
            found.append(_DROPS)
        if self.reflection is not None and self.reflection > REFLECTION:
            found.append(_REFLECTION)
        return tuple(found)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """What was measured, to be shown beside the thresholds; empty if the photograph is too small."""
        if not self.judged:
            return ()
        fall, limit, blur = self.falling, self._noise_limit, BLUR[self._veiled]
        edges = "no edges" if self.blur is None else f"{self.blur:.2f} pixels"
        upright, bright = UPRIGHT[self._veiled], BRIGHT[self._veiled]
        asked = (("drops", self.drops, DROPS), ("a reflection", self.reflection, REFLECTION))
        return (
            Measure("noise", f"{255 * self.noise:.1f}/255", f"{255 * limit:.1f}/255", self.noise > limit),
            Measure("blur where it is sharpest", edges, f"{blur:.2f} pixels", self._blurred),
            Measure("darkest places", f"{255 * self.veil:.0f}/255", f"{255 * HAZE:.0f}/255", self._hazy and self.veil > HAZE),
            Measure(
                "darkest places far away",
                f"{255 * self.distant:.0f}/255",
                f"{255 * DISTANT:.0f}/255",
                self._hazy and self.distant > DISTANT,
            ),
            Measure("upright streaks", f"{fall.upright:.2f}", f"{upright:.2f}", self._falls and fall.upright > upright),
            Measure("bright spots", f"{fall.bright:.2f}", f"{bright:.2f}", self._falls and fall.bright > bright),
            *(
                Measure(f"what goes with {name}", f"{255 * taken:.1f}/255", f"{255 * most:.1f}/255", taken > most)
                for name, taken, most in asked
                if taken is not None
            ),
        )

    @property
    def _veiled(self) -> bool:
        return self.veil > AIR

    @property
    def _blurred(self) -> bool:
        return self.blur is not None and self.blur > BLUR[self._veiled]

    @property
    def _hazy(self) -> bool:
        return self.blur is not None and (self.veil > HAZE or self.distant > DISTANT)

    @property
    def _noise_limit(self) -> float:
        return NOISE_GREY if self.grey else NOISE[self._blurred]

    @property
    def _falls(self) -> bool:
        """Whether rain or snow falls: fine structure is there besides edges, leans one way, and is not what a blur has left."""
        leans = self.falling.upright > UPRIGHT[self._veiled] or self.falling.bright > BRIGHT[self._veiled]
        return leans and self.falling.contrast > CONTRAST[self._veiled] and self.blur is not None and not self._blurred


def diagnose(
    image: Image, drops: Callable[[Image], float] | None = None, reflection: Callable[[Image], float] | None = None
) -> Diagnosis:
    """Look at a photograph of any size, sample type and number of colours; what is transparent counts as any other part.

    Args:
        image: the photograph.
        drops: tells how much a network for drops takes off it, as :func:`restorekit.inference.change_by` does. It is asked only
            where nothing else is found, as it takes longer than all the rest.
        reflection: the same of a network for reflections, asked after that one.
    """
    if min(image.size) < SMALLEST:
        return Diagnosis(judged=False)
    small = reduced(image)
    brightness, grey = luma(small), is_grey(small)
    diagnosis = Diagnosis(
        estimate_noise(windows(image), grey=grey),
        estimate_blur(brightness),
        estimate_veil(small),
        estimate_distant_veil(small),
        estimate_falling(brightness),
        grey,
    )
    if diagnosis.blur is None:
        return diagnosis
    if drops is not None and not diagnosis.findings:
        diagnosis = replace(diagnosis, drops=drops(image))
    if reflection is not None and not diagnosis.findings:
        diagnosis = replace(diagnosis, reflection=reflection(image))
    return diagnosis
