from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods.multi_output import MultiOutputConfig
from restorekit.training import load_recipe
from restorekit.training.recipe import TrainSettings, shipped_recipes
from restorekit.training.schedule import learning_rate

MINIMAL = """
method = "multi-output"
[config]
width = 4
[data]
clean = ["photos"]
[train]
steps = 10
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    return path


def test_a_minimal_recipe_is_filled_from_preset_and_defaults(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    assert loaded.name == "mine"
    assert loaded.data.clean == (Path("photos"),)
    assert loaded.method_config() == MultiOutputConfig(width=4)
    assert loaded.card.tasks == ("deblur",)
    assert loaded.train == TrainSettings(steps=10)


def test_assignments_override(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["train.steps=77", 'data.clean=["a", "b"]', "config.width=6", "name=other"])
    assert (loaded.train.steps, loaded.config["width"], loaded.name) == (77, 6, "other")
    assert loaded.data.clean == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("train.stps=5", "Did you mean 'steps'"),
        ("train.steps=many", "must be a whole number"),
        ("train.steps=0", "steps must be at least 1"),
        ("train.precision=fp8", "unknown value 'fp8'"),
        ("config.widht=5", "Did you mean 'width'"),
        ("preset=compct", "Did you mean 'compact'"),
        ("method=multioutput", "Did you mean 'multi-output'"),
        ("data.clean=[]", "names no clean photographs"),
        ("nonsense", "not of the form key=value"),
        ("train.steps.more=1", "is a value, not a section"),
    ],
)
def test_what_does_not_fit_is_named(recipe: Path, assignment: str, message: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=message):
        load_recipe(recipe, [assignment])


def test_the_digest_follows_the_contents(recipe: Path) -> None:
    assert load_recipe(recipe).digest() == load_recipe(recipe).digest()
    assert load_recipe(recipe).digest() != load_recipe(recipe, ["train.seed=1"]).digest()


def test_shipped_recipes_load_by_name() -> None:
    assert "multi-output-compact" in shipped_recipes()
    for name in shipped_recipes():
        assert load_recipe(name).name == name
    with pytest.raises(UnknownNameError, match="Did you mean 'multi-output-compact'"):
        load_recipe("multi-output-compct")


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="does not exist"):
        load_recipe(tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("steps = = 3")
    with pytest.raises(SettingError, match="not valid TOML"):
        load_recipe(tmp_path / "broken.toml")


def test_the_rate_rises_and_falls_along_half_a_cosine() -> None:
    settings = TrainSettings(steps=110, warmup=10, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(step, settings) for step in range(111)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55)
    assert rates[110] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))
