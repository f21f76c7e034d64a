"""Drawn cloth on training crops."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data import CleanPhotographs
from restorekit.data.cloth import drape
from restorekit.degradations import seeded_generator


def test_cloth_is_drawn_over_a_part_and_the_rest_stays() -> None:
    crop = torch.full((3, 96, 128), 0.5)
    for seed in range(8):
        draped = drape(crop, seeded_generator(seed))
        assert draped.shape == crop.shape and float(draped.min()) >= 0 and float(draped.max()) <= 1
        changed = ((draped - crop).abs() > 0.02).any(0).double().mean()
        assert 0.1 < float(changed) < 0.99
        assert torch.equal(draped, drape(crop, seeded_generator(seed)))


def test_cloth_has_threads_as_fine_as_pixels_hold() -> None:
    """Its light and shade is the crop's: only what is finer than the coarsest thread was added."""
    crop = torch.full((3, 128, 128), 0.5)
    added = torch.stack([drape(crop, seeded_generator(seed)) - crop for seed in range(32)]).mean(1)
    spectrum = torch.fft.rfft2(added).abs().square().mean(0)
    fy, fx = torch.fft.fftfreq(128)[:, None], torch.fft.rfftfreq(128)
    radius = torch.hypot(fy, fx)
    assert float(spectrum[(radius > 1 / 20) & (radius < 0.45)].sum() / spectrum.sum()) > 0.8


@pytest.mark.parametrize("cloth", [0.0, 0.5, 1.0])
def test_a_share_of_crops_has_cloth(tmp_path: Path, cloth: float) -> None:
    PIL.Image.fromarray(np.full((80, 80, 3), 128, np.uint8)).save(tmp_path / "grey.png")
    crops = CleanPhotographs([tmp_path], cloth=cloth).crops(64, 64, seeded_generator(1))
    assert (crops.flatten(1).std(1) > 1e-3).double().mean() == pytest.approx(cloth, abs=0.2)


def test_crops_without_cloth_are_those_of_before(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 100, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(tmp_path / "noise.png")
    a, b = (CleanPhotographs([tmp_path], cloth=cloth).crops(1, 64, seeded_generator(3)) for cloth in (0.0, 1e-9))
    assert torch.equal(a, b)
