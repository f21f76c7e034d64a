from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data import NoisyBatches, PairedBatches, PairedSet
from restorekit.data.cache import DecodedImages
from restorekit.data.clean import load_rgb
from restorekit.data.crops import surround
from restorekit.errors import DataError


def save(path: Path, pixels: np.ndarray) -> Path:
    PIL.Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> list[tuple[Path, Path]]:
    """Inputs that are 255 minus their target, so that what belongs together can be told."""
    rng = np.random.default_rng(0)
    found = []
    for index, (height, width) in enumerate([(50, 70), (40, 30)]):
        target = rng.integers(0, 256, (height, width, 3))
        found.append((save(tmp_path / f"{index}_in.png", 255 - target), save(tmp_path / f"{index}_out.png", target)))
    return found


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_input_and_target_are_cut_and_turned_alike(pairs: list[tuple[Path, Path]], memory: int) -> None:
    batches = PairedBatches(pairs, seed=3, memory=memory)
    batch = batches.batch(4, 5, 32)
    assert batch.input.shape == batch.target.shape == (5, 3, 32, 32)
    assert torch.allclose(batch.input + batch.target, torch.ones(()), atol=1e-6)
    assert batch.extras["step"] == 4
    assert torch.equal(batch.input, PairedBatches(pairs, seed=3).batch(4, 5, 32).input)
    assert not torch.equal(batch.input, batches.batch(5, 5, 32).input)


@pytest.mark.parametrize("memory", [0, 1 << 20])
def test_an_input_with_two_targets_is_two_pairs(tmp_path: Path, memory: int) -> None:
    shared = save(tmp_path / "in.png", np.full((40, 40, 3), 9))
    targets = [save(tmp_path / f"{value}.png", np.full((40, 40, 3), value)) for value in (50, 200)]
    batches = PairedBatches([(shared, target) for target in targets], seed=1, memory=memory)
    batch = batches.batch(0, 16, 32)
    assert len(batches) == 2 and set((batch.target * 255).round().flatten().tolist()) == {50, 200}
    assert set((batch.input * 255).round().flatten().tolist()) == {9}


def test_sizes_that_differ_and_damaged_files_are_named_together(pairs: list[tuple[Path, Path]], tmp_path: Path) -> None:
    small = save(tmp_path / "small.png", np.zeros((9, 9, 3)))
    broken = tmp_path / "broken.png"
    broken.write_bytes(small.read_bytes()[:40])
    with pytest.raises(DataError) as error:
        PairedBatches([*pairs, (small, pairs[0][1]), (broken, small)], seed=0)
    text = str(error.value)
    assert "2 problems" in text and "small.png is 9 x 9 but its target" in text and "70 x 50" in text and "broken.png" in text


def test_validation_pairs_come_whole_or_cut(pairs: list[tuple[Path, Path]]) -> None:
    whole, cut = PairedSet(pairs)[0], PairedSet(pairs, crop=20)[0]
    assert whole.input.shape == (1, 3, 50, 70) and cut.input.shape == (1, 3, 20, 20)
    assert torch.equal(cut.input, whole.input[:, :, 15:35, 25:45])


def test_what_fits_is_kept_and_the_rest_read_again(pairs: list[tuple[Path, Path]]) -> None:
    paths, reads = [path for path, _ in pairs], []

    def decode(path: Path) -> tuple[torch.Tensor, ...]:
        reads.append(path)
        return (load_rgb(path),)

    decoded = DecodedImages(paths, decode, memory=50 * 70 * 3)
    assert decoded.load() == [] and decoded.counts == [1, 1] and not decoded.complete
    reads.clear()
    assert decoded[0][0].shape == (3, 50, 70) and reads == []
    assert decoded[1][0].shape == (3, 40, 30) and reads == [paths[1]]


def test_noisy_crops_are_their_own_targets_and_hold_noise(tmp_path: Path) -> None:
    pixels = np.full((64, 256, 3), 255)
    pixels[:, 192:] = np.random.default_rng(1).integers(0, 256, (64, 64, 3))
    save(tmp_path / "mostly_white.png", pixels)
    batch = NoisyBatches([tmp_path], seed=0).batch(0, 12, 32)
    assert torch.equal(batch.input, batch.target)
    tells = ((batch.input >= 1).float().mean((1, 2, 3)) <= 0.5).sum()
    assert tells >= 9  # by chance alone a quarter would


def test_noisy_photographs_are_chosen_by_name(tmp_path: Path) -> None:
    for name in ("1_NOISY.png", "1_GT.png"):
        save(tmp_path / name, np.random.default_rng(1).integers(0, 256, (40, 40, 3)))
    assert len(NoisyBatches([tmp_path], seed=0)) == 2
    assert [path.name for path in NoisyBatches([tmp_path], seed=0, match=["*_NOISY*"]).images.paths] == ["1_NOISY.png"]
    with pytest.raises(DataError, match="is called x or y"):
        NoisyBatches([tmp_path], seed=0, match=["x", "y"])


@pytest.mark.parametrize("shape", [(3, 1, 1), (3, 1, 7), (3, 5, 2), (3, 20, 3)])
def test_small_photographs_are_surrounded(shape: tuple[int, ...]) -> None:
    crop = torch.rand(shape)
    result = surround(crop, 16)
    assert result.shape == (3, max(16, shape[1]), max(16, shape[2]))
    assert torch.equal(result[:, : shape[1], : shape[2]], crop)
