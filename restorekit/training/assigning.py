"""What ``--set`` does to the table of a recipe before it is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods import get_method, list_methods
from restorekit.settings import override

_TOP = ("name", "method", "preset")
"""Keys of a recipe that stand in no section."""

_SECTIONS = ("config", "objective", "data", "degradation", "train", "report", "card")

_SOURCES = (("clean",), ("pairs",), ("noisy", "denoiser"), ("videos", "corridors"))
"""Keys of ``[data]`` that name what is trained on: those of one group exclude those of the others."""

_VALIDATIONS = (("validation",), ("validation_pairs",), ("validation_depth",), ("held_back",))
"""Likewise what is validated on."""

_OF_THE_DATA = ("data", "licence", "default_for", "contends_for")
"""What ``[card]`` says that holds for weights from the recipe's own data only."""


def assign(table: Mapping[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of a recipe's table with ``"section.key=value"`` assignments applied.

    Data that is named takes the place of the recipe's, ``pairs`` of its ``clean`` say, and what the card tells of the recipe's
    data goes with it. What is assigned itself stays.

    Raises:
        SettingError: for what is no assignment.
    """
    result = override(dict(table), assignments)
    assigned = set(map(key_of, assignments))
    data = _table(result, "data")
    for groups in (_SOURCES, _VALIDATIONS):
        named = [group for group in groups if any(data.get(key) and f"data.{key}" in assigned for key in group)]
        if named:
            _forget(result, "data", (key for group in groups if group not in named for key in group), assigned)
    if assigned & {f"data.{key}" for group in _SOURCES for key in group}:
        _forget(result, "card", _OF_THE_DATA, assigned)
    return result


def _forget(table: dict[str, Any], section: str, keys: Iterable[str], assigned: set[str]) -> None:
    """Leave keys of a section out that were not assigned."""
    for key in keys:
        if f"{section}.{key}" not in assigned:
            _table(table, section).pop(key, None)


def _table(table: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A section; empty if it is missing, or no section, which whoever reads the recipe will tell."""
    found = table.get(section)
    return found if isinstance(found, dict) else {}


def in_full(assignments: Sequence[str], table: Mapping[str, Any], sections: Mapping[str, type], where: str) -> list[str]:
    """``"steps=30"`` as ``"train.steps=30"``, where only one section has such a key; those of ``sections`` come first.

    Args:
        assignments: of the form ``"key=value"`` or ``"section.key=value"``.
        table: the recipe's.
        sections: the sections that are dataclasses, by name; of the others those keys are known that the method's configuration
            has, and that stand in the table.
        where: what to call the recipe in messages.

    Raises:
        UnknownNameError: for a key without a section that no section is known to have.
        SettingError: for one that several have, and for what is no assignment.
    """
    typed = _owners({name: _fields(kind) for name, kind in sections.items()})
    owners = _owners(_open_sections(table)) | typed  # train.patch comes before a patch of the configuration
    return [_in_full(assignment, owners, where) for assignment in assignments]


def _owners(sections: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """The sections that have each key."""
    found: dict[str, list[str]] = {}
    for section, keys in sections.items():
        for key in keys:
            found.setdefault(key, []).append(section)
    return found


def _open_sections(table: Mapping[str, Any]) -> dict[str, set[str]]:
    """The keys of the sections whose meaning depends on the method and the degradation, as far as they are known."""
    found = {name: set(_table(table, name)) for name in ("config", "objective", "degradation")}
    if (method := table.get("method")) in list_methods():
        found["config"] |= _fields(get_method(method).config_type)
    return found


def _in_full(assignment: str, owners: Mapping[str, Sequence[str]], where: str) -> str:
    key, value = key_of(assignment), assignment.partition("=")[2].strip()
    if "." in key or not value or key in _TOP or (key in _SECTIONS and value.startswith("{")):
        return assignment
    sections = owners.get(key, ())
    if len(sections) > 1:
        names = " or ".join(f"{section}.{key}" for section in sections)
        raise SettingError(f"{where}: several sections have a key '{key}'", f"Write {names}")
    if not sections:
        raise UnknownNameError("key", key, {*owners, *_TOP}, where)
    return f"{sections[0]}.{assignment}"


def key_of(assignment: str) -> str:
    """What an assignment is to, as recipes spell it."""
    return assignment.partition("=")[0].strip().replace("-", "_")


def _fields(kind: type) -> set[str]:
    return {field.name for field in fields(kind)}
