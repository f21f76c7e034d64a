"""The shipped recipes: each compact one is run for a few steps as it stands but for its size, and has to lower its loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from lightning_fabric import Fabric

from restorekit.degradations import get_degradation
from restorekit.methods import get_method, list_methods
from restorekit.training import load_recipe, train
from restorekit.training.learner import Learner
from restorekit.training.recipe import shipped_recipes
from restorekit.training.report import Reporter
from restorekit.training.sources import training_source
from restorekit.zoo import load_card, load_network

COMPACT = [name for name in shipped_recipes() if name.endswith("-compact")]
CASES = [*((name, ()) for name in COMPACT), ("cbsn-compact", ("supervised=false", "ramp=0"))]
"""The recipes, and what they have beside: how C-BSN teaches itself."""

SMALLER = ["steps=40", "batch=2", "patch=60", "warmup=0", "precision=fp32", "compile=false", "ema=0"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (24, 30, 3), dtype=np.uint8))
        coarse.resize((300, 240), PIL.Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    return folder


def smaller(name: str, photos: Path, *changes: str) -> Any:
    own = {
        "dcpi-depth-compact": [
            "data.videos=[]",
            "data.validation_depth=[]",
            "corridors=1",
            "config.height=64",
            "config.width=96",
        ],
    }.get(name, [f'data.clean=["{photos}"]', "data.validation=[]", "data.validation_pairs=[]"])
    return load_recipe(name, [*SMALLER, *own, *changes])


@pytest.mark.parametrize("method", list_methods())
def test_every_method_has_both_recipes(method: str) -> None:
    assert {f"{method}-compact", f"{method}-paper"} <= shipped_recipes().keys()


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.endswith("-paper")])
def test_published_recipes_are_complete(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.preset == "paper" and recipe.train.ema == 0 and recipe.train.precision == "fp32"
    get_method(recipe.method).objective(recipe.method_config(), recipe.objective)


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_degrade_by_what_there_is(name: str) -> None:
    recipe = load_recipe(name)
    assert get_degradation(recipe.data.degradation, recipe.degradation).margin >= 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), CASES)
def test_a_few_steps_lower_the_loss_of_a_batch(name: str, objective: tuple[str, ...], photos: Path) -> None:
    recipe = smaller(name, photos, *(f"objective.{change}" for change in objective))
    fabric = Fabric(accelerator="cpu", devices=1)
    learner = Learner(recipe, get_method(recipe.method), recipe.method_config(), fabric)
    batch = training_source(recipe, torch.device("cpu")).batch(0, recipe.train.batch, recipe.train.patch)
    totals = []
    for step in range(8):
        losses = learner.learn(batch, step)
        totals.append(sum(float(value) for key, value in losses.items() if key != "gradient_norm"))
    assert min(totals[-2:]) < totals[0], totals


class KilledError(Exception):
    pass


class KillAtOnce(Reporter):
    """Ends a run in its second step, as a kill would."""

    def logged(self, step: int, values: dict[str, float]) -> None:
        if step == 2:
            raise KilledError


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), CASES)
def test_every_method_goes_on_where_it_was_killed(name: str, objective: tuple[str, ...], photos: Path, tmp_path: Path) -> None:
    changes = (
        *(f"objective.{change}" for change in objective),
        "steps=2",
        "patch=40",
        "checkpoint_every=1",
        "log_every=1",
        "ema=0.5",
    )
    recipe = smaller(name, photos, *changes)
    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "killed", reporter=KillAtOnce())
    resumed = train(recipe, tmp_path / "killed")
    assert whole is not None and resumed is not None
    a, b = (load_network(load_card(card)).state_dict() for card in (whole, resumed))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
