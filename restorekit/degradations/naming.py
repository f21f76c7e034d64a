"""Degradations by their names, and what signs between names mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from restorekit.degradations.base import Degradation, Kind
from restorekit.degradations.composition import Alternatives, Composition, Kept
from restorekit.degradations.haze import Haze
from restorekit.degradations.lowlight import LowLight
from restorekit.degradations.motion import MotionBlur
from restorekit.degradations.noise import Noise
from restorekit.degradations.rain import Rain
from restorekit.degradations.raindrop import Raindrop
from restorekit.degradations.reflection import Reflection
from restorekit.degradations.snow import Snow
from restorekit.degradations.untouched import Untouched
from restorekit.errors import SettingError, UnknownNameError
from restorekit.settings import from_table, to_table

DEGRADATIONS: dict[str, Kind] = {
    "haze": Haze,
    "lowlight": LowLight,
    "motion": MotionBlur,
    "noise": Noise,
    "rain": Rain,
    "raindrop": Raindrop,
    "reflection": Reflection,
    "snow": Snow,
    "untouched": Untouched,
}
"""Degradations by the name recipes and ``restorekit degrade --kind`` know them by."""


def get_degradation(name: str, settings: Mapping[str, Any], *, whole: bool = False) -> Degradation:
    """The degradation called ``name``, with the settings of a recipe's ``[degradation]`` table.

    Args:
        name: a key of :data:`DEGRADATIONS`, or several joined by ``+``, such as ``"rain+haze"``: they happen from left to right,
            and only the last has the camera's noise and file in it, unless that is set. What stands before a ``>``, as in
            ``"motion > reflection"``, has happened to the targets too. Of names divided by ``|``, such as
            ``"rain+haze | snow"``, each batch has one.
        settings: what differs from the defaults; for several, a table for each by its name.
        whole: for whole photographs that are to be compared with themselves: start from the degradation's ``whole`` settings.

    Raises:
        UnknownNameError: for a name or a key that does not exist.
        SettingError: for a value that cannot be.
    """
    choices = [choice.strip() for choice in name.split("|")]
    if len(choices) == 1:
        return _stage(name, settings, whole)
    _check_tables(settings, [part for choice in choices for part in _parts(choice)])
    return Alternatives([_stage(choice, _tables_of(choice, settings), whole) for choice in choices])


def _parts(name: str) -> list[str]:
    return [part.strip() for part in name.replace(">", "+").split("+")]


def _tables_of(choice: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """What of the tables of all choices is for this one."""
    names = _parts(choice)
    tables: dict[str, Any] = {name: settings[name] for name in names if name in settings}
    return tables if len(names) > 1 else tables.get(names[0], {})


def _stage(name: str, settings: Mapping[str, Any], whole: bool) -> Degradation:
    """One choice: what is to be undone, after what is not, if there is a ``>``."""
    before, arrow, then = name.rpartition(">")
    if not arrow:
        return _compose(name, settings, whole)
    if ">" in before:
        raise SettingError(f"[degradation] {name} has more than one >", "What is not to be undone is joined by +")
    _check_tables(settings, _parts(name))
    return Kept(
        _compose(before, _tables_of(before, settings), whole, last=False), _compose(then, _tables_of(then, settings), whole)
    )


def _check_tables(settings: Mapping[str, Any], names: Sequence[str]) -> None:
    for key, table in settings.items():
        if key not in names:
            raise UnknownNameError("key", key, names, "[degradation]")
        if not isinstance(table, Mapping):
            raise SettingError(f"[degradation] {key} must be a table, not {table!r}", f"Write for example {key}.sensor = ...")


def _compose(name: str, settings: Mapping[str, Any], whole: bool, *, last: bool = True) -> Degradation:
    """Names joined by ``+``; if they are the last that happens, the last of them is taken by a camera."""
    names = _parts(name)
    for part in names:
        if part not in DEGRADATIONS:
            raise UnknownNameError("degradation", part, DEGRADATIONS)
    if len(names) == 1:
        return _make(names[0], settings, {} if last else DEGRADATIONS[names[0]].part, "[degradation]", whole)
    _check_tables(settings, names)
    parts = []
    for place, part in enumerate(names):
        start = {} if last and place == len(names) - 1 else DEGRADATIONS[part].part
        parts.append(_make(part, settings.get(part, {}), start, f"[degradation.{part}]", whole))
    return Composition(parts)


def _make(name: str, settings: Mapping[str, Any], start: Mapping[str, Any], where: str, whole: bool) -> Degradation:
    kind = DEGRADATIONS[name]
    table: Mapping[str, Any] = to_table(kind.settings_type())
    for layer in (kind.whole if whole else {}, start, settings):
        table = _merged(table, layer)
    return kind(from_table(kind.settings_type, table, where))


def _merged(table: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """``table`` with what ``layer`` says; of tables in it, too, what is not said stays."""
    inner = {
        key: _merged(table[key], value) if isinstance(value, Mapping) and isinstance(table.get(key), Mapping) else value
        for key, value in layer.items()
    }
    return {**table, **inner}
