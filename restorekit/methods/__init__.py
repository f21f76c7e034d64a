"""The methods, one package each. A package under this folder that defines ``METHOD`` is a method; there is no list to keep."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from restorekit.errors import UnknownNameError
from restorekit.methods.base import Batch, Lesson, Maps, Method, Objective, Paper, Prediction, Tiling

__all__ = [
    "Batch",
    "Lesson",
    "Maps",
    "Method",
    "Objective",
    "Paper",
    "Prediction",
    "Tiling",
    "get_method",
    "list_methods",
    "self_taught",
]


@cache
def _registry() -> dict[str, Method[Any]]:
    packages = [m.name for m in pkgutil.iter_modules(__path__) if m.ispkg]
    modules = (importlib.import_module(f"{__name__}.{name}") for name in packages)
    return {module.METHOD.name: module.METHOD for module in modules if hasattr(module, "METHOD")}


def list_methods() -> list[str]:
    """The names of all methods, sorted."""
    return sorted(_registry())


def get_method(name: str, where: str = "") -> Method[Any]:
    """The method called ``name``; :class:`~restorekit.errors.UnknownNameError` names the nearest if there is none."""
    try:
        return _registry()[name]
    except KeyError:
        raise UnknownNameError("method", name, list_methods(), where) from None


def self_taught(task: str) -> list[str]:
    """The names of the methods that learn a task from the inputs alone, see :attr:`Method.alone`; empty where none does."""
    return [name for name in list_methods() if task in get_method(name).alone]
