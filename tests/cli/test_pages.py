"""Commands on pages of the documentation are commands there are."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from typer.main import get_group

from restorekit.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"


def commands(page: str) -> list[str]:
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("restorekit ")]


@pytest.mark.parametrize("line", commands("evaluation.md"))
def test_commands_about_evaluation_are_understood(line: str) -> None:
    verb, *arguments = shlex.split(line, comments=True)[1:]
    assert get_group(app).commands[verb].make_context(verb, arguments).params


@pytest.mark.parametrize("line", commands("adapting.md"))
def test_commands_about_adapting_are_understood(line: str) -> None:
    verb, *arguments = shlex.split(line)[1:]
    context = get_group(app).commands[verb].make_context(verb, list(arguments))
    assert context.params["inputs"] and ("--adapt" in arguments) == context.params["adapt"]
