"""Weights that libraries fetch through torch.hub: used if they are on this machine, and never downloaded from here."""

from __future__ import annotations

from pathlib import Path

import torch

from restorekit.errors import DataError


def hub_file(url: str) -> Path:
    """Where torch.hub keeps what it fetches from ``url``, whether it is there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def require_file(path: Path, fetch: str) -> None:
    """Raise ``DataError`` if ``path`` is not there, naming the call that fetches it."""
    if not path.is_file():
        raise DataError(
            f"the weights {path.name} are not on this machine", f"Fetch them once with {fetch}, or put them at {path}"
        )
