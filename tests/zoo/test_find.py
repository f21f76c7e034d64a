"""Which card a name means."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from restorekit.errors import CardError, UnknownNameError
from restorekit.methods import get_method, list_methods
from restorekit.zoo import contenders, default_card, find, list_cards, list_models, list_templates, load_card, load_network
from tests.tiny import write_other_card, write_tiny_card


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo with two cards, of which the second is the default."""
    for name in ("alpha-deblur", "beta-deblur"):
        write_tiny_card(tmp_path, name)
    beta = tmp_path / "beta-deblur.toml"
    beta.write_text('default_for = ["deblur"]\n' + beta.read_text())
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.usefixtures("zoo")
def test_cards_are_listed_by_name_and_task() -> None:
    assert list_models() == ["alpha-deblur", "beta-deblur"]
    assert list_models("deblur") == ["alpha-deblur", "beta-deblur"]
    assert list_models("derain") == []


@pytest.mark.usefixtures("zoo")
def test_a_name_finds_its_card_and_an_unknown_one_the_nearest() -> None:
    assert load_card("beta-deblur").name == "beta-deblur"
    with pytest.raises(UnknownNameError, match=r"unknown model 'beta-debulr'. Did you mean 'beta-deblur' or 'alpha-deblur'\?$"):
        load_card("beta-debulr")


@pytest.mark.usefixtures("zoo")
def test_the_default_is_the_card_that_says_so() -> None:
    assert default_card("deblur").name == "beta-deblur"
    with pytest.raises(UnknownNameError, match="unknown task 'debulr'"):
        default_card("debulr")


def test_a_quality_is_the_card_that_says_so_else_the_default(zoo: Path) -> None:
    assert default_card("deblur", "best").name == "beta-deblur"
    alpha = zoo / "alpha-deblur.toml"
    alpha.write_text('quality = "best"\n' + alpha.read_text())
    assert [default_card("deblur", quality).name for quality in ("", "fast", "best")] == [
        "beta-deblur",
        "beta-deblur",
        "alpha-deblur",
    ]


def test_what_is_given_beside_the_image_chooses_too(zoo: Path) -> None:
    night = write_other_card(zoo, "infwide")
    night.write_text('default_for = ["deblur"]\nquality = "best"\n' + night.read_text())
    assert default_card("deblur").name == "beta-deblur"
    assert default_card("deblur", "best").name == "beta-deblur"
    assert default_card("deblur", inputs={"psf": 0}).name == "tiny-deblur"
    night.rename(zoo / "a.toml")  # though it comes first now
    assert default_card("deblur", inputs=["depth"]).name == "beta-deblur"


def test_those_that_contend_come_after_the_default(zoo: Path) -> None:
    assert [card.name for card in contenders("deblur")] == ["beta-deblur"]
    alpha = zoo / "alpha-deblur.toml"
    alpha.write_text('contends_for = ["deblur"]\n' + alpha.read_text())
    assert [card.name for card in contenders("deblur")] == ["beta-deblur", "alpha-deblur"]
    night = write_other_card(zoo, "infwide")
    night.write_text('contends_for = ["deblur"]\ndefault_for = ["deblur"]\n' + night.read_text())
    assert [card.name for card in contenders("deblur")] == ["beta-deblur", "alpha-deblur"]
    assert [card.name for card in contenders("deblur", inputs=["psf"])] == ["tiny-deblur"]
    with pytest.raises(UnknownNameError, match="unknown task 'debulr'"):
        contenders("debulr")


def test_drops_have_a_model_of_their_own_under_weather_too() -> None:
    assert [card.name for card in list_cards("weather") if "weather" in card.contends_for] == ["multi-output-deraindrop"]
    assert [card.name for card in contenders("weather")] == ["histoformer-compact", "multi-output-deraindrop"]
    assert [card.name for card in contenders("derain")] == ["multi-output-derain"]


@pytest.mark.usefixtures("zoo")
def test_every_preset_is_a_template() -> None:
    templates = {card.name: card for card in list_templates()}
    for method in map(get_method, list_methods()):
        for preset, config in method.presets.items():
            card = templates.pop(f"{method.name}-{preset}")
            assert load_card(card.name) == card
            assert card.is_template and card.tasks == method.tasks and card.parsed_config() == config
    assert templates == {}
    assert {card.method for card in list_templates("denoise")} >= {"cbsn"}
    assert all("denoise" in card.tasks for card in list_templates("denoise"))


def test_a_shipped_card_takes_the_place_of_its_template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_card(tmp_path, "multi-output-paper")
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path)
    assert "multi-output-paper" not in [card.name for card in list_templates()]
    assert not load_card("multi-output-paper").is_template


@pytest.mark.usefixtures("zoo")
def test_a_template_has_no_weights_and_says_how_to_get_some() -> None:
    with pytest.raises(CardError, match=r"'cbsn-paper' is a configuration without weights.*restorekit import.*restorekit train"):
        load_network(load_card("cbsn-paper"))


@pytest.mark.parametrize("form", ["./card.toml", "card.toml"])
def test_a_path_works_wherever_a_name_does(card_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    card_path.rename(card_path.with_name("card.toml"))
    monkeypatch.chdir(card_path.parent)
    assert load_card(form).name == "tiny"
    assert load_card(Path(form)).name == "tiny"


def test_shipped_cards_load_and_each_task_has_one_default() -> None:
    cards = list_cards()
    defaults = Counter((task, card.restoration_method().extra_inputs) for card in cards for task in card.default_for)
    assert {("deblur", ()), ("deblur", ("psf",))} <= defaults.keys()
    assert {task for task, _ in defaults} == {task for card in cards for task in card.tasks}
    assert set(defaults.values()) <= {1}
    sizes = Counter((task, card.quality) for card in cards if card.quality for task in card.tasks)
    assert set(sizes.values()) <= {1}
    assert len({card.name for card in cards}) == len(cards)
    for card in cards:
        assert card.path.stem == card.name
        assert card.summary and card.licence and card.limits and card.training and card.scores
        assert card.weights is not None and card.weights.bytes == card.weights_path().stat().st_size <= 16 * 2**20
        assert sum(p.numel() for p in load_network(card).parameters()) > 0
