"""The folder of a run: made and tried before anything else is done, held by one run at a time, and cleared for a fresh one."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from lightning_fabric import Fabric

from restorekit.errors import CheckpointError, RestoreKitError
from restorekit.images.atomic import TEMPORARY_SUFFIX, remove_unfinished
from restorekit.images.locks import lock
from restorekit.training import checkpoint

CHECKPOINTS = "checkpoints"
"""Where in a run folder its checkpoints lie."""

LOCK = ".restorekit.lock"
"""The file in a run folder that the process that trains there has locked. The lock ends with the process, the file stays."""

_OF_DISKS = (*checkpoint.FULL, errno.EROFS, errno.EIO)


@contextmanager
def holding(folder: Path, fabric: Fabric) -> Iterator[None]:
    """The run folder, made if it is missing, for the processes of ``fabric`` alone: the first one holds it for all.

    What a killed process left half-written in it is removed. If the run fails before it has left anything, a folder that was made
    goes too.

    Raises:
        CheckpointError: if the folder cannot be made or written to; in all processes.
        RestoreKitError: if another run holds it; in all processes.
    """
    with ExitStack() as stack:
        refusal: RestoreKitError | None = None
        if fabric.is_global_zero:
            try:
                stack.enter_context(_held(folder))
            except RestoreKitError as error:
                refusal = error
        if (refusal := fabric.broadcast(refusal)) is not None:  # the others must not wait for one that has gone
            raise refusal
        yield


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    made = [place for place in (folder / CHECKPOINTS, folder, *folder.parents) if not os.path.lexists(place)]
    with _opened(folder) as file:
        if lock(file) == "taken":
            raise RestoreKitError(f"{folder} is being trained by another process", "Wait for its end, or name another folder")
        for place in (folder, folder / CHECKPOINTS):
            remove_unfinished(place)
        try:
            yield
        except BaseException:
            _remove_what_is_empty(folder, made)
            raise


def _opened(folder: Path) -> BinaryIO:
    """The file to lock, in a folder that is there and can be written to."""
    try:
        for place in (folder, folder / CHECKPOINTS):
            place.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=place):
                pass
        return (folder / LOCK).open("ab")
    except FileExistsError as error:
        raise CheckpointError(f"{error.filename} is not a folder", "Name another folder for the run") from None
    except OSError as error:
        problem = f"{folder} cannot be the folder of a run: {error.strerror}"
        raise CheckpointError(problem, "Check its permissions, or name another folder") from None


def _remove_what_is_empty(folder: Path, made: list[Path]) -> None:
    with suppress(OSError):
        if folder in made and {path.name for path in folder.iterdir()} <= {LOCK, CHECKPOINTS}:
            (folder / CHECKPOINTS).rmdir()
            (folder / LOCK).unlink()
    for place in made:
        with suppress(OSError):
            place.rmdir()


def clear(folder: Path, name: str) -> None:
    """Remove what a run called ``name`` left, all but its curves: checkpoints, card, weights, recipe and sample pictures."""
    checkpoint.discard(folder / CHECKPOINTS / "last.pt")
    for ending in (".toml", ".safetensors", ".recipe.toml"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)
    for pictures in (folder / "samples").glob("step-*"):
        shutil.rmtree(pictures)


def as_told(folder: Path, error: OSError) -> CheckpointError | None:
    """What to say of an error of the system if it is about the run folder; None if it is about something else."""
    file = Path(os.fsdecode(error.filename)) if isinstance(error.filename, (str, bytes)) else None
    inside = file is not None and file.absolute().is_relative_to(folder.absolute())
    if not inside and error.errno not in _OF_DISKS:
        return None
    named = file if file is not None and inside and not file.name.endswith(TEMPORARY_SUFFIX) else folder
    return checkpoint.cannot_go_on(named, error)
