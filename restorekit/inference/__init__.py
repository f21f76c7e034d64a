"""The engine: a network, an image of any size, and the memory there is. Importing it does not import torch."""

from restorekit.inference.contest import Contest, change_by, taken_off_by
from restorekit.inference.restorer import Picture, Progress, Restorer
from restorekit.inference.restoring import restore
from restorekit.inference.result import SPREAD_FULL_SCALE, Restoration, Run

__all__ = [
    "SPREAD_FULL_SCALE",
    "Contest",
    "Picture",
    "Progress",
    "Restoration",
    "Restorer",
    "Run",
    "change_by",
    "restore",
    "taken_off_by",
]
