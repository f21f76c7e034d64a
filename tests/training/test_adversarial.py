"""A discriminator that is taught beside the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.training import Recipe, load_recipe, train
from tests.training.conftest import KillAt, KilledError, columns, poison, weights

ADVERSARIAL = """
method = "rrformer"
[config]
dim = 8
depths = [1]
heads = [2]
n_feats = 8
hyper_levels = 1
[objective]
lambda_gan = 0.01
gan_from = 2
discriminator = "disc_patch"
[data]
clean = ["{folder}"]
degradation = "reflection"
[train]
steps = 5
batch = 2
patch = 64
learning_rate = 1e-3
clip = 1.0
[report]
log_every = 1
checkpoint_every = 1
"""


def test_a_discriminator_learns_beside_the_network_and_is_resumed(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "gan.toml"
    path.write_text(ADVERSARIAL.format(folder=tmp_path / "photos"))
    adversarial = load_recipe(path)
    whole = weights(train(adversarial, tmp_path / "whole"))
    rows = columns(tmp_path / "whole" / "train.csv")
    assert [bool(row["gan"] and row["discriminator"]) for row in rows] == [False, False, True, True, True]
    with pytest.raises(KilledError):
        train(adversarial, tmp_path / "killed", reporter=KillAt(4))
    resumed = weights(train(adversarial, tmp_path / "killed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    states = torch.load(tmp_path / "whole" / "checkpoints" / "last.pt", weights_only=True)
    assert states["discriminator_optimiser"]["state"][0]["step"] == 3


def test_parts_of_a_batch_teach_a_discriminator_as_the_whole(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "gan.toml"
    path.write_text(ADVERSARIAL.format(folder=tmp_path / "photos"))
    settings = ["train.steps=3", "objective.discriminator=disc_vgg", "objective.gan=sgan"]
    found = []
    for parts in (1, 2):
        train(load_recipe(path, [*settings, f"train.accumulate={parts}"]), tmp_path / str(parts))
        found.append(columns(tmp_path / str(parts) / "train.csv")[-1])
    assert float(found[1]["discriminator"]) == pytest.approx(float(found[0]["discriminator"]), rel=1e-2)
    assert float(found[1]["gan"]) == pytest.approx(float(found[0]["gan"]), rel=1e-2)


def test_a_discriminator_forgets_a_bad_step(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gan.toml"
    path.write_text(ADVERSARIAL.format(folder=tmp_path / "photos"))
    poison(monkeypatch, 3)
    train(load_recipe(path), tmp_path / "run")
    states = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert states["discriminator_optimiser"]["state"][0]["step"] == 2  # steps 2 and 4
    assert all(value.isfinite().all() for part in ("discriminator", "network") for value in states[part].values())
