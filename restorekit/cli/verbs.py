"""The verbs that choose a model by themselves, and how they choose it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restorekit.errors import CardError, UsageError

if TYPE_CHECKING:
    from restorekit.cli.options import Quality
    from restorekit.zoo import Card


@dataclass(frozen=True)
class Verb:
    """A command that is a task of the zoo.

    Attributes:
        help: its help.
        suffix: what a result is called beside its input: ``"deblurred"`` makes ``photo-deblurred.jpg``.
        adapts: whether models can be taught on the very inputs, with ``--adapt``.
    """

    help: str
    suffix: str
    adapts: bool = False


VERBS = {
    "deblur": Verb("Sharpen photographs blurred by a moving camera or moving things.", "deblurred"),
    "denoise": Verb("Take the noise out of photographs; with --adapt, learn it from them first.", "denoised", adapts=True),
    "weather": Verb("Take rain, snow, haze or drops off photographs, whatever it is.", "cleared"),
    "derain": Verb("Take rain off photographs.", "derained"),
    "desnow": Verb("Take snow off photographs.", "desnowed"),
    "dehaze": Verb("Take haze off photographs.", "dehazed"),
    "deraindrop": Verb("Take drops on the glass off photographs.", "dried"),
    "dereflect": Verb("Take reflections in glass off photographs.", "dereflected"),
    "depth": Verb(
        "See how near things are in photographs and videos; with --adapt, learn it from a video first.",
        "depth",
        adapts=True,
    ),
}
"""By name, in the order of ``restorekit --help``."""


def suffix_of(task: str) -> str:
    """What results of a task are called; ``restored`` for one without a verb."""
    return VERBS[task].suffix if task in VERBS else "restored"


def choose_card(
    task: str | None, name: str | None, quality: Quality | None = None, *, inputs: Collection[str] = (), fresh: bool = False
) -> Card:
    """The card that was named, or the default for a verb; None stands for ``infer``, which has no default.

    Args:
        task: the verb.
        name: a model of the zoo, or the path of a card.
        quality: which of the models that are included, where none was named; None for the usual one.
        inputs: what the user gives beside the images, such as ``"psf"``.
        fresh: whether a configuration without weights will do, as they are to be learnt.

    Raises:
        UsageError: if the one that was named is for another task, or a fresh one is asked for by its quality.
        CardError: for one without weights.
    """
    from restorekit.methods import self_taught
    from restorekit.zoo import default_card, load_card

    if name is None and task is None:
        raise UsageError("infer does not know which model to use", "Add --model NAME; `restorekit models` lists them")
    if quality is not None and fresh:
        problem = f"--quality {quality.value} is of models that have learnt, and --from-scratch begins anew"
        raise UsageError(problem, "Leave one of them out")
    if name is None and task is not None and not fresh:
        return _default(task, lambda task: default_card(task, quality.value if quality else "", inputs))
    card = load_card(name or f"{self_taught(task or '')[0]}-compact")
    if card.is_template and not fresh:
        card.weights_path()  # says what to do
    if task is not None and task not in card.tasks:
        raise UsageError(
            f"model '{card.name}' is for {' and '.join(card.tasks)}, not {task}", "Use `restorekit infer` to run it all the same"
        )
    return card


def choose_cards(
    task: str | None, name: str | None, quality: Quality | None = None, *, inputs: Collection[str] = (), fresh: bool = False
) -> list[Card]:
    """The card that was named, or those of a verb of which each photograph gets one; see :func:`choose_card`."""
    from restorekit.zoo import contenders

    card = choose_card(task, name, quality, inputs=inputs, fresh=fresh)
    if name is not None or task is None or fresh:
        return [card]
    return contenders(task, quality.value if quality else "", inputs)


def views_for(task: str | None, name: str | None, quality: Quality | None, views: int | None, card: Card, quiet: bool) -> int:
    """Of how many mirror images the mean is taken: as many as were asked for, or, where the best is asked for and there is only
    one size of model, or one was named, as many as its method has. Says so if a quality is asked for that is not a size of model.
    """
    from restorekit.cli.console import Console
    from restorekit.zoo import list_cards

    if quality is None or (name is None and card.quality == quality.value):
        return views or 1
    if name is not None:
        return views or (card.restoration_method().views if quality.value == "best" else 1)
    if any(other.quality for other in list_cards(task) if other.name != card.name):
        return views or 1
    if quality.value == "fast" or views is not None:
        Console(quiet).say(f"There is only one size of model for {task}: --quality {quality.value} changes nothing")
        return views or 1
    views = card.restoration_method().views
    Console(quiet).say(f"There is only one size of model for {task}: the best is its mean over {views} mirror images")
    return views


def _default(task: str, find: Callable[[str], Card]) -> Card:
    try:
        return find(task)
    except CardError as error:
        if not VERBS[task].adapts:
            raise
        raise CardError(error.problem, f"{error.remedy}. Or learn from the inputs alone with --adapt --from-scratch") from None
