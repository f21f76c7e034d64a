"""One image, in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from restorekit import zoo
from restorekit.inference.contest import Contest
from restorekit.inference.restorer import Picture, Progress, Restorer
from restorekit.inference.result import Restoration


def restore(
    image: Picture,
    model: zoo.Card | str | Path | None = None,
    *,
    task: str = "deblur",
    strength: float = 1.0,
    candidates: bool = False,
    spread: bool = False,
    maps: str | Collection[str] = (),
    progress: Progress | None = None,
    on_note: Callable[[str], None] | None = None,
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
        strength, candidates, spread, maps, progress, on_note: see :meth:`Restorer.__call__`.
        device, precision: see :class:`Restorer`.
        inputs: what the method needs beside the image, see :meth:`Restorer.__call__`; those that are None are left out.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    options: dict[str, Any] = {"device": device, "precision": precision}
    restorer = Contest.for_task(task, given, **options) if model is None else Restorer.from_card(model, **options)
    wanted: dict[str, Any] = {"candidates": candidates, "spread": spread, "maps": maps}
    return restorer(image, strength=strength, **wanted, progress=progress, on_note=on_note, **given)
