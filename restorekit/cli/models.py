"""``restorekit models``: what is in the zoo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.cli.console import print_json, print_tables
from restorekit.cli.options import command, complete_model
from restorekit.settings import to_table

if TYPE_CHECKING:
    from restorekit.zoo import Card, Score


_UNTRAINED = "import the authors' weights with `restorekit import`, or train some with `restorekit train`"


@dataclass(frozen=True)
class ListOptions:
    """Which models, and how to show them."""

    task: Annotated[str | None, typer.Option(metavar="TASK", help="Only models for this task, for example deblur.")] = None
    all: Annotated[bool, typer.Option("--all", help="List configurations without weights too, to be trained or imported.")] = (
        False
    )
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


@dataclass(frozen=True)
class ShowOptions:
    """Which model, and how to show it."""

    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A model, or the path of a card of your own.", autocompletion=complete_model, show_default=False
        ),
    ]
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


def register(app: typer.Typer) -> None:
    """Add ``models`` and ``models show``."""
    group = typer.Typer(help="List the models, or show one.", rich_markup_mode="rich")
    group.callback(invoke_without_command=True)(command(list_models))
    group.command("show", help="Show all that is known about a model.")(command(show_model))
    app.add_typer(group, name="models")


def list_models(context: typer.Context, options: ListOptions) -> None:
    """Print a table of the models, or JSON, unless a command of the group follows."""
    from restorekit.errors import UnknownNameError, UsageError
    from restorekit.zoo import list_cards, list_templates

    if context.invoked_subcommand is not None:
        return
    known = list_cards() + (list_templates() if options.all else [])
    cards = [card for card in known if options.task is None or options.task in card.tasks]
    if options.task is not None and not cards:
        if list_templates(options.task):
            raise UsageError(f"no model with weights is for {options.task}", "Add --all to list configurations without")
        raise UnknownNameError("task", options.task, {task for card in known for task in card.tasks})
    if options.json:
        print_json([as_json(card) for card in cards])
    else:
        _print_table(cards)


def show_model(options: ShowOptions) -> None:
    """Print all that a card says."""
    from restorekit.zoo import load_card

    card = load_card(options.name)
    if options.json:
        print_json(as_json(card))
    else:
        _print_card(card)


def as_json(card: Card) -> dict[str, Any]:
    """The card as in its file, and where that is; null for a template."""
    path = None if card.is_template else str(card.path)
    return {**card.to_table(), "default_for": list(card.default_for), "contends_for": list(card.contends_for), "card": path}


def _print_table(cards: list[Card]) -> None:
    from rich.table import Table

    table = Table("Name", "For", "Method", "MiB", "Score", "What it is", box=None, pad_edge=False, header_style="bold")
    for card in cards:
        size = f"{card.weights.bytes / 2**20:.1f}" if card.weights else ""
        given = " --kernel" if "psf" in card.restoration_method().extra_inputs else ""
        marks = dict.fromkeys(card.contends_for, " +") | dict.fromkeys(card.default_for, " *")
        tasks = ", ".join(f"{task}{given}{marks.get(task, '')}" for task in card.tasks)
        tasks += f" ({card.quality})" if card.quality else ""
        score = _score(card.scores[0]) if card.scores else "untrained" if card.is_template else ""
        table.add_row(card.name, tasks, card.method, size, score, card.summary)
    footnotes = ["\n* chosen when no model is named"]
    if any(card.contends_for for card in cards):
        footnotes.append("+ chosen in its place for a photograph in which it finds what it knows")
    if any(card.is_template for card in cards):
        footnotes.append(f"untrained: {_UNTRAINED}")
    print_tables(table, *footnotes)


def _print_card(card: Card) -> None:
    from rich.table import Table

    method = card.restoration_method()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "Name": card.name,
        "What it is": card.summary,
        "For": ", ".join(card.tasks),
        "Default for": ", ".join(card.default_for),
        "Contends for": ", ".join(card.contends_for),
        "Quality": card.quality,
        "Method": f"{card.method}: {method.paper.title} ({method.paper.venue} {method.paper.year}), {method.paper.url}",
        "Configuration": _pairs(card.config),
        "Weights": f"{card.weights.file}, {card.weights.bytes} bytes, sha256 {card.weights.sha256}"
        if card.weights
        else f"none: {_UNTRAINED}",
        "Speed": str(card.speed or ""),
        "Trained": _pairs(card.training),
        "Scores": "\n".join(_long_score(score) for score in card.scores),
        "Limits": card.limits,
        "Licence": card.licence,
        "Card": "" if card.is_template else str(card.path),
    }
    for title, text in rows.items():
        if text:
            table.add_row(title, text)
    print_tables(table)


def _pairs(table: dict[str, Any]) -> str:
    return "\n".join(f"{key} = {to_table(value)}" for key, value in table.items())


def _score(score: Score) -> str:
    return f"{score.metric} {score.input:g} to {score.output:g}"


def _long_score(score: Score) -> str:
    parts = (f"{_score(score)} on {score.set}", score.protocol, f"`{score.command}`" if score.command else "")
    return "; ".join(part for part in parts if part)
