"""Folders of frames: those of one video are not mixed with those of another, nor with its own of before it became shorter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from restorekit.errors import ImageError
from restorekit.inference.inputs import Job
from restorekit.inference.journal import Journal, Making


@dataclass(frozen=True)
class Film:
    """A video whose frames go to a folder.

    Attributes:
        path: its file.
        jobs: its frames, from the first to the last.
        folder: where their results go.
        journal: what remembers them.
        making: what they are made of.
    """

    path: Path
    jobs: tuple[Job, ...]
    folder: Path
    journal: Journal
    making: Making

    def refusal(self) -> ImageError | None:
        """Why its frames cannot go to the folder: others stand in their places, and beside those it would be a mixture."""
        targets = [job.target for job in self.jobs if job.target]
        others = [target for target in targets if self.journal.is_anothers(target, self.making)]
        if not others:
            return None
        return ImageError(
            f"{self.folder} already holds {_listed(others)} of something else than {self.path}",
            "Name another folder with -o, or add --overwrite to replace them",
        )

    def sweep(self) -> list[str]:
        """Remove the results of frames that it no longer has, unless they were changed since.

        Returns:
            a line on what was removed, and one on what else has numbers that its further frames would have.
        """
        gone: list[Path] = []
        others: list[Path] = []
        for path in self._beyond():
            state = self.journal.state(path, self.making)
            if state == "stale":
                (gone if self._remove(path) else others).append(path)
            elif state == "foreign":
                others.append(path)
        lines = []
        if gone:
            lines.append(f"{self.folder}: removed {_listed(gone)}, which {self.path} had before it became shorter")
        if others:
            lines.append(f"{self.folder} also holds {_listed(others)}, not of {self.path} as it is now; left as found")
        return lines

    def _beyond(self) -> list[Path]:
        """Files in the folder with the numbers that frames after the last one would have."""
        suffix = self.jobs[0].target.suffix if self.jobs[0].target else ""
        named = [path for path in self.folder.glob(f"*{suffix}") if re.fullmatch(r"[0-9]{6,}", path.stem)]
        return sorted((path for path in named if int(path.stem) > len(self.jobs)), key=lambda path: int(path.stem))

    def _remove(self, path: Path) -> bool:
        try:
            for beside in self.folder.glob(f"{path.stem}.*"):
                if beside != path and self.journal.wrote(path, beside):
                    beside.unlink()
            path.unlink()  # last: while it stands, the next run sees what is left to do
        except OSError:
            return False
        return True


def films_of(jobs: Iterable[Job], journals: Mapping[Path, Journal], settings: Mapping[str, Any]) -> list[Film]:
    """The videos among the sources of a plan's jobs, but those that cannot be looked at."""
    films = []
    for source, group in groupby(jobs, lambda job: None if job.frame is None else job.source):
        frames = tuple(group)
        first = frames[0]
        if source is None or first.home is None or first.target is None:
            continue
        if making := Making.of(source, settings, first.home):
            films.append(Film(source, frames, first.target.parent, journals[first.home], making))
    return films


def _listed(paths: Sequence[Path]) -> str:
    """``000004.png``, or ``3 frames from 000004.png to 000006.png``."""
    return paths[0].name if len(paths) == 1 else f"{len(paths)} frames from {paths[0].name} to {paths[-1].name}"
