"""Checkpoints a run continues from, written so that a kill at any moment leaves a whole one."""

from __future__ import annotations

import errno
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from restorekit.errors import CheckpointError, RestoreKitError
from restorekit.images.atomic import replacing
from restorekit.settings import from_table
from restorekit.training.recipe import Recipe

FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
"""What systems say where there is no more room."""


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save({"recipe": recipe.to_table(), "progress": vars(progress), **states}, file)
    except (OSError, RuntimeError) as error:  # PyTorch has no error of its own for a full disk
        raise cannot_go_on(path, error) from error


def cannot_go_on(path: Path, error: Exception) -> CheckpointError:
    """What to say where a file of a run cannot be written."""
    reason = getattr(error, "strerror", None) or "the disk may be full"
    first = "Make room" if getattr(error, "errno", errno.ENOSPC) in FULL else "Check its folder"
    return CheckpointError(
        f"{path} cannot be written: {reason}", f"{first} and start it again: it goes on from its last checkpoint"
    )


def discard(path: Path) -> None:
    """Delete the checkpoint at ``path`` and those that were kept beside it: the run starts afresh."""
    for old in (path, *path.parent.glob("step-*.pt")):
        old.unlink(missing_ok=True)


def keep(path: Path, step: int, count: int) -> None:
    """Let the checkpoint at ``path`` also stand beside itself as ``step-<step>.pt``, with the ``count - 1`` before it.

    It is a copy rather than a link: what is done to the one, such as copying an older one over it, must not change the other.
    """
    if not count:
        return
    with path.open("rb") as newest, replacing(path.with_name(f"step-{step:08d}.pt")) as file:
        shutil.copyfileobj(newest, file)
    for old in sorted(path.parent.glob("step-*.pt"))[:-count]:
        old.unlink()


def load(path: Path, recipe: Recipe) -> tuple[Progress, dict[str, Any]]:
    """Read a checkpoint back. If what is validated has changed since, nothing counts as the best so far.

    The states hold also the ``name`` that the recipe had.

    Raises:
        CheckpointError: if it is damaged, or was made by a recipe that trains something else.
    """
    recipe_then, progress, states = _read(path)
    before, now = _completed(recipe_then), recipe.to_table()
    differences = _differences(before, now)
    if differences:
        raise CheckpointError(
            f"{path} was made by a recipe that differs in {', '.join(differences)}",
            "Use that recipe, another run folder, or --fresh",
        )
    if _judged(before) != _judged(now):
        progress.best, progress.since = float("-inf"), 0
    return progress, {**states, "name": before.get("name", recipe.name)}


def _read(path: Path) -> tuple[dict[str, Any], Progress, dict[str, Any]]:
    """The recipe, the progress and the states in a file."""
    try:
        states = torch.load(path, map_location="cpu", weights_only=True)
    except (*_DAMAGED, OSError) as error:
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {_in_short(path, error)}", _instead(path)) from None
    try:
        recipe, progress = dict(states.pop("recipe")), Progress(**states.pop("progress"))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path} is not a checkpoint of a training", _instead(path)) from None
    return recipe, progress, states


_DAMAGED = (RuntimeError, EOFError, pickle.UnpicklingError, ValueError, LookupError, TypeError, AttributeError)
"""What PyTorch says of files that are not what they should be."""


def _in_short(path: Path, error: Exception) -> str:
    """The first sentence of an error: PyTorch goes on for many lines."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if path.stat().st_size == 0:
        return "it is empty"
    return " ".join(str(error).split()).partition(". ")[0].removesuffix(".") or type(error).__name__


def _instead(path: Path) -> str:
    """What to do where a checkpoint is of no use: take the newest that was kept, if there is one."""
    kept = [old for old in sorted(path.parent.glob("step-*.pt")) if old != path]
    return f"Copy {kept[-1]} over it, or start again with --fresh" if kept else "Start again with --fresh"


def unfit(path: Path, error: Exception) -> CheckpointError:
    """What to say of a checkpoint whose states are not those of the recipe's network."""
    return CheckpointError(f"{path} does not fit the recipe: {' '.join(str(error).split())}", _instead(path))


def _completed(table: dict[str, Any]) -> dict[str, Any]:
    """A recipe as it was stored, with the defaults of settings that there have been only since."""
    try:
        return from_table(Recipe, table, "the checkpoint's recipe").to_table()
    except RestoreKitError:  # of another version, then: what differs is told as it stands
        return table


_OF_NO_ACCOUNT = {
    "name",
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
