"""What a card's file must be like."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.errors import CardError, UnknownNameError
from restorekit.settings import read_toml
from restorekit.zoo import Card, WeightsEntry, load_card, read_card

MINIMAL = 'name = "mine"\nmethod = "multi-output"\ntasks = ["deblur"]\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_a_written_card_reads_back_the_same(card_path: Path) -> None:
    card = read_card(card_path)
    assert card.name == "tiny"
    assert card.tasks == ("deblur",)
    assert card.path == card_path
    assert card.limits == "It does nothing\nuseful."
    assert card.parsed_config().width == 4
    assert card.parsed_config().enc_blk_nums == (1,)
    assert (card.scores[0].input, card.scores[0].output) == (20.0, 20.5)
    assert read_toml(card_path) == card.to_table()


def test_a_card_needs_only_name_method_tasks_and_config(tmp_path: Path) -> None:
    card = read_card(write(tmp_path, MINIMAL + "[config]\nwidth = 8\n"))
    assert card.parsed_config().width == 8
    assert card.weights is None
    assert card.to_table() == {"name": "mine", "method": "multi-output", "tasks": ["deblur"], "config": {"width": 8}}


def test_how_long_it_takes_is_kept_and_told(tmp_path: Path) -> None:
    speed = '[speed]\nmegapixels = 12\nseconds = 41.5\nhardware = "2 cores, bf16"\n'
    card = read_card(write(tmp_path, MINIMAL + "[config]\nwidth = 8\n" + speed))
    assert str(card.speed) == "41.5 s for 12 megapixels (2 cores, bf16)"
    assert card.to_table()["speed"] == {"megapixels": 12, "seconds": 41.5, "hardware": "2 cores, bf16"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "not valid TOML"),
        ('method = "multi-output"\ntasks = ["deblur"]\n[config]\n', "lacks the key 'name'"),
        (MINIMAL.replace("method", "methode") + "[config]\n", "unknown key 'methode'.*Did you mean 'method'\\?"),
        (
            MINIMAL.replace("multi-output", "multi-outptu") + "[config]\n",
            "unknown method 'multi-outptu'.*Did you mean 'multi-output'\\?",
        ),
        (MINIMAL + "[config]\nwidht = 8\n", "unknown key 'widht' in .*mine.toml \\[config\\]. Did you mean 'width'\\?"),
        (MINIMAL + '[config]\nwidth = "8"\n', "width must be a whole number, not '8'"),
        (MINIMAL + "[config]\nn_heads = 0\n", "must be at least 1"),
        (MINIMAL + 'default_for = ["denoise"]\n[config]\n', "default_for names denoise, which tasks does not"),
        (MINIMAL + 'contends_for = ["denoise"]\n[config]\n', "contends_for names denoise, which tasks does not"),
        (MINIMAL.replace("mine", "../mine") + "[config]\n", "cannot name a file"),
        (MINIMAL.replace('["deblur"]', "[]") + "[config]\n", "tasks names no task"),
        (MINIMAL + '[config]\n[speed]\nmegapixels = 12\nseconds = 0\nhardware = "x"\n', "seconds must be above 0"),
        (MINIMAL + 'path = "elsewhere.toml"\n[config]\n', "unknown key 'path'"),
        (MINIMAL + '[config]\n[weights]\nfile = "a.safetensors"\n', "lacks the key 'sha256'"),
    ],
)
def test_a_card_that_does_not_hold_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(CardError, match=f"(?s){message}") as caught:
        read_card(path)
    assert str(path) in str(caught.value)


def test_a_missing_card_says_so(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"nowhere\.toml does not exist"):
        load_card(tmp_path / "nowhere.toml")


def test_a_folder_or_weights_are_not_a_card_but_the_card_is_named(card_path: Path) -> None:
    with pytest.raises(CardError, match=f"is a folder.*{card_path.name}"):
        load_card(card_path.parent)
    with pytest.raises(CardError, match=f"Name its card, .*{card_path.name}"):
        load_card(str(card_path.with_suffix(".safetensors")))


def test_weights_are_looked_for_beside_the_card_and_in_the_weights_folder(tmp_path: Path) -> None:
    card = Card(
        "m", "multi-output", ("deblur",), {}, tmp_path / "models" / "m.toml", weights=WeightsEntry("m.safetensors", "", 0)
    )
    with pytest.raises(CardError, match=r"the weights m.safetensors of .*m.toml are missing"):
        card.weights_path()
    for folder in ("weights", "models"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "m.safetensors").touch()
        assert card.weights_path() == tmp_path / folder / "m.safetensors"


@pytest.mark.parametrize("folder", ["weights", "models"])
def test_a_link_to_a_card_finds_the_weights_of_the_card(tmp_path: Path, folder: str) -> None:
    for name in ("weights", "models", "links"):
        (tmp_path / name).mkdir()
    entry = WeightsEntry("m.safetensors", "", 0)
    link = tmp_path / "links" / "m.toml"
    (tmp_path / "models" / "m.toml").touch()
    link.symlink_to("../models/m.toml")
    card = Card("m", "multi-output", ("deblur",), {}, link, weights=entry)
    with pytest.raises(CardError, match=r"are missing"):
        card.weights_path()
    (tmp_path / folder / "m.safetensors").touch()
    assert card.weights_path().samefile(tmp_path / folder / "m.safetensors")
    (tmp_path / "links" / "m.safetensors").touch()
    assert card.weights_path() == tmp_path / "links" / "m.safetensors"


def test_card_errors_are_not_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(CardError) as caught:
        read_card(write(tmp_path, MINIMAL + "[config]\nwidht = 8\n"))
    assert caught.value.exit_code == 1
    assert not isinstance(caught.value, UnknownNameError)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".mine", "a/b", "a\\b", "my:model", "mine.", "mine ", "con", "NUL.v2", "Com1", "a\nb", "a?"]
)
def test_names_that_are_no_file_on_some_system(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a file"):
        Card(name=name, method="multi-output", tasks=("deblur",), config={})


def test_names_with_dots_blanks_and_accents_are_fine() -> None:
    for name in ("v1.2", "my model", "é-compact", "console", "com10"):
        assert Card(name=name, method="multi-output", tasks=("deblur",), config={}).name == name
