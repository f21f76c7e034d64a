from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.errors import SettingError
from restorekit.training import load_recipe, train
from restorekit.training.sources import training_source
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
    """A striped wall that moves to the left, 2 m away."""
    folder = tmp_path / "video"
    for inside in ("frames", "depth"):
        (folder / inside).mkdir(parents=True)
    stripes = np.random.default_rng(0).integers(0, 256, (1, 120, 3), dtype=np.uint8).repeat(40, 0)
    for number in range(4):
        PIL.Image.fromarray(stripes[:, 3 * number : 3 * number + 80]).save(folder / "frames" / f"{number}.png")
    PIL.Image.fromarray(np.full((40, 80), 2000, np.uint16)).save(folder / "depth" / "1.png")
    return folder


def test_depth_is_trained_from_video_and_validated_by_depth(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    written = train(load_recipe(path), tmp_path / "run")
    assert written is not None
    (score,) = load_card(written).scores
    assert score.metric == "abs_rel" and score.input == 0 and score.output > 0  # the wall has one depth
    assert (tmp_path / "run" / "samples" / "step-0000002" / "1.png").exists()


def test_videos_and_corridors_are_trained_on_together(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "depth.toml"
    path.write_text(DEPTH.format(folder=video))
    source = training_source(load_recipe(path), torch.device("cpu"))
    assert len(source) == 2 + 14 and source.complete
    assert source.batch(0, 3, 0).input.shape == (3, 3, 32, 64)


def test_methods_that_do_not_learn_from_video_say_so(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "deblur.toml"
    path.write_text(f'method = "multi-output"\n[data]\nvideos = ["{video}"]\n[train]\nsteps = 1\n')
    with pytest.raises(SettingError, match="multi-output does not learn from video"):
        training_source(load_recipe(path), torch.device("cpu"))
