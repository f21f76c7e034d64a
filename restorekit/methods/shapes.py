"""What keys and shapes of a checkpoint tell: the parts that several methods' ``config_from_state_dict`` have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING, NoReturn

from restorekit.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAMED = 10
"""How many keys a message names."""


def refuse(network: str, problem: str) -> NoReturn:
    """Raise the :class:`~restorekit.errors.CheckpointError` that says why a checkpoint is none of ``network``."""
    raise CheckpointError(f"this is no {network} checkpoint: {problem}", "Check which method the file belongs to") from None


def require_keys(network: str, wanted: Iterable[str], state: Mapping[str, Tensor]) -> None:
    """:func:`refuse` a checkpoint that lacks any of the ``wanted`` keys, naming the first ten."""
    missing = [key for key in wanted if key not in state]
    if missing:
        refuse(network, f"{_some(missing)} {_are(missing)} missing")


def require_fit(
    network: str, build: Callable[[], nn.Module], state: Mapping[str, Tensor], optional: str | None = None, closed: bool = False
) -> None:
    """:func:`refuse` a checkpoint that lacks keys of the network it seems to be of, or has them in other shapes.

    Args:
        network: what messages call it.
        build: makes it, with the hyper-parameters that were read off the checkpoint; it is given no memory.
        state: the checkpoint.
        optional: how those keys begin that may be missing.
        closed: whether it must have no keys besides.
    """
    import torch

    with torch.device("meta"):
        own = build().state_dict()
    require_keys(network, [key for key in own if optional is None or not key.startswith(optional)], state)
    if closed and (others := [key for key in state if key not in own]):
        refuse(network, f"{_some(others)} {_are(others)} in no such network")
    shapes = {key: (tuple(state[key].shape), tuple(value.shape)) for key, value in own.items() if key in state}
    wrong = [f"{key} {found} instead of {due}" for key, (found, due) in shapes.items() if found != due]
    if wrong:
        refuse(network, f"of another shape {_are(wrong)} {_some(wrong)}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def count_numbered(state: Mapping[str, Tensor], key: str, first: int = 0) -> int:
    """How many of ``key.format(first)``, ``key.format(first + 1)``... there are before the first that is not."""
    end = first
    while key.format(end) in state:
        end += 1
    return end - first


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
