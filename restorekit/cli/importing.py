"""``restorekit import``: an authors' checkpoint becomes a card and its weights."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import command

if TYPE_CHECKING:
    from restorekit.zoo import Card


@dataclass(frozen=True)
class ImportOptions:
    """What to import, and as what."""

    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            metavar="CHECKPOINT",
            help="A .pth, .ckpt, .safetensors or .npz file; several if a network lies in several, as an encoder and its decoder.",
            show_default=False,
        ),
    ]
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="CARD.toml", help="The card to write, its weights beside it; by default METHOD-NAME.toml."
        ),
    ] = None
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="The method, if the keys of the checkpoint do not tell it.")
    ] = None
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Licence of the weights, for the card.")] = ""
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A value of the card's configuration that no key tells."),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the card and weights that stand there.")] = False
    json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False


def register(app: typer.Typer) -> None:
    """Add ``import``."""
    text = "Make a model of an authors' checkpoint. What it is, and all its settings, are told from its keys."
    app.command("import", help=text)(command(import_))


def import_(options: ImportOptions) -> None:
    """Import, then say what it was and where the card is."""
    from restorekit.cli.console import Console, print_json
    from restorekit.cli.models import as_json
    from restorekit.inference.inputs import expand
    from restorekit.zoo.importing import import_checkpoint

    card = import_checkpoint(
        expand(options.checkpoints),
        options.output,
        method=options.method,
        licence=options.licence,
        settings=options.settings or [],
        overwrite=options.overwrite,
    )
    console = Console(options.quiet)
    console.say(f"{card.method}: {_described(card)}")
    console.say(f"The card is written; use it with --model {card.path}")
    if options.json:
        print_json(as_json(card))


def _described(card: Card) -> str:
    """The settings that count, named as ``--set`` takes them: those whose metadata asks for a value of another field have it."""
    config = card.parsed_config()
    asks = {field.name: field.metadata for field in fields(config)}
    counting = {key: value for key, value in card.config.items() if all(getattr(config, k) == v for k, v in asks[key].items())}
    tables = {key: value for key, value in counting.items() if isinstance(value, dict)}
    plain = {key: value for key, value in counting.items() if key not in tables}
    inner = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
    return ", ".join(f"{key} {value}" for key, value in (plain | inner).items())
