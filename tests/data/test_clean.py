from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data import CleanPhotographs, SyntheticBatches, SyntheticSet, find_images
from restorekit.degradations import MotionBlur, MotionBlurSettings, seeded_generator
from restorekit.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "inner").mkdir()
    for name, shape in {
        "a.png": (90, 120, 3),
        "inner/b.png": (70, 64, 3),
        "c_soft.png": (160, 140, 3),
        "grey.png": (80, 80),
    }.items():
        PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_images_are_found_in_order_and_in_sub_folders(folder: Path) -> None:
    assert [path.name for path in find_images([folder])] == ["a.png", "c_soft.png", "grey.png", "b.png"]
    assert find_images([folder / "a.png"]) == [folder / "a.png"]


def test_hidden_images_are_found_only_by_name(folder: Path) -> None:
    hidden = folder / ".ipynb_checkpoints" / "a-checkpoint.png"
    hidden.parent.mkdir()
    hidden.write_bytes((folder / "a.png").read_bytes())
    (folder / "._a.png").write_bytes(b"\0\5\x16\7")
    assert [path.name for path in find_images([folder])] == ["a.png", "c_soft.png", "grey.png", "b.png"]
    assert find_images([hidden.parent]) == find_images([hidden]) == [hidden]


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find_images([tmp_path / "none"])
    with pytest.raises(DataError, match="no image in"):
        find_images([tmp_path])


def test_pyramid_and_halving(folder: Path) -> None:
    photographs = CleanPhotographs([folder], halve=["*_soft.png"], minimum=40)
    levels = [level for index in photographs.usable for level in photographs.images[index]]
    sizes = {tuple(level.shape[1:]) for level in levels}
    assert sizes == {(90, 120), (45, 60), (70, 64), (80, 70), (40, 40), (80, 80)}
    assert all(level.dtype == torch.uint8 and level.shape[0] == 3 for level in levels)
    assert len(CleanPhotographs([folder], pyramid=False, minimum=85)) == 2


def test_nothing_large_enough_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="500 pixels"):
        CleanPhotographs([folder], minimum=500)


@pytest.mark.parametrize("size", [32, 64, 300])
def test_crops_have_the_asked_size_and_follow_the_generator(folder: Path, size: int) -> None:
    photographs = CleanPhotographs([folder])
    crops = photographs.crops(6, size, seeded_generator(1))
    assert crops.shape == (6, 3, size, size)
    assert crops.min() >= 0 and crops.max() <= 1
    assert torch.equal(crops, photographs.crops(6, size, seeded_generator(1)))
    assert not torch.equal(crops, photographs.crops(6, size, seeded_generator(2)))


def test_detail_is_preferred(tmp_path: Path) -> None:
    half_flat = np.full((64, 256, 3), 128, np.uint8)
    half_flat[:, 128:] = np.random.default_rng(1).integers(0, 256, (64, 128, 3))
    PIL.Image.fromarray(half_flat).save(tmp_path / "half.png")
    photographs = CleanPhotographs([tmp_path], pyramid=False)
    share = [(photographs.crops(60, 32, seeded_generator(3), tries).std((1, 2, 3)) > 0.1).float().mean() for tries in (1, 4)]
    assert share[1] > share[0] + 0.15


def test_batches_depend_on_seed_and_step_alone(folder: Path) -> None:
    degradation = MotionBlur(MotionBlurSettings(margin=8, length=(2, 8)))
    batches = SyntheticBatches(CleanPhotographs([folder]), degradation, seed=7)
    later = batches.batch(5, 2, 32)
    assert later.input.shape == later.target.shape == (2, 3, 32, 32)
    assert later.extras["step"] == 5
    batches.batch(0, 2, 32)
    again = batches.batch(5, 2, 32)
    assert torch.equal(later.input, again.input) and torch.equal(later.target, again.target)
    assert not torch.equal(later.target, batches.batch(6, 2, 32).target)


def test_the_validation_set_is_fixed(folder: Path) -> None:
    degradation = MotionBlur(MotionBlurSettings(margin=8, length=(2, 8)))
    whole, cut = (SyntheticSet([folder], degradation, seed=3, crop=crop) for crop in (0, 48))
    assert len(whole) == 4
    assert whole[0].input.shape == (1, 3, 90, 120) and cut[0].target.shape == (1, 3, 48, 48)
    assert torch.equal(cut[1].input, SyntheticSet([folder], degradation, seed=3, crop=48)[1].input)
    assert not torch.equal(cut[1].input, SyntheticSet([folder], degradation, seed=4, crop=48)[1].input)


def test_softened_crops_have_lost_what_a_gaussian_takes(tmp_path: Path) -> None:
    """Of white noise a Gaussian of s pixels leaves 1 / (4 pi s^2) of the variance."""
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    sharp, soft = (
        CleanPhotographs([tmp_path], pyramid=False, soften=(sigma, sigma)).crops(4, 128, seeded_generator(1))
        for sigma in (0.0, 1.5)
    )
    kept = float(soft[..., 8:-8, 8:-8].var() / sharp.var())
    assert kept == pytest.approx(1 / (4 * np.pi * 1.5**2), rel=0.1)


def test_crops_are_softened_each_by_its_own_measure(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    PIL.Image.fromarray(noise).save(tmp_path / "noise.png")
    crops = CleanPhotographs([tmp_path], pyramid=False, soften=(0.0, 2.0)).crops(40, 64, seeded_generator(2))
    spread = crops.flatten(1).std(1) / crops.flatten(1).std(1).max()
    assert spread.min() < 0.2 and spread.max() == 1 and 0.2 < spread.median() < 0.6
    again = CleanPhotographs([tmp_path], pyramid=False, soften=(0.0, 2.0)).crops(40, 64, seeded_generator(2))
    assert torch.equal(crops, again)
