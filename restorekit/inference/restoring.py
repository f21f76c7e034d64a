"""One image, in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restorekit import zoo
from restorekit.inference.contest import Contest
from restorekit.inference.restorer import Picture, Restorer
from restorekit.inference.result import Restoration


def restore(
    image: Picture,
    model: zoo.Card | str | Path | None = None,
    *,
    task: str = "deblur",
    strength: float = 1.0,
    device: str = "auto",
    precision: str = "auto",
    **inputs: Any,
) -> Restoration:
    """Restore one image; for more than one, make a :class:`Restorer` once.

    Args:
        image: see :data:`Picture`.
        model: a model of the zoo, by name or by the path of its card; None for the default of ``task``, of those that take the
            ``inputs``, or for what else the photograph calls for, see :class:`Contest`.
        task: what is to be done, for example ``"deblur"``; of no account if a model is named.
        strength: see :meth:`Restorer.__call__`.
        device: see :class:`Restorer`.
        precision: see :class:`Restorer`.
        inputs: see :meth:`Restorer.__call__`.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    options: dict[str, Any] = {"device": device, "precision": precision}
    if model is None:
        return Contest.for_task(task, given, **options)(image, strength=strength, **given)
    return Restorer.from_card(model, **options)(image, strength=strength, **given)
