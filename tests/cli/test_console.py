"""What messages and tables make of names."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.table import Table

from restorekit.cli.console import Console, print_tables
from tests.cli.conftest import Run, save_photo

NAME = "a:100:b [bold]:smile:.bmp"


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    Console().say(NAME)
    table = Table("name", title=NAME)
    table.add_row(NAME)
    print_tables(table, NAME)
    shown = capsys.readouterr()
    assert shown.err == f"{NAME}\n"
    assert shown.out.count(NAME) == 3


@pytest.mark.usefixtures("zoo")
def test_a_photograph_whose_name_holds_the_word_of_a_picture(run: Run) -> None:
    save_photo(Path("a:100:b.bmp"))
    result = run("deblur", "a:100:b.bmp")
    assert result.exit_code == 0 and "a:100:b.bmp -> a:100:b-deblurred.bmp (" in result.stderr
