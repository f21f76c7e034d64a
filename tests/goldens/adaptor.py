"""What a method adds to the harness: how its goldens are answered by our code.

A module under ``tests/goldens/adaptors`` with two names is an adaptor, and there is no list to keep:

* ``MODELS``: the values of a golden's ``model`` that it answers;
* ``adapt(golden) -> Case``: our code for this golden, or :class:`NotBuiltError`. It looks at ``config``, ``inputs`` and
  ``outputs`` only.

A network, a module alone, a loss, a metric and an image synthesis are all the same here: parts to be filled (or none) and a
function from named inputs to named outputs.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from tests.goldens import adaptors
from tests.goldens.golden import Golden

Value = Tensor | np.ndarray[Any, Any] | float
State = dict[str, Tensor]


class NotBuiltError(Exception):
    """What a golden asks for that does not exist (yet), for example ``"network MHRestormer"``."""


@dataclass(frozen=True)
class Case:
    """Our answer to a golden.

    Attributes:
        title: what is checked, for the report: ``"network NAFNet"``, ``"losses"``.
        run: named inputs to named outputs, called once, in eval mode, under ``torch.no_grad`` (a gradient needs
            ``torch.enable_grad``) and in the golden's precision. May give more names than the golden has.
        parts: networks to be filled, each with the prefix its keys have in the golden. The recipe sees keys without the prefix.
        constant: endings of keys of floating-point buffers that stay as the network builds them.
        convert: the golden's state dict to ours, where the keys or shapes differ by design.
        optional: outputs that need not be given.
    """

    title: str
    run: Callable[[Mapping[str, Tensor]], Mapping[str, Value]]
    parts: tuple[tuple[str, nn.Module], ...] = ()
    constant: tuple[str, ...] = ()
    convert: Callable[[State], State] | None = None
    optional: frozenset[str] = frozenset()


class Adaptor(Protocol):
    """An adaptor module."""

    MODELS: tuple[str, ...]

    @staticmethod
    def adapt(golden: Golden) -> Case: ...


@cache
def known_models() -> Mapping[str, Adaptor]:
    """The adaptor of each model any adaptor answers for."""
    modules: Iterator[Any] = (
        importlib.import_module(f"{adaptors.__name__}.{info.name}") for info in pkgutil.iter_modules(adaptors.__path__)
    )
    return {model: module for module in modules for model in module.MODELS}


def find_case(golden: Golden) -> Case:
    """Our answer to ``golden``, its networks built but not filled; :class:`NotBuiltError` if there is none."""
    adaptor = known_models().get(golden.model)
    if adaptor is None:
        raise NotBuiltError(f"model '{golden.model}'")
    with without_initialisation():
        return adaptor.adapt(golden)


@contextmanager
def without_initialisation() -> Iterator[None]:
    """Networks built inside keep whatever their parameters' memory holds, as the recipe overwrites all of it anyway."""
    names = ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_")
    originals = {name: getattr(nn.init, name) for name in names}

    def leave(tensor: Tensor, *_: Any, **__: Any) -> Tensor:
        return tensor

    try:
        for name in names:
            setattr(nn.init, name, leave)
        yield
    finally:
        for name, original in originals.items():
            setattr(nn.init, name, original)
