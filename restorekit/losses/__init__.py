"""Functions of tensors that losses are made of; none knows a paper's network."""

from restorekit.losses.charbonnier import charbonnier
from restorekit.losses.decibels import decibels
from restorekit.losses.laplacian import laplacian
from restorekit.losses.structural import dssim
from restorekit.losses.total_variation import squared_variation

__all__ = ["charbonnier", "decibels", "dssim", "laplacian", "squared_variation"]
