"""What trainings in tests share: a tiny recipe, ways to end a run, and what it left."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data import SyntheticBatches
from restorekit.data.streams import ALL
from restorekit.methods import Batch
from restorekit.training import Recipe, load_recipe
from restorekit.training.report import Reporter
from restorekit.zoo import load_card, load_network

RECIPE = """
method = "multi-output"
[config]
width = 4
enc_blk_nums = [1]
dec_blk_nums = [1]
n_heads = 2
[data]
{data}
[train]
steps = 8
batch = 2
patch = 24
ema = 0.5
[report]
log_every = 1
checkpoint_every = 2
validate_every = 4
samples = 1
"""

CLEAN = """
clean = ["{folder}"]
validation = ["{held_back}"]
[degradation]
margin = 6
length = [2, 6]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    folder, held_back = tmp_path / "photos", tmp_path / "held-back"
    folder.mkdir()
    held_back.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (18, 20, 3), dtype=np.uint8))
        for place in (folder, held_back):
            coarse.resize((80, 72), PIL.Image.Resampling.BICUBIC).save(place / f"{index}.png")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(data=CLEAN.format(folder=folder, held_back=held_back)))
    return load_recipe(path)


class KilledError(Exception):
    pass


class KillAt(Reporter):
    """Ends the run as a kill would, in the middle of things."""

    def __init__(self, step: int) -> None:
        self.step = step

    def logged(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            raise KilledError


def weights(card: Path | None) -> dict[str, torch.Tensor]:
    assert card is not None
    return load_network(load_card(card)).state_dict()


def columns(path: Path, *leave_out: str) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in leave_out} for row in csv.DictReader(file)]


def poison(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """The inputs of these steps are no numbers."""
    original = SyntheticBatches.batch

    def poisoned(self: SyntheticBatches, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        batch = original(self, step, count, patch, own)
        return Batch(batch.input * float("nan"), batch.target, batch.extras) if step in steps else batch

    monkeypatch.setattr(SyntheticBatches, "batch", poisoned)
