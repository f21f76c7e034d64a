"""Weights are what the card says, or they are not loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from restorekit.errors import CardError
from restorekit.zoo import load_card, load_network, read_card, write_card
from tests.tiny import write_tiny_card


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_network_comes_back_with_its_weights_ready_to_run(card_path: Path) -> None:
    card = load_card(card_path)
    network = load_network(card)
    assert not network.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in network.parameters())
    with safe_open(card.weights_path(), "pt") as file:
        assert set(file.keys()) == set(network.state_dict())
        assert torch.equal(file.get_tensor("intro.weight"), network.state_dict()["intro.weight"])
        about = json.loads(file.metadata()["restorekit"])
    assert (about["name"], about["licence"], about["config"]["width"]) == ("tiny", "CC0-1.0", 4)


def test_loading_draws_nothing_from_the_callers_seed(card_path: Path) -> None:
    before = torch.get_rng_state()
    load_network(load_card(card_path))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_link_to_a_card_is_as_good_as_the_card(card_path: Path, tmp_path: Path) -> None:
    link = tmp_path / "mine.toml"
    link.symlink_to(card_path)
    expected = load_network(load_card(card_path)).state_dict()
    found = load_network(load_card(link)).state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[key], expected[key]) for key in expected)


def test_half_precision_weights_are_stored_as_they_are_and_loaded_as_float32(card_path: Path, tmp_path: Path) -> None:
    card = load_card(card_path)
    state = {key: value.to(torch.bfloat16) for key, value in load_network(card).state_dict().items()}
    half = load_card(write_card(card, state, tmp_path / "half"))
    assert half.weights is not None and card.weights is not None
    assert half.weights.bytes < 0.75 * card.weights.bytes
    assert {p.dtype for p in load_network(half).parameters()} == {torch.float32}


def test_equal_weights_give_equal_files_and_nothing_else_is_left(tmp_path: Path) -> None:
    first, second = (write_tiny_card(tmp_path / folder) for folder in "ab")
    for name in ("tiny.toml", "tiny.safetensors"):
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert sorted(p.name for p in first.parent.iterdir()) == ["tiny.safetensors", "tiny.toml"]


def test_writing_again_replaces_both_files(tmp_path: Path) -> None:
    write_tiny_card(tmp_path)
    before = read_card(tmp_path / "tiny.toml")
    after = read_card(write_tiny_card(tmp_path, scale=2.0))
    assert before.weights != after.weights
    assert load_network(after).state_dict()["ending.weight"].abs().sum() > 0


def test_other_bytes_are_refused(card_path: Path) -> None:
    path = card_path.with_suffix(".safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CardError, match=r"tiny.safetensors is not the file .*tiny.toml was made with: its checksum differs"):
        load_network(load_card(card_path))


def test_missing_weights_are_named(card_path: Path) -> None:
    card_path.with_suffix(".safetensors").unlink()
    with pytest.raises(CardError, match=r"the weights tiny.safetensors of .*tiny.toml are missing"):
        load_network(load_card(card_path))


def test_what_is_not_safetensors_is_refused(card_path: Path) -> None:
    import hashlib

    card = load_card(card_path)
    assert card.weights is not None
    junk = b"junk" * 100
    card.weights_path().write_bytes(junk)
    replace_in(card_path, card.weights.sha256, hashlib.sha256(junk).hexdigest())
    with pytest.raises(CardError, match=r"not a safetensors file"):
        load_network(load_card(card_path))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_heads = 2", "n_heads = 3", r"of another shape: ending.weight \(6, 4, 3, 3\) instead of \(9, 4, 3, 3\)"),
        ("middle_blk_num = 1", "middle_blk_num = 2", r"missing: middle_blks.1.beta, .* and \d+ more"),
        ("middle_blk_num = 1", "middle_blk_num = 0", r"not known: middle_blks.0.beta, .* and \d+ more"),
    ],
)
def test_keys_that_do_not_fit_are_named(card_path: Path, old: str, new: str, message: str) -> None:
    replace_in(card_path, old, new)
    with pytest.raises(CardError, match=message):
        load_network(load_card(card_path))


def test_a_folder_that_cannot_be_written_to_is_named(card_path: Path) -> None:
    card = load_card(card_path)
    with pytest.raises(CardError, match="cannot be written"):
        write_card(card, {"a": torch.zeros(1)}, card_path / "below-a-file")
