"""Configuration is data: TOML tables become frozen dataclasses, and what does not fit is refused with the nearest name.

Recipes, cards and method configurations all pass through :func:`from_table`, so a misspelt key gets the same clear answer
everywhere.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from restorekit.errors import SettingError, UnknownNameError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover
    import tomli as tomllib

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file; :class:`SettingError` names the file and line if it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))  # Notepad and PowerShell begin a file with a mark
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist", "Check the path") from None
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} is not valid TOML: {error}", "Name a recipe or a card, saved as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingError(f"{path} is not valid TOML: {error}", "Correct that line") from None
    except OSError as error:
        raise SettingError(f"{path} cannot be read: {error.strerror}", "Check the path and its permissions") from None


def from_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build the dataclass ``kind`` from a TOML table, field by field, nested dataclasses included.

    Args:
        kind: a dataclass whose annotations are plain types, ``X | None``, ``tuple[X, ...]``, ``Literal``, ``dict`` or
            dataclasses.
        table: keys and values as TOML gives them. Dashes in keys count as underscores.
        where: what to call the table in messages, for example ``"recipe.toml [train]"``.

    Raises:
        UnknownNameError: for a key that ``kind`` does not have.
        SettingError: for a missing key or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in fields or not fields[name].init:
            raise UnknownNameError("key", key, fields, where)
        values[name] = _convert(hints[name], value, f"{where} {key}")
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise SettingError(f"{where} lacks the key '{name}'", f"Add {name} = ...")
    try:
        return kind(**values)
    except ValueError as error:
        raise SettingError(f"{where}: {error}") from None


def to_table(value: Any) -> Any:
    """The inverse of :func:`from_table`: plain TOML values, with keys whose value is None left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value) if f.init)
        return {name: to_table(v) for name, v in pairs if v is not None}
    if isinstance(value, Mapping):
        return {str(k): to_table(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [to_table(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def override(table: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of ``table`` with ``"section.key=value"`` assignments applied; the value is read as TOML, else taken as a string."""
    result = _deep_copy(table)
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path.strip():
            raise SettingError(f"'{assignment}' is not of the form key=value", "Write for example train.steps=2000")
        *sections, key = (part.strip() for part in path.split("."))
        target = result
        for section in sections:
            target = target.setdefault(section, {})
            if not isinstance(target, dict):
                raise SettingError(f"'{path}' passes through '{section}', which is a value, not a section")
        target[key] = _parse_value(text.strip())
    return result


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _deep_copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _deep_copy(v) for k, v in value.items()}
    return list(value) if isinstance(value, list) else value


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union([a for a in args if a is not type(None)], value, where)
    if origin is Literal:
        if value not in args:
            raise UnknownNameError("value", str(value), [str(a) for a in args], where)
        return value
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _mismatch("a table", value, where)
        return {k: _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise _mismatch("a table", value, where)
        return from_table(hint, value, where)  # type: ignore[arg-type]
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:  # bool is an int in Python; a recipe must not mistake one for the other
        raise _mismatch(getattr(hint, "__name__", str(hint)), value, where)
    return value


def _convert_union(kinds: list[Any], value: Any, where: str) -> Any:
    for kind in kinds:
        try:
            return _convert(kind, value, where)
        except UsageError:
            continue
    return _convert(kinds[0], value, where)


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _mismatch("a list", value, where)
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], v, where) for v in value)
    if len(args) != len(value):
        raise SettingError(f"{where} takes {len(args)} values, not {len(value)}")
    return tuple(_convert(a, v, where) for a, v in zip(args, value, strict=True))


def _mismatch(wanted: str, value: Any, where: str) -> SettingError:
    names = {"str": "text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    return SettingError(f"{where} must be {names.get(wanted, wanted)}, not {value!r}")
