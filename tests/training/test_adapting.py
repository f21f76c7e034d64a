from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data.camera import Camera
from restorekit.errors import UsageError
from restorekit.methods import get_method
from restorekit.settings import to_table
from restorekit.training import load_recipe, train
from restorekit.training.adapting import adapt_to_noise, adapt_to_video
from restorekit.training.footage import Footage
from restorekit.training.recipe import Recipe
from restorekit.training.report import Reporter
from restorekit.zoo import Card, load_card, load_network, write_card
from tests.tiny import write_other_card, write_tiny_card


@pytest.fixture
def card(tmp_path: Path) -> Card:
    method = get_method("cbsn")
    config = method.config_type(filters=12, num_module=1, tail_channels=12)
    torch.manual_seed(0)
    new = Card(name="tiny", method="cbsn", tasks=("denoise",), config=to_table(config))
    return load_card(write_card(new, method.build(config).state_dict(), tmp_path / "card"))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    smooth = PIL.Image.fromarray(rng.integers(60, 190, (6, 8, 3), dtype=np.uint8)).resize((80, 64), PIL.Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth) + rng.normal(0, 20, (64, 80, 3))
    path = tmp_path / "noisy.png"
    PIL.Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
    return path


def column(run: Path, file: str, name: str) -> list[float]:
    with (run / file).open(newline="") as rows:
        return [float(row[name]) for row in csv.DictReader(rows)]


def test_the_recipe_follows_from_card_and_photographs(card: Card, photograph: Path) -> None:
    recipe = adapt_to_noise(card, [photograph], 200)
    assert (recipe.train.patch, recipe.objective["ramp"], recipe.train.learning_rate) == (60, 0, 1e-4)
    assert recipe.method_config() == card.parsed_config() and recipe.name == "tiny-adapted"
    fresh = adapt_to_noise(card, [photograph], 200, fresh=True)
    assert (fresh.train.init, fresh.objective["ramp"], fresh.train.learning_rate) == ("", 80, 1e-3)


def test_what_was_taught_on_clean_pictures_learns_from_its_own_answers(photograph: Path, tmp_path: Path) -> None:
    card = load_card(write_other_card(tmp_path / "card", "cbsn", skip=True))
    recipe = adapt_to_noise(card, [photograph], 60)
    assert (recipe.data.denoiser, recipe.train.patch, recipe.report.give_up_after) == (str(card.path), 30, 0)
    assert recipe.objective == {"supervised": True, "blind_share": 0.0}
    quick = replace(recipe, train=replace(recipe.train, learning_rate=3e-3, final_learning_rate=3e-3))
    path = train(quick, tmp_path / "run")
    assert path is not None
    psnr = column(tmp_path / "run", "validation.csv", "psnr")
    assert max(psnr) > psnr[0] + 1
    fresh = adapt_to_noise(card, [photograph], 60, fresh=True)
    assert not fresh.data.denoiser and "ramp" in fresh.objective


def another_denoiser(folder: Path, **training: object) -> Card:
    """A tiny one that is not of ``cbsn``."""
    card = load_card(write_tiny_card(folder))
    denoiser = replace(card, tasks=("denoise",), training=training, scores=())
    return load_card(write_card(denoiser, load_network(card).state_dict(), folder))


def test_a_denoiser_of_any_method_learns_from_its_own_answers(photograph: Path, tmp_path: Path) -> None:
    card = another_denoiser(tmp_path / "card")
    recipe = adapt_to_noise(card, [photograph], 20)
    assert (recipe.method, recipe.data.denoiser, recipe.train.init) == ("multi-output", str(card.path), str(card.path))
    assert (recipe.train.patch, recipe.data.held_back, recipe.train.learning_rate, recipe.objective) == (30, 64, 3e-4, {})
    path = train(recipe, tmp_path / "run")
    assert path is not None
    adapted = load_card(path)
    assert (adapted.name, adapted.tasks) == ("tiny-adapted", ("denoise",)) and adapted.parsed_config() == card.parsed_config()
    assert len(column(tmp_path / "run", "validation.csv", "psnr")) == 21
    assert all(math.isfinite(value) for value in column(tmp_path / "run", "train.csv", "gradient_norm"))


def test_a_denoiser_goes_on_with_the_loss_that_taught_it(photograph: Path, tmp_path: Path) -> None:
    ours = another_denoiser(tmp_path / "ours", recipe="multi-output-denoise")
    assert adapt_to_noise(ours, [photograph], 20).objective == load_recipe("multi-output-denoise").objective != {}
    for name in ("mine", "multi-output-denoise.toml", ""):
        assert adapt_to_noise(another_denoiser(tmp_path / "other", recipe=name), [photograph], 20).objective == {}
    cbsn = load_card(write_other_card(tmp_path / "cbsn", "cbsn", skip=True))
    named = replace(cbsn, training={"recipe": "multi-output-denoise"})
    assert adapt_to_noise(named, [photograph], 20).objective == {"supervised": True, "blind_share": 0.0}


def test_a_fresh_network_learns_from_one_noisy_photograph(card: Card, photograph: Path, tmp_path: Path) -> None:
    recipe = adapt_to_noise(card, [photograph], 80, fresh=True)
    quick = replace(recipe, train=replace(recipe.train, learning_rate=4e-3), objective=recipe.objective | {"stride_b": 1})
    path = train(quick, tmp_path / "run")
    assert path is not None
    adapted = load_card(path)
    assert adapted.scores == () and adapted.training["steps"] > 10
    blind = column(tmp_path / "run", "validation.csv", "blind")
    assert len(blind) == 20 and blind[-1] < 0.9 * blind[0]


def test_a_run_gives_up_when_nothing_gets_better(card: Card, photograph: Path, tmp_path: Path) -> None:
    recipe = adapt_to_noise(card, [photograph], 40)
    still: Recipe = replace(
        recipe,
        train=replace(recipe.train, learning_rate=1e-30, final_learning_rate=1e-30),
        report=replace(recipe.report, validate_every=2, give_up_after=3),
    )
    assert train(still, tmp_path / "run") is not None
    assert column(tmp_path / "run", "validation.csv", "step") == [0, 2, 4, 6]
    assert train(still, tmp_path / "run") is not None  # and does not go on when it is started again
    assert column(tmp_path / "run", "validation.csv", "step") == [0, 2, 4, 6]
    assert all(math.isfinite(value) for value in column(tmp_path / "run", "validation.csv", "blind"))


class Heard(Reporter):
    """Remembers what it is told of the end."""

    def __init__(self) -> None:
        self.ends: list[tuple[int, int]] = []

    def gave_up(self, step: int, best: int) -> None:
        self.ends.append((step, best))


def test_weights_that_are_not_beaten_are_kept(card: Card, photograph: Path, tmp_path: Path) -> None:
    """Far too high a rate makes everything worse: what comes out is what went in."""
    recipe = adapt_to_noise(card, [photograph], 40)
    wild = replace(
        recipe,
        train=replace(recipe.train, learning_rate=3.0, final_learning_rate=3.0, ema=0.0),
        report=replace(recipe.report, validate_every=1, give_up_after=3),
    )
    heard = Heard()
    path = train(wild, tmp_path / "run", reporter=heard)
    assert path is not None and heard.ends == [(3, 0)]
    before, after = load_network(card).state_dict(), load_network(load_card(path)).state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert load_card(path).training["steps"] == 0
    losses = column(tmp_path / "run", "validation.csv", "blind")
    assert len(losses) == 4 and losses[0] == min(losses)


def test_what_cannot_be_adapted_is_refused(card: Card, photograph: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'multi-output-compact' is for deblur, not for noise"):
        adapt_to_noise(load_card("multi-output-compact"), [photograph], 10)
    with pytest.raises(UsageError, match="'tiny' cannot begin afresh: multi-output needs clean photographs for that"):
        adapt_to_noise(another_denoiser(tmp_path / "another"), [photograph], 10, fresh=True)
    PIL.Image.fromarray(np.zeros((20, 99, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(UsageError, match=r"small\.png is too small to learn from"):
        adapt_to_noise(card, [photograph, tmp_path / "small.png"], 10)
    PIL.Image.fromarray(np.zeros((59, 99, 3), np.uint8)).save(tmp_path / "half.png")
    taught = load_card(write_other_card(tmp_path / "taught", "cbsn", skip=True))
    with pytest.raises(UsageError, match=r"half\.png is too small to learn from"):
        adapt_to_noise(taught, [photograph, tmp_path / "half.png"], 10)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Twelve frames of a pattern that drifts."""
    folder = tmp_path / "film"
    folder.mkdir()
    pattern = PIL.Image.fromarray(np.random.default_rng(1).integers(0, 255, (8, 16, 3), dtype=np.uint8)).resize((160, 64))
    for number in range(12):
        pattern.crop((2 * number, 0, 2 * number + 96, 64)).save(folder / f"{number:02d}.png")
    return folder


FOOTAGE = Footage((64, 96), 12, 2, 13.0, Camera((0.8, 1.2, 0.5, 0.5), "assumed"))


def test_the_recipe_for_a_video_follows_from_card_and_footage(tmp_path: Path, film: Path) -> None:
    card = load_card(write_other_card(tmp_path / "card", "dcpi-depth"))
    recipe = adapt_to_video(card, [film], 300, replace(FOOTAGE, size=(1080, 1920)), intrinsics=(0.8, 1.2, 0.5, 0.5))
    config = recipe.method_config()
    assert (config.height, config.width, config.pose, config.dims) == (64, 96, "light", (8, 16, 24))
    assert (recipe.data.gaps, recipe.data.held_back, recipe.train.init) == ((2, 4), 8, str(card.path))
    assert recipe.objective == {"dense_after": 60, "divergence": 0.0, "own_unit": True} and recipe.data.flow == "dis"
    assert recipe.train.rates == {"encoder": 0.1, "decoder": 0.1} and recipe.train.learning_rate == 5e-4
    knows_pose = load_card(write_other_card(tmp_path / "pose", "dcpi-depth", pose="light"))
    gentle = adapt_to_video(knows_pose, [film], 300, FOOTAGE)
    assert gentle.train.rates == {"encoder": 0.3, "decoder": 0.3} and gentle.train.learning_rate == 1e-4
    with_raft = load_card(write_other_card(tmp_path / "raft", "dcpi-depth", flow="small"))
    by_raft = adapt_to_video(with_raft, [film], 300, FOOTAGE)
    assert by_raft.data.flow == "none" and by_raft.objective == {"dense_after": 60, "divergence_after": 200}
    tall = adapt_to_video(card, [film], 300, replace(FOOTAGE, size=(1920, 1080)), fresh=True)
    assert (tall.method_config().height, tall.method_config().width, tall.train.init) == (96, 64, "")
    assert tall.train.rates == {} and not tall.train.keep_statistics


def test_depth_begins_with_the_card_and_adds_what_only_training_needs(tmp_path: Path, film: Path) -> None:
    card = load_card(write_other_card(tmp_path / "card", "dcpi-depth"))
    recipe = adapt_to_video(card, [film], 2, FOOTAGE)
    still = replace(recipe, train=replace(recipe.train, learning_rate=1e-30, final_learning_rate=1e-30, weight_decay=0.0))
    path = train(still, tmp_path / "run")
    assert path is not None
    before, after = load_network(card).state_dict(), load_network(load_card(path)).state_dict()
    assert any(key.startswith("pose.") for key in after) and not any(key.startswith("pose.") for key in before)
    assert any("running_mean" in key for key in before)
    assert [key for key, value in before.items() if not torch.allclose(value, after[key], atol=1e-20)] == []
    assert len(column(tmp_path / "run", "validation.csv", "photometric")) == 3


def test_what_does_not_learn_from_video_is_refused(card: Card, film: Path) -> None:
    with pytest.raises(UsageError, match="'tiny' cannot be adapted: cbsn does not learn from video"):
        adapt_to_video(card, [film], 10, FOOTAGE)
