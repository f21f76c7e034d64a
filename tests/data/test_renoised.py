from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor
from torch.nn import functional as F

from restorekit.data import RenoisedBatches
from restorekit.data.renoised import PHOTOGRAPHS, WINDOW, _windows
from restorekit.errors import DataError, ImageError


def smoothed(photograph: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(photograph[None], (2, 2, 2, 2), mode="reflect"), 5, 1)[0]


def write(path: Path, height: int, width: int, sigma: float = 15, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    slope = np.linspace(60, 190, width)[None, :, None]
    PillowImage.fromarray((slope + rng.normal(0, sigma, (height, width, 3))).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    return write(tmp_path / "noisy.png", 160, 200)


def test_pairs_have_the_photographs_noise_on_what_the_denoiser_made(photograph: Path) -> None:
    batches = RenoisedBatches([photograph], smoothed, 0)
    batch = batches.batch(0, 64, 40)
    assert batch.input.shape == batch.target.shape == (64, 3, 40, 40) and int(batch.extras["step"]) == 0
    assert batch.target.diff(dim=-1).abs().mean() < 0.01
    noise = (batch.input - batch.target).std((1, 2, 3)) * 255
    assert noise.min() > 15 * 0.95 and noise.max() < 2 * 15 * 1.05 and noise.max() > 1.5 * noise.min()
    assert torch.equal((batch.input * 255).round() / 255, batch.input)
    assert len(batches) == 1 and batches.complete


def test_batches_follow_from_seed_and_step(photograph: Path) -> None:
    batches, again, other = (RenoisedBatches([photograph], smoothed, seed) for seed in (0, 0, 1))
    assert torch.equal(batches.batch(3, 2, 40).input, again.batch(3, 2, 40).input)
    assert not torch.equal(batches.batch(3, 2, 40).input, batches.batch(4, 2, 40).input)
    assert not torch.equal(batches.batch(3, 2, 40).input, other.batch(3, 2, 40).input)


def test_held_back_pairs_are_not_trained_on(photograph: Path) -> None:
    batches = RenoisedBatches([photograph], smoothed, 0)
    held = batches.held_back(1, 40)
    assert torch.equal(held.input, batches.held_back(1, 40).input) and held.input.shape == (1, 3, 40, 40)
    assert not torch.equal(held.input, batches.batch(1, 1, 40).input)


def test_crops_larger_than_a_reduced_photograph_are_filled(tmp_path: Path) -> None:
    batches = RenoisedBatches([write(tmp_path / "small.png", 40, 64)], smoothed, 0)
    assert batches.batch(0, 2, 40).input.shape == (2, 3, 40, 40)


@pytest.mark.parametrize(("side", "starts"), [(100, [0]), (WINDOW, [0]), (WINDOW + 300, [150]), (4 * WINDOW, [256, 1280])])
def test_windows_are_spread_over_a_side(side: int, starts: list[int]) -> None:
    windows = _windows(side)
    assert [window.start for window in windows] == starts and all(window.stop - window.start == WINDOW for window in windows)
    assert all(window.stop <= side for window in windows) or side < WINDOW


def test_of_many_photographs_some_are_looked_at(tmp_path: Path) -> None:
    seen = []

    def denoise(photograph: Tensor) -> Tensor:
        seen.append(round(float(photograph.mean()) * 255))
        return photograph

    paths = []
    for number in range(2 * PHOTOGRAPHS):
        paths.append(tmp_path / f"{number:02d}.png")
        PillowImage.new("RGB", (40, 40), (number, number, number)).save(paths[-1])
    assert len(RenoisedBatches(paths, denoise, 0)) == PHOTOGRAPHS
    assert seen == list(range(0, 2 * PHOTOGRAPHS, 2))


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too small to measure their noise"):
        RenoisedBatches([write(tmp_path / "tiny.png", 20, 20)], smoothed, 0)
    (tmp_path / "broken.png").write_bytes(b"no")
    with pytest.raises(ImageError):
        RenoisedBatches([tmp_path / "broken.png"], smoothed, 0)
