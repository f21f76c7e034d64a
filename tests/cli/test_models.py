"""``restorekit models``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.usefixtures("zoo")
def test_the_list_names_models_tasks_and_scores(run: Run) -> None:
    result = run("models")
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("tiny-deblur")]
    for part in ("deblur *", "multi-output", "PSNR 20 to 20.5", "random weights"):
        assert part in line


@pytest.mark.usefixtures("zoo")
def test_the_list_as_json(run: Run) -> None:
    (card,) = json.loads(run("models", "--json").stdout)
    assert card["name"] == "tiny-deblur" and card["default_for"] == ["deblur"]
    assert card["config"]["width"] == 4
    assert len(card["weights"]["sha256"]) == 64
    assert card["scores"][0]["output"] == 20.5
    assert json.loads(run("models", "--json", "--task", "deblur").stdout) == [card]


@pytest.mark.usefixtures("zoo")
def test_an_unknown_task_names_the_nearest(run: Run) -> None:
    result = run("models", "--task", "debulr")
    assert result.exit_code == 2
    assert result.stderr == "restorekit: unknown task 'debulr'. Did you mean 'deblur'?\n"


def test_show_says_all_that_is_known(run: Run, zoo: Path) -> None:
    result = run("models", "show", "tiny-deblur")
    assert result.exit_code == 0
    for part in ("Multi-Outputs Is All You Need", "width = 4", "CC0-1.0", "useful.", "`restorekit evaluate`", str(zoo)):
        assert part in result.stdout.replace("\n", "")
    assert json.loads(run("models", "show", "tiny-deblur", "--json").stdout) == json.loads(run("models", "--json").stdout)[0]


def test_show_takes_a_card_of_your_own_by_path(run: Run, card: Path) -> None:
    assert json.loads(run("models", "show", card, "--json").stdout)["name"] == "tiny"


@pytest.mark.usefixtures("zoo")
def test_show_names_the_nearest_for_an_unknown_name(run: Run) -> None:
    result = run("models", "show", "tiny-blur")
    assert result.exit_code == 2 and "Did you mean 'tiny-deblur'?" in result.stderr


def test_a_card_that_does_not_hold_is_one_line(run: Run, card: Path) -> None:
    card.write_text(card.read_text().replace("width = 4", "widht = 4"))
    result = run("models", "show", card)
    assert result.exit_code == 1
    assert result.stderr.startswith("restorekit: unknown key 'widht' in ") and result.stderr.count("\n") == 1
