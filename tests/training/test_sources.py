from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data import PairedBatches
from restorekit.errors import DataError, SettingError
from restorekit.training import load_recipe, train
from restorekit.training.sources import load_data, training_source
from restorekit.zoo import load_card

DEPTH = """
method = "dcpi-depth"
[config]
dims = [8, 8, 8]
heads = [2, 2, 2]
dilation = [[1], [1], [1]]
height = 32
width = 64
[objective]
dense_after = 100
[data]
videos = ["{folder}/frames"]
corridors = 1
validation_depth = ["{folder}"]
[train]
steps = 2
batch = 2
learning_rate = 1e-4
[report]
log_every = 1
samples = 1
"""


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A papered wall that moves to the left, 2 m away."""
    folder = tmp_path / "video"
    for inside in ("frames", "depth"):
        (folder / inside).mkdir(parents=True)
    coarse = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 20, 3), dtype=np.uint8))
    wall = np.asarray(coarse.resize((120, 40), PIL.Image.Resampling.BICUBIC))
    for number in range(4):
        PIL.Image.fromarray(wall[:, 3 * number : 3 * number + 80]).save(folder / "frames" / f"{number}.png")
    PIL.Image.fromarray(np.full((40, 80), 2000, np.uint16)).save(folder / "depth" / "1.png")
    return folder


def test_one_data_set_is_trained_on_and_validated_on_by_its_parts(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), dtype=np.uint8)
    for part, count in (("train", 1), ("test", 2)):
        for side in ("blur", "sharp"):
            (tmp_path / part / "street" / side).mkdir(parents=True)
            for number in range(count):
                PIL.Image.fromarray(colours[number]).save(tmp_path / part / "street" / side / f"{number}.png")
    pairs = f'[{{folder="{tmp_path}", layout="gopro"}}]'
    recipe = load_recipe("multi-output-compact", ["clean=[]", "validation=[]", f"pairs={pairs}", f"validation_pairs={pairs}"])
    source, held_back = load_data(recipe, torch.device("cpu"))
    assert isinstance(source, PairedBatches) and held_back is not None
    assert (len(source), len(held_back)) == (1, 2)


def test_some_of_many_pairs_can_be_drawn(tmp_path: Path) -> None:
    colour = PIL.Image.new("RGB", (24, 24))
    for side in ("input", "target"):
        (tmp_path / side).mkdir()
        for number in range(20):
            colour.save(tmp_path / side / f"{number:02}.png")

    def drawn(count: int) -> list[tuple[Path, Path]]:
        pairs = f'[{{folder="{tmp_path}", count={count}}}]'
        recipe = load_recipe("multi-output-compact", ["clean=[]", "validation=[]", f"pairs={pairs}"])
        source = training_source(recipe, torch.device("cpu"))
        assert isinstance(source, PairedBatches)
        return list(source.images.paths)

    some = drawn(5)
    assert len(set(some)) == 5 and some == sorted(some) == drawn(5) and some != drawn(20)[:5]
    assert len(drawn(0)) == 20
    with pytest.raises(DataError, match=r"holds 20 pairs, fewer than count = 21"):
        drawn(21)
    with pytest.raises(SettingError, match="count must not be negative"):
        drawn(-1)


def test_depth_is_trained_from_video_and_validated_by_depth(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    written = train(load_recipe(path), tmp_path / "run")
    assert written is not None
    (score,) = load_card(written).scores
    assert score.metric == "abs_rel" and score.input == 0 and 0 <= score.output < 0.3  # the wall has one depth
    assert (tmp_path / "run" / "samples" / "step-0000002" / "1.png").exists()


def test_videos_and_corridors_are_trained_on_together(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    source = training_source(load_recipe(path), torch.device("cpu"))
    assert len(source) == 2 + 14 and source.complete
    assert source.batch(0, 3, 0).input.shape == (3, 3, 32, 64)


def test_flow_comes_with_videos_and_corridors_if_it_is_asked_for(video: Path, tmp_path: Path) -> None:
    """Found in the wall's frames, which move by 3 of 80 pixels to the left, here 2.4 of 64; known of the corridor."""
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    assert "flow_next" not in training_source(load_recipe(path), torch.device("cpu")).batch(0, 2, 0).extras
    source = training_source(load_recipe(path, ["flow=dis", "corridors=0"]), torch.device("cpu"))
    extras = source.batch(0, 4, 0).extras
    forward, backward = extras["flow_next"][:, 0], extras["flow_previous"][:, 0]
    middle = (slice(None), slice(8, -8), slice(16, -16))
    assert forward[middle].abs().median() == pytest.approx(2.4, abs=0.1)
    assert (forward[middle] + backward[middle]).abs().median() < 0.2
    assert (forward[middle] + extras["flow_next_back"][:, 0][middle]).abs().median() < 0.2
    mixed = training_source(load_recipe(path, ["flow=dis"]), torch.device("cpu"))
    assert len(mixed) == 2 + 14 and mixed.batch(0, 8, 0).extras["flow_previous_back"].shape == (8, 2, 32, 64)


def test_the_dense_terms_are_taught_by_found_flow(video: Path, tmp_path: Path) -> None:
    """From the step on that they begin at, they are not 0."""
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    recipe = load_recipe(
        path, ["flow=dis", "objective.dense_after=1", "objective.divergence_after=1", "validation_depth=[]", "steps=3"]
    )
    assert train(recipe, tmp_path / "run") is not None
    with (tmp_path / "run" / "train.csv").open(newline="") as file:
        rows = [{name: float(row[name]) for name in ("consistency", "adjustment")} for row in csv.DictReader(file)]
    assert rows[0] == {"consistency": 0, "adjustment": 0} and all(row["adjustment"] > 0 for row in rows[1:])


def test_methods_that_do_not_learn_from_video_say_so(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "deblur.toml"
    path.write_text(f'method = "multi-output"\n[data]\nvideos = ["{video}"]\n[train]\nsteps = 1\n')
    with pytest.raises(SettingError, match="multi-output does not learn from video"):
        training_source(load_recipe(path), torch.device("cpu"))
