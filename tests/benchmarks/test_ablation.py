from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks.ablation import Part, kinds_of, main, markdown, silenced
from restorekit.zoo import load_card, load_network, write_card
from tests.tiny import write_tiny_card


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network whose coarsest blocks are still the identity."""
    folder = tmp_path_factory.mktemp("card")
    path = write_tiny_card(folder, scale=4.0)
    state = load_network(load_card(path)).state_dict()
    for name, value in state.items():
        if name.startswith("middle_blks") and name.endswith(("beta", "gamma")):
            value.zero_()
    return write_card(load_card(path), state, folder)


def test_what_a_silenced_module_gives() -> None:
    given, other = torch.rand(1, 3, 4, 4), torch.rand(1, 6, 4, 4)
    module = torch.nn.Identity()
    assert silenced(module, (given,), given + 1) is given
    assert torch.equal(silenced(module, (given,), other), torch.zeros_like(other))
    assert all(float(value.abs().sum()) == 0 for value in silenced(module, (given,), (other, given)))


def test_a_part_that_does_nothing_loses_nothing_and_one_that_counts_does(card: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = ["--model", str(card), "--degradation", "motion", "--images", "1", "--crop", "64", "--json", str(out)]
    main(options)
    figures = json.loads(out.read_text())
    lost = {part["name"]: part["lost"]["motion"] for part in figures["parts"]}
    assert lost["middle_blks"] == 0
    assert abs(lost["ending"]) > 0.5 and abs(lost["intro"]) > 0.5
    assert all(0 < part["parameters"] < 1 and 0 < part["seconds"] < 1 for part in figures["parts"])


def test_degradations_are_those_of_the_recipe() -> None:
    kinds = kinds_of(load_card("histoformer-compact"), [])
    assert list(kinds) == ["rain", "snow", "haze", "raindrop"] and "angle" in kinds["rain"]
    assert kinds_of(load_card("multi-output-compact"), ["motion"])["motion"]["length"]


def test_the_table_tells_what_is_lost() -> None:
    table = markdown({"rain": 25.0}, [Part("latent", 0.5, 0.1, {"rain": 1.5})], "")
    cells = [list(column.cells) for column in table.columns]
    assert cells == [["all", "without latent"], ["1.00", "0.50"], ["1.00", "0.10"], ["25.00", "-1.50"]]
