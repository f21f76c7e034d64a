from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.cli.verbs import VERBS
from restorekit.errors import SettingError, UnknownNameError, UsageError
from restorekit.methods import get_method, list_methods
from restorekit.methods.multi_output import MultiOutputConfig
from restorekit.metrics import ssim
from restorekit.training import load_recipe
from restorekit.training.data_settings import PairFolder, pair_folder
from restorekit.training.recipe import SMALLEST, Stage, TrainSettings, shipped_recipes
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


def test_a_key_that_one_section_has_needs_no_section(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["steps=30", "learning-rate=0.5", "validate_every=7"])
    assert (loaded.train.steps, loaded.train.learning_rate, loaded.report.validate_every) == (30, 0.5, 7)
    with pytest.raises(UnknownNameError, match="unknown key 'stepz'"):
        load_recipe(recipe, ["stepz=30"])


def test_a_short_key_may_be_of_the_configuration_the_loss_or_the_degradation(recipe: Path) -> None:
    recipe.write_text(f"{MINIMAL}\n[objective]\neps = 1e-6\n[degradation]\nsharp = 0.1\n")
    loaded = load_recipe(recipe, ["n_heads=2", "width=8", "eps=1e-5", "sharp=0.3", "degradation=motion", "config={width=6}"])
    assert (loaded.config, loaded.objective, loaded.degradation) == ({"width": 6}, {"eps": 1e-5}, {"sharp": 0.3})
    recipe.write_text(f"{MINIMAL}\n[objective]\nsharp = 1\n[degradation]\nsharp = 0.1\n")
    with pytest.raises(SettingError, match=r"several sections have a key 'sharp'.*objective\.sharp or degradation\.sharp"):
        load_recipe(recipe, ["sharp=2"])


def test_data_that_is_named_takes_the_place_of_the_recipes(recipe: Path) -> None:
    recipe.write_text(MINIMAL.replace("[train]", '[card]\nlicence = "CC0"\ndata = "theirs"\ndefault_for = ["deblur"]\n[train]'))
    assert load_recipe(recipe, ["steps=3"]).card.data == "theirs"
    loaded = load_recipe(recipe, ['pairs=["mine"]', 'validation_pairs=["val"]', "data.augment=false"])
    assert (loaded.data.clean, loaded.data.pairs, loaded.data.validation) == ((), (Path("mine"),), ())
    assert (loaded.card.data, loaded.card.licence, loaded.card.default_for) == ("", "", ())
    told = load_recipe(recipe, ['clean=["mine"]', 'card.data="my photographs"', "licence=MIT"])
    assert (told.data.clean, told.card.data, told.card.licence) == ((Path("mine"),), "my photographs", "MIT")


def test_pairs_are_paths_or_tables(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["data.clean=[]", 'data.pairs=["a", {folder="b", layout="gopro"}]'])
    assert [pair_folder(entry) for entry in loaded.data.pairs] == [PairFolder(Path("a")), PairFolder(Path("b"), "gopro")]
    with pytest.raises(UnknownNameError, match="Did you mean 'layout'"):
        load_recipe(recipe, ["data.clean=[]", 'data.pairs=[{folder="b", layuot="gopro"}]'])


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
        ("data.clean=[]", "names no photographs"),
        ('data.noisy=["a"]; data.pairs=["b"]', "exclude each other: leave one"),
        ("train.learning_rate=1e-4; train.final_learning_rate=2e-4", "final_learning_rate must not be above learning_rate"),
        ("lerning_rate=1", "unknown key 'lerning_rate' in .* Did you mean 'learning_rate'"),
        ('data.clean=[]; data.noisy=["a"]; data.validation=["b"]; data.held_back=2', "held_back is where there is no validation"),
        ("data.validation=[]; data.held_back=2", "held_back is of noisy photographs or videos"),
        ("train.hold=5; train.schedule=steps; train.period=2", 'hold is for schedule = "cosine"'),
        ("train.hold=100000", "hold and warmup are 100000 of .* steps, and none is left"),
        ("train.schedule=steps", "needs a period of at least 1"),
        ("train.stages=[{until=5, patch=8, batch=1}, {until=5, patch=9, batch=1}]", "must end later than the one before"),
        ("train.stages=[{until=5, patch=8}]", "lacks the key 'batch'"),
        ("report.log_every=0", "log_every, validate_every and checkpoint_every must be at least 1"),
        ("report.validate_every=0", "must be at least 1"),
        ("report.checkpoint_every=0", "must be at least 1"),
        ("report.keep=-1", "keep, give_up_after, samples and validation_tile must not be negative"),
        ("report.give_up_after=-1", "must not be negative"),
        ("report.samples=-1", "must not be negative"),
        ("report.validation_crop=5", "validation_crop must be 0, or at least 11"),
        ("report.validation_crop=-64", "validation_crop must be 0, or at least 11"),
        ("report.validation_seed=-1", "validation_seed must not be negative"),
        ("train.seed=-1", "seed must lie from 0 to 4294967295"),
        ("train.seed=20261130123", "seed must lie from 0 to 4294967295"),
        ("train.betas=[0.9, 1.0]", r"ema and betas must lie in \[0, 1\)"),
        ("train.learning_rate=nan", "learning_rate must be positive"),
        ("train.learning_rate=inf", "learning_rate must be positive"),
        ("train.final_learning_rate=-1", "final_learning_rate not negative"),
        ("train.decay=0", "decay above 0"),
        ("train.weight_decay=-1", "clip, clip_value and weight_decay must not be negative"),
        ("train.warmup=-3", "warmup, hold, period and patience must not be negative"),
        ("train.patience=-1", "warmup, hold, period and patience must not be negative"),
        ("data.memory=nan", "memory, held_back and corridors must not be negative"),
        ("name=a/b", r"mine\.toml: name 'a/b' cannot name a file"),
        ('card.default_for=["denoise"]', r"mine\.toml: default_for names denoise, which tasks does not"),
        ('card.tasks=["debblur"]', r"unknown task 'debblur' in .*mine\.toml card tasks\. Did you mean 'deblur'"),
        ("degradation.lenght=[1, 2]", r"unknown key 'lenght' in \[degradation\]\. Did you mean 'length'"),
        ('data.clean=[]; data.pairs=["a"]; degradation.bogus=1', r"unknown key 'bogus' in \[degradation\]"),
        ("train.init=run/last.pt", r"run/last\.pt holds weights but is not a model card\. Name the card that goes with it"),
        ("train.init=run/t.safetensors", "holds weights but is not a model card"),
        ("nonsense", "not of the form key=value"),
        ("train.steps.more=1", "is a value, not a section"),
    ],
)
def test_what_does_not_fit_is_named(recipe: Path, assignment: str, message: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=message):
        load_recipe(recipe, assignment.split("; "))


def test_a_card_may_be_for_what_any_method_does(recipe: Path) -> None:
    loaded = load_recipe(recipe, ['card.tasks=["denoise", "dereflect"]', 'card.default_for=["denoise"]', "name=mine.v2"])
    card = loaded.to_card()
    assert (card.name, card.config["width"]) == ("mine.v2", 4)
    assert card.tasks == ("denoise", "dereflect") and card.default_for == ("denoise",)


def test_every_verb_is_a_task_that_recipes_may_name() -> None:
    assert VERBS.keys() == {task for method in list_methods() for task in get_method(method).tasks}


def test_what_is_validated_is_at_least_as_large_as_scores_need(recipe: Path) -> None:
    smallest = torch.rand(1, 3, SMALLEST, SMALLEST)
    assert ssim(smallest, smallest) == pytest.approx(1)
    with pytest.raises(UsageError):
        ssim(smallest[..., 1:], smallest[..., 1:])
    assert load_recipe(recipe, [f"validation_crop={SMALLEST}"]).report.validation_crop == SMALLEST


def test_sizes_that_stages_overrule_are_not_set_alone(recipe: Path) -> None:
    recipe.write_text(MINIMAL + "stages = [{ until = 5, patch = 16, batch = 4 }]\n")
    for assignment in ("batch=2", "train.batch = 2", "patch=40", "train.patch=40"):
        with pytest.raises(SettingError, match=r"mine\.toml has stages, .* train\.stages=\[\] leaves them out"):
            load_recipe(recipe, [assignment])
    assert load_recipe(recipe, ["batch=2", "patch=40", "train.stages=[]"]).train.size_at(0) == (2, 40)
    assert load_recipe(recipe, ["stages=[{until=3, patch=8, batch=1}]", "batch=2"]).train.size_at(3) == (2, 128)
    assert load_recipe(recipe, ["steps=4"]).train.size_at(0) == (4, 16)


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


def test_the_rate_holds_before_the_cosine() -> None:
    """Histoformer's: 3e-4 for 92,000 steps, then a cosine to 1e-6; its specification gives the values."""
    settings = TrainSettings(steps=300_000, hold=92_000, learning_rate=3e-4, final_learning_rate=1e-6)
    assert learning_rate(0, settings) == learning_rate(92_000, settings) == 3e-4
    assert learning_rate(196_000, settings) == pytest.approx(1.505e-4)
    assert learning_rate(300_000, settings) == pytest.approx(1e-6)


def test_the_rate_falls_by_steps() -> None:
    settings = TrainSettings(steps=500, learning_rate=1e-4, schedule="steps", period=100, decay=0.5)
    assert [learning_rate(step, settings) for step in (0, 99, 100, 250)] == [1e-4, 1e-4, 5e-5, 2.5e-5]


def test_the_rate_starts_again_lower_and_lower() -> None:
    settings = TrainSettings(steps=93, learning_rate=1e-4, final_learning_rate=5e-6, schedule="restarts", period=31, decay=0.9)
    assert learning_rate(0, settings) == 1e-4
    assert learning_rate(31, settings) == pytest.approx(9e-5) and learning_rate(62, settings) == pytest.approx(8.1e-5)
    assert learning_rate(30, settings) < 6e-6


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 5)), max_size=4), st.integers(1, 30))
def test_pairs_are_counted_as_they_are_drawn(parts: list[tuple[int, int]], steps: int) -> None:
    ends = list(accumulate(length for length, _ in parts))
    stages = tuple(Stage(end, 8, batch) for end, (_, batch) in zip(ends, parts, strict=True))
    settings = TrainSettings(steps=steps, batch=7, stages=stages)
    assert settings.pairs == sum(settings.size_at(step)[0] for step in range(steps))
