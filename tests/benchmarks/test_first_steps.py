from __future__ import annotations

from pathlib import Path

from benchmarks.first_steps import EXAMPLES, measure, on_examples
from restorekit.training.recipe import load_recipe


def test_held_back_batches_are_scored_alike_and_steps_lower_their_loss() -> None:
    small = [*on_examples(load_recipe("cbsn-compact"), EXAMPLES[0].parent), "train.batch=1", "train.patch=40", "train.warmup=0"]
    still = measure(
        load_recipe("cbsn-compact", [*small, "train.steps=1", "train.learning_rate=1e-30", "train.final_learning_rate=0"]), 2
    )
    assert still.before == still.after and still.better == 0 and still.batches == 2
    taught = measure(load_recipe("cbsn-compact", [*small, "train.steps=20"]), 2)
    assert taught.before == still.before and taught.after < taught.before


def test_video_is_drawn_where_a_recipe_learns_from_video(tmp_path: Path) -> None:
    recipe = load_recipe("dcpi-depth-compact", on_examples(load_recipe("dcpi-depth-compact"), tmp_path))
    assert not recipe.data.videos and recipe.data.corridors
