"""Checkpoints a run continues from, written so that a kill at any moment leaves a whole one."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from restorekit.errors import CheckpointError, RestoreKitError
from restorekit.settings import from_table
from restorekit.training.recipe import Recipe


@dataclass
class Progress:
    """How far a run is: the next ``step``, the ``seconds`` spent, the ``best`` validation's merit, and how many validations
    ``since`` brought nothing better.
    """

    step: int = 0
    seconds: float = 0.0
    best: float = float("-inf")
    since: int = 0


def save(path: Path, recipe: Recipe, progress: Progress, states: dict[str, Any]) -> None:
    """Write everything a run needs to continue; the file appears under its name only when it is whole."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"recipe": recipe.to_table(), "progress": vars(progress), **states}, temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # PyTorch has no error of its own for a full disk
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise cannot_go_on(path, error) from error


def cannot_go_on(path: Path, error: Exception) -> CheckpointError:
    """What to say where a file of a run cannot be written."""
    reason = getattr(error, "strerror", None) or "the disk may be full"
    first = "Make room" if getattr(error, "errno", errno.ENOSPC) == errno.ENOSPC else "Check its folder"
    return CheckpointError(
        f"{path} cannot be written: {reason}", f"{first} and start it again: it goes on from its last checkpoint"
    )


def discard(path: Path) -> None:
    """Delete the checkpoint at ``path`` and those that were kept beside it: the run starts afresh."""
    for old in (path, *path.parent.glob("step-*.pt")):
        old.unlink(missing_ok=True)


def keep(path: Path, step: int, count: int) -> None:
    """Let the checkpoint at ``path`` also stand beside itself as ``step-<step>.pt``, with the ``count - 1`` before it."""
    if not count:
        return
    shutil.copyfile(path, path.with_name(f"step-{step:08d}.pt"))
    for old in sorted(path.parent.glob("step-*.pt"))[:-count]:
        old.unlink()


def load(path: Path, recipe: Recipe) -> tuple[Progress, dict[str, Any]]:
    """Read a checkpoint back. If what is validated has changed since, nothing counts as the best so far.

    Raises:
        CheckpointError: if it is damaged, or was made by a recipe that trains something else.
    """
    try:
        states = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {error}", "Start again with --fresh") from None
    before, now = _completed(states.pop("recipe")), recipe.to_table()
    differences = _differences(before, now)
    if differences:
        raise CheckpointError(
            f"{path} was made by a recipe that differs in {', '.join(differences)}",
            "Use that recipe, another run folder, or --fresh",
        )
    progress = Progress(**states.pop("progress"))
    if _judged(before) != _judged(now):
        progress.best, progress.since = float("-inf"), 0
    return progress, states


def _completed(table: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it was stored, with the defaults of settings that there have been only since."""
    try:
        return from_table(Recipe, table, "the checkpoint's recipe").to_table()
    except RestoreKitError:  # of another version, then: what differs is told as it stands
        return table


_OF_NO_ACCOUNT = {
    "report",
    "card",
    "data.memory",
    "data.validation",
    "data.validation_pairs",
    "data.validation_depth",
    "data.depth_unit",
    "data.held_back",
}
"""Settings that change nothing that is learnt."""


_JUDGES = {
    "data": ("validation", "validation_pairs", "validation_depth", "depth_unit", "held_back"),
    "report": ("validation_crop", "validation_tile", "validation_seed"),
}
"""Settings that validations are compared by."""


def _judged(table: dict[str, Any]) -> list[Any]:
    return [table.get(section, {}).get(key) for section, keys in _JUDGES.items() for key in keys]


def _differences(ours: dict[str, Any], theirs: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of the settings that differ and matter to what is learnt."""
    found = []
    for key in sorted(ours.keys() | theirs.keys()):
        name = f"{prefix}{key}"
        a, b = ours.get(key), theirs.get(key)
        if name in _OF_NO_ACCOUNT or a == b:
            continue
        if name == "train.precision" and a == "auto":  # in checkpoints of before it was stored as what it came to
            continue
        found += _differences(a, b, f"{name}.") if isinstance(a, dict) and isinstance(b, dict) else [name]
    return found
