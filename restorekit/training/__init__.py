"""``restorekit train``: a recipe becomes weights and a card."""

from restorekit.training.loop import Hardware, Outlook, rehearse, train
from restorekit.training.recipe import Recipe, load_recipe

__all__ = ["Hardware", "Outlook", "Recipe", "load_recipe", "rehearse", "train"]
