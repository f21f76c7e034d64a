"""``restorekit train``: a recipe becomes weights and a card."""

from restorekit.training.loop import train
from restorekit.training.recipe import Recipe, load_recipe

__all__ = ["Recipe", "load_recipe", "train"]
