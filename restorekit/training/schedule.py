"""Learning rates as functions of the step."""

from __future__ import annotations

import math

from restorekit.training.recipe import TrainSettings


def learning_rate(step: int, settings: TrainSettings) -> float:
    """The rate at ``step`` of 0 .. steps - 1: a linear rise over the warm-up, then half a cosine from the peak to the final
    rate.
    """
    peak, final = settings.learning_rate, settings.final_learning_rate
    if step < settings.warmup:
        return peak * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(settings.steps - settings.warmup, 1)
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2
