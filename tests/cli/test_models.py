"""``restorekit models``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.tiny import write_tiny_card


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


def test_those_that_contend_are_marked(run: Run, zoo: Path) -> None:
    rival = write_tiny_card(zoo.parent, "rival")
    assert "+" not in run("models").stdout
    rival.write_text('contends_for = ["deblur"]\n' + rival.read_text())
    shown = run("models").stdout
    assert "deblur +" in shown and "+ chosen in its place for a photograph in which it finds what it knows" in shown
    assert "Contends for" in run("models", "show", "rival").stdout
    cards = {card["name"]: card for card in json.loads(run("models", "--json").stdout)}
    assert cards["rival"]["contends_for"] == ["deblur"] and cards["tiny-deblur"]["contends_for"] == []


@pytest.mark.usefixtures("zoo")
def test_an_unknown_task_names_the_nearest(run: Run) -> None:
    result = run("models", "--task", "debulr")
    assert result.exit_code == 2
    assert result.stderr == "restorekit: unknown task 'debulr'. Did you mean 'deblur'?\n"


@pytest.mark.usefixtures("zoo")
def test_all_lists_what_has_no_weights_too(run: Run) -> None:
    result = run("models", "--all")
    lines = {line.split()[0]: line for line in result.stdout.splitlines() if line.strip()}
    assert "untrained" in lines["histoformer-paper"] and "derain" in lines["histoformer-paper"]
    assert "untrained" not in lines["tiny-deblur"]
    assert "`restorekit import`" in lines["untrained:"]
    cards = {card["name"]: card for card in json.loads(run("models", "--all", "--json").stdout)}
    assert cards["cbsn-paper"]["config"]["filters"] == 128
    assert cards["cbsn-paper"]["card"] is None and "weights" not in cards["cbsn-paper"]
    assert "untrained" not in run("models").stdout


@pytest.mark.usefixtures("zoo")
def test_a_task_without_weights(run: Run) -> None:
    result = run("models", "--task", "denoise")
    assert result.exit_code == 2 and "no model with weights is for denoise. Add --all" in result.stderr
    result = run("models", "--task", "denoise", "--all")
    assert result.exit_code == 0 and "cbsn-compact" in result.stdout and "tiny-deblur" not in result.stdout


@pytest.mark.usefixtures("zoo")
def test_show_takes_a_template(run: Run) -> None:
    result = run("models", "show", "infwide-paper")
    assert result.exit_code == 0
    for part in ("INFWIDE", "width = 32", "none: import the authors' weights with `restorekit import`"):
        assert part in result.stdout


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
