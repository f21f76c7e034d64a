"""``restorekit train``: from a recipe to a model that can be used."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import Run, save_photo

RECIPE = """
name = "mine"
method = "multi-output"

[config]
width = 4
enc_blk_nums = [1]
middle_blk_num = 1
dec_blk_nums = [1]
n_heads = 2
train_size = [32, 32]

[data]
clean = ["clean"]
validation = ["clean"]

[train]
steps = 4
batch = 2
patch = 32

[report]
log_every = 1
validate_every = 2
checkpoint_every = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for number in range(2):
        save_photo(tmp_path / "clean" / f"{number}.png", number, (96, 96))
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_what_is_trained_can_be_used_at_once(run: Run, recipe: Path) -> None:
    result = run("train", recipe, "-o", "run", "--device", "cpu", "--set", "train.steps=3")
    assert result.exit_code == 0, result.output
    card = Path("run/mine.toml")
    assert f"--model {card}" in result.stderr
    assert "steps = 3" in run("models", "show", card).stdout
    assert run("deblur", "clean/0.png", "-o", "out.png", "--model", card).exit_code == 0
    assert Path("out.png").exists()


def test_a_run_goes_on_where_it_stopped_unless_told_otherwise(run: Run, recipe: Path) -> None:
    def steps() -> list[int]:
        with open("run/train.csv", newline="") as file:
            return [int(row["step"]) for row in csv.DictReader(file)]

    assert run("train", recipe, "-o", "run", "--device", "cpu", "--quiet").exit_code == 0
    assert steps() == [1, 2, 3, 4]
    written = Path("run/checkpoints/last.pt").stat().st_mtime_ns
    assert run("train", recipe, "-o", "run", "--device", "cpu", "--quiet").exit_code == 0
    assert Path("run/checkpoints/last.pt").stat().st_mtime_ns == written
    assert run("train", recipe, "-o", "run", "--device", "cpu", "--quiet", "--fresh").exit_code == 0
    assert Path("run/checkpoints/last.pt").stat().st_mtime_ns > written
    assert steps() == [1, 2, 3, 4]


def test_a_dry_run_says_what_will_be(run: Run, recipe: Path) -> None:
    stages = "train.stages=[{until=2, patch=16, batch=4}]"
    result = run("train", recipe, "-o", "run", "--device", "cpu", "--dry-run", "--set", stages)
    assert result.exit_code == 0, result.output
    assert "Data: 2 to train on, 2 to validate on" in result.stderr
    assert "4 steps of 4 x 16² until step 2, then 2 x 32²; 12 pairs in all" in result.stderr
    assert "s a step at first" in result.stderr and "GiB" in result.stderr
    assert not Path("run").exists()


def test_all_that_is_wrong_with_pairs_is_said_before_training(run: Run, recipe: Path) -> None:
    for number in range(2):
        save_photo(Path(f"set/input/{number}.png"), number, (48, 48))
    save_photo(Path("set/target/0.png"), 0, (40, 48))
    assignments = ["--set", "data.clean=[]", "--set", "data.validation=[]", "--set", 'data.pairs=["set"]']
    result = run("train", recipe, "-o", "run", "--device", "cpu", *assignments)
    assert result.exit_code == 1 and "set/input/1.png has no partner set/target/1.*" in result.stderr
    save_photo(Path("set/target/1.png"), 0, (48, 48))
    result = run("train", recipe, "-o", "run", "--device", "cpu", *assignments)
    assert result.exit_code == 1 and "set/input/0.png is" in result.stderr and "Make" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere.toml"], 2, "nowhere.toml does not exist"),
        (["multi-output-compat"], 2, "unknown recipe 'multi-output-compat'. Did you mean 'multi-output-compact'"),
        (["recipe.toml", "--set", "train.setps=3"], 2, "unknown key 'setps'"),
        (["recipe.toml", "--set", "train.steps"], 2, "not of the form key=value"),
        (["recipe.toml", "--set", "train.steps=many"], 2, "must be a whole number"),
        (["recipe.toml", "--set", 'data.clean=["empty"]'], 1, "empty"),
    ],
)
def test_hostile_recipes(run: Run, recipe: Path, arguments: list[str], code: int, message: str) -> None:
    Path("empty").mkdir()
    result = run("train", *arguments, "-o", "run", "--device", "cpu")
    assert result.exit_code == code, result.output
    assert message in result.stderr
