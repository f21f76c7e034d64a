"""Photographs for training and validation."""

from restorekit.data.clean import CleanPhotographs, find_images, load_rgb
from restorekit.data.held_back import HeldBack
from restorekit.data.layouts import LAYOUTS, Layout, get_layout
from restorekit.data.noisy import NoisyBatches, noisy_photographs
from restorekit.data.pairs import PairedBatches, PairedSet
from restorekit.data.renoised import RenoisedBatches
from restorekit.data.synthetic import SyntheticBatches, SyntheticSet

__all__ = [
    "LAYOUTS",
    "CleanPhotographs",
    "HeldBack",
    "Layout",
    "NoisyBatches",
    "PairedBatches",
    "PairedSet",
    "RenoisedBatches",
    "SyntheticBatches",
    "SyntheticSet",
    "find_images",
    "get_layout",
    "load_rgb",
    "noisy_photographs",
]
