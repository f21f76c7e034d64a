"""The zoo: one TOML card a released model, and its weights as safetensors.

Cards are found, read and listed without torch; only :func:`load_network`, :func:`write_card` and :func:`import_checkpoint` import
it.
"""

from restorekit.zoo.card import Card, MemoryEntry, Score, SpeedEntry, WeightsEntry, read_card
from restorekit.zoo.find import contenders, default_card, list_cards, list_models, list_templates, load_card
from restorekit.zoo.importing import import_checkpoint
from restorekit.zoo.weights import load_network, write_card

__all__ = [
    "Card",
    "MemoryEntry",
    "Score",
    "SpeedEntry",
    "WeightsEntry",
    "contenders",
    "default_card",
    "import_checkpoint",
    "list_cards",
    "list_models",
    "list_templates",
    "load_card",
    "load_network",
    "read_card",
    "write_card",
]
