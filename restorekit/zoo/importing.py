"""The way in for checkpoints of others: whose network they are is told from keys and shapes, then they become weights and a card.

What only one method's authors do lies with that method: :meth:`~restorekit.methods.Method.read_checkpoint`,
:meth:`~restorekit.methods.Method.convert_state_dict` and :meth:`~restorekit.methods.Method.config_from_state_dict`.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restorekit.errors import CheckpointError, UsageError
from restorekit.methods import Method, get_method, list_methods
from restorekit.settings import from_table, override, to_table
from restorekit.zoo.card import Card, read_card
from restorekit.zoo.checkpoints import Found, find_state_dicts, read_tensors
from restorekit.zoo.weights import first, misfits, write_card

if TYPE_CHECKING:
    from torch import Tensor

_MOST_COMBINATIONS = 256  # of state dicts from several files; far more than any authors' files have
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a method may stumble over where tensors bear its names but have other shapes: then they are not its own."""

_CHECK = "Check that it is whole and of that method; a network in several files is imported from all of them together"
_UNKNOWN_LICENCE = "unknown: ask who published the weights"


@dataclass(frozen=True)
class Match:
    """A state dict that fits a method's network.

    Attributes:
        method: whose network it is.
        config: its hyper-parameters.
        state: the weights under our keys, all of them and no others.
        where: the names in the checkpoint that led to it, for example ``"params_ema"``.
    """

    method: Method[Any]
    config: Any
    state: dict[str, Tensor]
    where: str


def import_checkpoint(
    paths: Sequence[Path],
    target: Path | None = None,
    *,
    method: str | None = None,
    licence: str = "",
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> Card:
    """Make a card, with its weights beside it, of an authors' checkpoint. Nothing that is in the checkpoint is run.

    Args:
        paths: the file, or the files that belong together, such as an encoder's and a decoder's.
        target: the card to write, a ``.toml`` file; by default ``METHOD-NAME.toml`` in the working folder.
        method: whose network it is, where keys alone leave it open.
        licence: of the weights.
        settings: ``"key=value"`` for hyper-parameters that no key tells.
        overwrite: whether to replace what stands there.

    Raises:
        CheckpointError: if a file cannot be read safely, no method knows the keys, more than one does, or the weights do not fit.
        UsageError: for a target that cannot be right, or a setting the method does not have.
        UnknownNameError: for a method nobody knows.
        CardError: if the card cannot be written.
    """
    if not paths:
        raise UsageError("there is no checkpoint to import", "Name its file")
    if target is not None:
        _check_target(target, paths, overwrite)
    methods = [get_method(name) for name in ([method] if method else list_methods())]
    match = recognise(_told(_read(paths), settings), methods, " and ".join(map(str, paths)))
    config = match.config
    if settings:
        config = from_table(type(config), override(to_table(config), settings), "--set")
    if target is None:
        target = Path(_default_name(match.method.name, paths[0]) + ".toml")
        _check_target(target, paths, overwrite)
    names = [path.name.encode(errors="replace").decode() for path in paths]  # a name may not be UTF-8, a card is
    try:
        card = Card(
            name=target.stem,
            method=match.method.name,
            tasks=match.method.tasks,
            config=to_table(config),
            summary=f"Weights of {' and '.join(names)}",
            licence=licence or _UNKNOWN_LICENCE,
            training={
                "imported": names,
                **_entry(match),
                "sha256": [_checksum(part) for path in paths for part in _files(path) if part.is_file()],
            },
        )
    except ValueError as error:
        raise UsageError(f"{target} cannot be a card: {error}", "Name another file") from None
    return read_card(write_card(card, _proven(match.method, config, match.state), target.parent))


def recognise(candidates: Iterable[Found], methods: Sequence[Method[Any]], name: str = "the checkpoint") -> Match:
    """The first of the state dicts that is the network of a method, under that method's keys.

    Args:
        candidates: in the order in which they are preferred.
        methods: the methods that are asked, each of them about every candidate.
        name: what messages call the checkpoint.

    Raises:
        CheckpointError: if none fits, naming the nearest method and what it misses; or if one fits several methods.
    """
    reasons: dict[str, CheckpointError] = {}
    largest: Found | None = None
    for found in candidates:
        answers = [_ask(method, found) for method in methods]
        matches = [answer for answer in answers if isinstance(answer, Match)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            fitting = ", ".join(match.method.name for match in matches)
            raise CheckpointError(f"{name} fits more than one method: {fitting}", "Choose one with --method")
        if largest is None or len(found.tensors) >= len(largest.tensors):  # of as many, the one whose wrapping is off
            largest = found
            reasons = {m.name: answer for m, answer in zip(methods, answers, strict=True) if isinstance(answer, CheckpointError)}
    if largest is None:
        raise CheckpointError(f"{name} holds no weights that can be told by name", "Name the file that has the state dict")
    raise _unrecognised(name, largest, methods, reasons)


def _unrecognised(
    name: str, found: Found, methods: Sequence[Method[Any]], reasons: Mapping[str, CheckpointError]
) -> CheckpointError:
    keys = [f"{key} {tuple(value.shape)}" for key, value in found.tensors.items()]
    held = f"{len(keys)} tensors{f' under {found.where}' if found.where else ''}, such as {first(keys)}"
    nearest = _nearest(found, methods)
    if nearest is None:
        return CheckpointError(f"{name} is of no method known here: it holds {held}", f"Known are: {', '.join(list_methods())}")
    fitted = "the method" if len(methods) == 1 else "any method; nearest is"
    reason = reasons[nearest]
    return CheckpointError(f"{name} does not fit {fitted} {nearest}: {reason.problem}. It holds {held}", reason.remedy)


def _told(candidates: Iterable[Found], settings: Sequence[str]) -> list[Found]:
    """The state dicts with the whole numbers that the user gives, as if they stood in the file: others may follow from them, as
    dilations do from the size of images in training.
    """
    import torch

    given = {key: torch.tensor(value) for key, value in override({}, settings).items() if type(value) is int}
    return [Found(one.where, one.tensors, {**one.numbers, **given}) for one in candidates]


def _read(paths: Sequence[Path]) -> list[Found]:
    """The state dicts of one file; of several, one of each together, in all combinations that have no key twice."""
    each = [find_state_dicts(_content(path)) for path in paths]
    for path, found in zip(paths, each, strict=True):
        if not found and len(paths) > 1:
            raise CheckpointError(f"{path} holds no weights that can be told by name", "Leave it out")
    together = list(islice(product(*each), _MOST_COMBINATIONS))
    disjoint = [_merged(parts) for parts in together if _are_disjoint(parts)]
    if together and not disjoint:
        raise CheckpointError(f"{' and '.join(map(str, paths))} hold the same keys", "Import one at a time")
    return disjoint


def _content(path: Path) -> Any:
    for method in map(get_method, list_methods()):
        content = method.read_checkpoint(path)
        if content is not None:
            return content
    return read_tensors(path)


def _are_disjoint(parts: Sequence[Found]) -> bool:
    return len({key for part in parts for key in part.tensors}) == sum(len(part.tensors) for part in parts)


def _merged(parts: Sequence[Found]) -> Found:
    where = " and ".join(dict.fromkeys(part.where for part in parts if part.where))
    tensors = {key: value for part in parts for key, value in part.tensors.items()}
    return Found(where, tensors, {key: value for part in parts for key, value in part.numbers.items()})


def _ask(method: Method[Any], found: Found) -> Match | CheckpointError:
    """What a method makes of a state dict, or why it makes nothing of it."""
    import torch

    from restorekit.images.problems import one_line

    try:
        state = method.convert_state_dict({**found.numbers, **found.tensors})
        config = method.config_from_state_dict(state)
        with torch.device("meta"):
            own = method.build(config).state_dict()
    except CheckpointError as error:
        return error
    except _UNREADABLE as error:
        return CheckpointError(f"its shapes do not go together ({one_line(error)})", _CHECK)
    numbers = set(map(id, found.numbers.values()))  # have told all they can, whatever they are called by now
    state = {key: value for key, value in state.items() if key in own or id(value) not in numbers}
    if wrong := misfits(state, own):
        return CheckpointError(wrong, _CHECK)
    if other := [key for key, value in state.items() if value.is_floating_point() != own[key].is_floating_point()]:
        return CheckpointError(f"of another kind of number than the network's: {first(other)}", _CHECK)
    weights = {key: _narrowed(state[key]) for key in own}
    if infinite := [key for key, value in weights.items() if not bool(torch.isfinite(value).all())]:
        return CheckpointError(f"not finite: {first(infinite)}", "Train again, or take an earlier checkpoint")
    return Match(method, config, weights, found.where)


def _narrowed(value: Tensor) -> Tensor:
    import torch

    return value.float() if value.dtype == torch.float64 else value


def _proven(method: Method[Any], config: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, after a network took them."""
    network = method.build(config)
    if wrong := misfits(state, network.state_dict()):
        raise CheckpointError(f"the weights do not fit the network that --set describes: {wrong}", "Leave it out, or correct it")
    network.load_state_dict(state)
    return dict(state)


def _nearest(found: Found, methods: Sequence[Method[Any]]) -> str | None:
    """The method whose networks have most names in common with a state dict, whatever their numbers; None if none has any."""
    import torch

    score = {method.name: 0.0 for method in methods}
    for method in methods:
        try:
            theirs = _patterns(method.convert_state_dict({**found.numbers, **found.tensors}))
        except (CheckpointError, *_UNREADABLE):
            theirs = _patterns(found.tensors)
        for config in method.presets.values():
            with torch.device("meta"):
                own = _patterns(method.build(config).state_dict())
            score[method.name] = max(score[method.name], len(own & theirs) / len(own | theirs))
    best = max(score, key=score.__getitem__)
    return best if score[best] or len(methods) == 1 else None


def _patterns(keys: Iterable[str]) -> set[str]:
    return {re.sub(r"\d+", "#", key) for key in keys}


def _default_name(method: str, path: Path) -> str:
    stem = re.sub(r"[^\w.-]+", "-", path.stem).strip("-.")
    return stem if stem.startswith(method) else f"{method}-{stem}"


def _check_target(target: Path, paths: Sequence[Path], overwrite: bool) -> None:
    if target.suffix != ".toml":
        raise UsageError(f"{target} cannot be a card", "Name a .toml file; the weights go beside it")
    sources = {os.path.realpath(path) for path in paths}
    for place in (target, target.with_suffix(".safetensors")):
        if os.path.realpath(place) in sources:
            raise UsageError(f"{place} would be written over the checkpoint itself", "Name another card with -o")
        if os.path.lexists(place) and not overwrite:
            raise UsageError(f"{place} exists", "Name another card with -o, or replace it with --overwrite")


def _entry(match: Match) -> dict[str, str]:
    return {"entry": match.where.encode(errors="replace").decode()} if match.where else {}


def _files(path: Path) -> list[Path]:
    """The file, or those of a TensorFlow checkpoint, which is named by what they have in common or by one of them."""
    prefix = re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", path.name)
    parts = sorted(path.parent.glob(f"{glob.escape(prefix)}.data-*-of-*")) if prefix != path.name or not path.is_file() else []
    return [path.with_name(f"{prefix}.index"), *parts] if parts else [path]


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
