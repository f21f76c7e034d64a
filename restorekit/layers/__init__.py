"""Blocks that several networks share; none of them knows a paper's network."""

from restorekit.layers.embedding import PatchEmbed
from restorekit.layers.norm import LayerNorm2d
from restorekit.layers.padding import crop_to, pad_to_multiple, reflect_to_multiple
from restorekit.layers.pooling import LocalMean2d, local_mean
from restorekit.layers.psf import convolve_circular, pad_to_square, transfer_function, unit_sum
from restorekit.layers.sampling import Downsample, Upsample
from restorekit.layers.similarity import similarity_terms

__all__ = [
    "Downsample",
    "LayerNorm2d",
    "LocalMean2d",
    "PatchEmbed",
    "Upsample",
    "convolve_circular",
    "crop_to",
    "local_mean",
    "pad_to_multiple",
    "pad_to_square",
    "reflect_to_multiple",
    "similarity_terms",
    "transfer_function",
    "unit_sum",
]
