"""Metrics that look at an image alone: BRISQUE, as piq computes it.

piq brings the statistics, and fetches the support vectors they are weighed with when they are first wanted. They are used if they
are on this machine, and are never downloaded from here.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.errors import DataError, SettingError, UsageError
from restorekit.metrics.hub import hub_file, require_file

_URL = "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"
_FEATURES = 36
MINIMUM = 14
"""The smallest side that leaves one whole window of 7 pixels at half size."""


def brisque_file() -> Path:
    """Where torch.hub keeps the support vectors on this machine, whether they are there or not."""
    return hub_file(_URL)


def require_brisque() -> None:
    """Do nothing if piq is installed and its support vectors are there.

    piq reads them with pickle, which may run what a file tells it to. So they are first read without that right: what comes
    through holds tensors only.

    Raises:
        SettingError: if piq is not installed.
        DataError: if the support vectors are missing, or are something else.
    """
    _piq()
    path = brisque_file()
    require_file(path, f"torch.hub.load_state_dict_from_url('{_URL}', weights_only=True)")
    try:
        weights, vectors = torch.load(path, map_location="cpu", weights_only=True)
        whole = vectors.shape == (weights.numel(), _FEATURES)
    except Exception:  # on hostile data it raises everything there is
        whole = False
    if not whole:
        raise DataError(f"{path} does not hold the support vectors of BRISQUE", "Fetch it again")


def brisque(image: Tensor) -> Tensor:
    """BRISQUE of each image of a batch (Mittal, Moorthy and Bovik 2012): how far the statistics of its luma, at full and at half
    size, are from those of undisturbed photographs. About 0 to 100, lower is better.

    Args:
        image: ``(B, 3, H, W)`` in [0, 1], H and W at least 14.

    Returns:
        ``(B,)``.

    Raises:
        UsageError: for other shapes.
        SettingError: if piq is not installed.
        DataError: if its support vectors cannot be had, or an image is flat and so has no statistics.
    """
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[2:]) < MINIMUM:
        raise UsageError(
            f"BRISQUE cannot be taken of the shape {tuple(image.shape)}", f"Give (B, 3, H, W) of at least {MINIMUM} x {MINIMUM}"
        )
    require_brisque()
    return torch.cat([_one(x[None]) for x in image.float().clamp(0, 1)])


@torch.no_grad()
def _one(image: Tensor) -> Tensor:
    try:
        score: Tensor = _piq().brisque(image, reduction="none").reshape(1)
    except AssertionError:  # what piq says to an image without contrasts
        score = image.new_tensor([torch.nan])
    if not bool(score.isfinite()):
        raise DataError("a flat image has no BRISQUE", "Leave it out")
    return score


def _piq() -> Any:
    try:
        return import_module("piq")
    except ModuleNotFoundError:
        raise SettingError("BRISQUE needs piq", "Install it: pip install piq") from None
