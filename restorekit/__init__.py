"""RestoreKit: image restoration with weights included.

::

    import restorekit

    result = restorekit.restore("photo.jpg")              # deblurs with the default model
    restorer = restorekit.Restorer.from_card("path/to/card.toml", device="cuda")
    sharp = restorer("photo.jpg", strength=0.8).image

Names are imported when they are first used, so that ``import restorekit`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restorekit.evaluation import evaluate
    from restorekit.inference import Restorer, restore
    from restorekit.zoo import list_models, load_card

__all__ = ["Restorer", "__version__", "evaluate", "list_models", "load_card", "restore"]

__version__ = "0.1.0"

_HOMES = {
    "Restorer": "restorekit.inference",
    "evaluate": "restorekit.evaluation",
    "list_models": "restorekit.zoo",
    "load_card": "restorekit.zoo",
    "restore": "restorekit.inference",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
