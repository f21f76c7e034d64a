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
    for groups in (_SOURCES, _VALIDATIONS):
        _give_way(result.get("data"), groups, assigned)
    if assigned & {f"data.{key}" for group in _SOURCES for key in group}:
        _forget(result.get("card"), "card", _OF_THE_DATA, assigned)
    return result


def _give_way(data: Any, groups: Sequence[Sequence[str]], assigned: set[str]) -> None:
    """Of groups that exclude each other, leave out all but those that were assigned, if any was."""
    named = [group for group in groups if isinstance(data, dict) and any(data.get(k) and f"data.{k}" in assigned for k in group)]
    if named:
        _forget(data, "data", (key for group in groups if group not in named for key in group), assigned)


def _forget(table: Any, section: str, keys: Iterable[str], assigned: set[str]) -> None:
    for key in keys:
        if isinstance(table, dict) and f"{section}.{key}" not in assigned:
            table.pop(key, None)


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
    found = {name: set(values) for name in ("config", "objective", "degradation") if isinstance(values := table.get(name), dict)}
    method = table.get("method")
    if method in list_methods():
        found["config"] = found.get("config", set()) | _fields(get_method(method).config_type)
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
