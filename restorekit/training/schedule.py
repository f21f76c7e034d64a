"""Learning rates as functions of the step."""

from __future__ import annotations

import math

from restorekit.training.recipe import TrainSettings


def learning_rate(step: int, settings: TrainSettings) -> float:
    """The rate at ``step`` of 0 .. steps - 1; see :class:`~restorekit.training.recipe.TrainSettings`."""
    peak, final = settings.learning_rate, settings.final_learning_rate
    if step < settings.warmup:
        return peak * (step + 1) / settings.warmup
    step -= settings.warmup
    if settings.schedule == "steps":
        return peak * settings.decay ** (step // settings.period)
    if settings.schedule == "restarts":
        round, step = divmod(step, settings.period)
        peak *= settings.decay**round
        return _cosine(peak, min(peak, final), step / settings.period)
    step -= settings.hold
    return _cosine(peak, final, step / max(settings.steps - settings.warmup - settings.hold, 1))


def _cosine(peak: float, final: float, progress: float) -> float:
    return final + (peak - final) * (1 + math.cos(math.pi * max(progress, 0.0))) / 2
