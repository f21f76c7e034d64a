"""What keys and shapes of a checkpoint tell: the parts that several methods' ``config_from_state_dict`` have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, NoReturn

from restorekit.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor


def refuse(network: str, problem: str) -> NoReturn:
    """Raise the :class:`~restorekit.errors.CheckpointError` that says why a checkpoint is none of ``network``."""
    raise CheckpointError(f"this is no {network} checkpoint: {problem}", "Check which method the file belongs to")


def require_keys(network: str, wanted: Iterable[str], state: Mapping[str, Tensor]) -> None:
    """:func:`refuse` a checkpoint that lacks any of the ``wanted`` keys, naming the first ten."""
    missing = [key for key in wanted if key not in state]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        refuse(network, f"{', '.join(missing[:10])}{more} {'is' if len(missing) == 1 else 'are'} missing")


def count_numbered(state: Mapping[str, Tensor], key: str) -> int:
    """How many of ``key.format(0)``, ``key.format(1)``... there are before the first that is not."""
    count = 0
    while key.format(count) in state:
        count += 1
    return count


def expansion_factor(channels: Sequence[int], hidden: Sequence[int], published: float) -> float:
    """The ``ffn_expansion_factor`` that gives these hidden channels at all levels: ``published`` if it does, else the shortest
    decimal.

    Raises:
        ValueError: if none does.
    """
    least = max(h / c for c, h in zip(channels, hidden, strict=True))
    candidates = (published, *(ceil(round(least * 10**digits, 6)) / 10**digits for digits in range(7)))
    for factor in candidates:
        if all(int(c * factor) == h for c, h in zip(channels, hidden, strict=True)):
            return factor
    raise ValueError(f"hidden channels {list(hidden)} of the levels follow from no one ffn_expansion_factor")
