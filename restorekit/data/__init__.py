"""Photographs for training and validation."""

from restorekit.data.clean import CleanPhotographs, find_images
from restorekit.data.synthetic import SyntheticBatches, SyntheticSet

__all__ = ["CleanPhotographs", "SyntheticBatches", "SyntheticSet", "find_images"]
