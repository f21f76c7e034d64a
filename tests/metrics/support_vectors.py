"""What stands in for piq's weights of BRISQUE, which are not on every machine."""

from __future__ import annotations

from pathlib import Path

import torch

from restorekit.metrics import brisque_file


def write_support_vectors(folder: Path, weight: float = -100.0) -> None:
    """One support vector, all 0, in a folder where torch.hub keeps weights."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save((torch.full((1,), weight), torch.zeros(1, 36)), folder / brisque_file().name)
