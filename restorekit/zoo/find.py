"""Which cards there are, and which one a name means."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from restorekit.errors import CardError, UnknownNameError
from restorekit.methods import get_method, list_methods
from restorekit.settings import to_table
from restorekit.zoo.card import Card, read_card

_PACKAGE = Path(__file__).resolve().parents[1]
_WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".onnx")


def _shipped_folder() -> Path:
    """The folder of the cards: inside the package when installed from a wheel, beside it in a checkout."""
    inside = _PACKAGE / "_zoo" / "models"
    return inside if inside.is_dir() else _PACKAGE.parent / "models"


def list_cards(task: str | None = None) -> list[Card]:
    """The shipped cards by name, all of them or those that serve ``task``; CardError for one that is not as it should be."""
    cards = [read_card(path) for path in sorted(_shipped_folder().glob("*.toml"))]
    return [card for card in cards if task is None or task in card.tasks]


def list_models(task: str | None = None) -> list[str]:
    """The names of the shipped models, all of them or those that serve ``task``, for example ``"deblur"``."""
    return [card.name for card in list_cards(task)]


def list_templates(task: str | None = None) -> list[Card]:
    """A card without weights for every method and preset that no shipped card is named after: ``METHOD-PRESET``.

    They say what a network can be built as, and become models when weights are imported or trained.
    """
    shipped = set(list_models())
    methods = [method for method in map(get_method, list_methods()) if task is None or task in method.tasks]
    return [
        Card(
            name=name,
            method=method.name,
            tasks=method.tasks,
            config=to_table(config),
            summary=f"{method.paper.title} ({method.paper.venue} {method.paper.year})",
        )
        for method in methods
        for preset, config in method.presets.items()
        if (name := f"{method.name}-{preset}") not in shipped
    ]


def load_card(name_or_path: str | Path) -> Card:
    """The shipped card of that name, else the template (:func:`list_templates`), or the card in a file of your own.

    Args:
        name_or_path: a name; or a path, which has a separator in it or ends as a card, an ONNX file or a checkpoint does.

    Raises:
        UnknownNameError: for a name that neither a shipped card nor a template has; the nearest are named.
        CardError: for a file that is missing or not a proper card.
    """
    if isinstance(name_or_path, Path) or _looks_like_path(name_or_path):
        return _load_file(Path(name_or_path).expanduser())
    cards = {card.name: card for card in list_cards()}
    if name_or_path not in cards:
        cards |= {card.name: card for card in list_templates()}
    if name_or_path not in cards:
        raise UnknownNameError("model", name_or_path, cards)
    return cards[name_or_path]


def default_card(task: str, quality: str = "", inputs: Collection[str] = ()) -> Card:
    """The shipped card that serves ``task`` when no model is named.

    Args:
        task: the verb.
        quality: ``"fast"`` or ``"best"`` for the card that says so of itself; where none does, the default is meant.
        inputs: what there is beside the image, such as ``"psf"``: cards whose method takes just that, if there are any, else
            those whose method takes nothing.

    Raises:
        CardError: if no shipped card does, though there is a method for it.
        UnknownNameError: if there is no such task.
    """
    served = list_cards(task)
    takes = {card.name: set(card.restoration_method().extra_inputs) for card in served}
    cards = [card for card in served if takes[card.name] == set(inputs)]
    cards = cards or [card for card in served if not takes[card.name]] or served
    defaults = [card for card in cards if task in card.default_for]
    asked = [card for card in [*defaults, *cards] if quality and card.quality == quality]
    for card in (*asked, *defaults):
        return card
    tasks = {name for method in list_methods() for name in get_method(method).tasks}
    if task not in tasks:
        raise UnknownNameError("task", task, tasks)
    raise CardError(
        f"no model for {task} is included",
        "Import weights with `restorekit import`, train some with `restorekit train RECIPE`, or name a card with --model",
    )


def contenders(task: str, quality: str = "", inputs: Collection[str] = ()) -> list[Card]:
    """The cards of which one restores a photograph when no model is named: the default, then those that contend with it.

    Which one, the photograph decides: :class:`restorekit.inference.Contest`. The arguments and errors are those of
    :func:`default_card`; a quality is asked of the default alone.
    """
    default = default_card(task, quality, inputs)
    needed = default.restoration_method().extra_inputs
    others = [card for card in list_cards(task) if task in card.contends_for and card.name != default.name]
    return [default, *(card for card in others if card.restoration_method().extra_inputs == needed)]


def _looks_like_path(text: str) -> bool:
    return text.endswith((".toml", *_WEIGHT_SUFFIXES)) or "/" in text or os.sep in text


def _load_file(path: Path) -> Card:
    if path.is_dir():
        cards = sorted(found for found in path.glob("*.toml") if not found.name.endswith(".recipe.toml"))
        remedy = f"Name a card in it, for example {cards[0]}" if cards else "Name a card, a .toml file"
        raise CardError(f"{path} is a folder, not a model card", remedy)
    if path.suffix.lower() == ".onnx":
        from restorekit.zoo.onnx_file import onnx_card

        return onnx_card(path)
    if path.suffix.lower() in _WEIGHT_SUFFIXES:
        card = path.with_suffix(".toml")
        remedy = f"Name its card, {card}" if card.is_file() else "Name the card that goes with it, a .toml file"
        raise CardError(f"{path} holds weights but is not a model card", remedy)
    return read_card(path)
