from __future__ import annotations

from pathlib import Path

import pytest
import torch

from restorekit.training import load_recipe
from restorekit.training.checkpoint import Progress
from restorekit.training.result import training_facts, validation_score
from restorekit.training.validation import Scores


@pytest.mark.parametrize(
    ("assignments", "told"),
    [
        ([], "300 free photographs"),
        (['clean=["my/photos", "more"]'], "photographs in photos and more"),
        (['pairs=["a", {folder="b", layout="gopro"}]', "validation=[]"], "pairs in a and b"),
        (['pairs=["a"]', "validation=[]", "card.data=street scenes"], "street scenes"),
    ],
)
def test_a_card_tells_the_data_that_was_trained_on(assignments: list[str], told: str) -> None:
    recipe = load_recipe("multi-output-compact", assignments)
    facts = training_facts(recipe, Progress(), torch.device("cpu"), 1, "fp32")
    assert facts["data"].startswith(told)


def test_videos_and_drawn_ones_are_told() -> None:
    data = load_recipe("dcpi-depth-compact", ['videos=["a", "b.mp4"]', "corridors=4"]).data
    assert data.described() == "videos in a and b.mp4 and 4 drawn videos"


def test_a_score_names_the_recipe_that_was_run() -> None:
    scores = Scores({"psnr": 21.0}, "psnr", 20.0, 21.0, "")
    told = validation_score(load_recipe("multi-output-compact"), scores)
    assert told.command == "restorekit train multi-output-compact"
    changed = load_recipe("multi-output-compact", ["steps=3", "validation_crop=64"])
    told = validation_score(changed, scores)
    assert told.command == "restorekit train multi-output-compact.recipe.toml"
    assert told.protocol.startswith("RGB, middle 64 x 64 at most, degraded with seed")
    assert Path(told.command.split()[-1]).suffixes == [".recipe", ".toml"]
