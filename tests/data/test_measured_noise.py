from __future__ import annotations

import pytest
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

from restorekit.data.measured_noise import BLOCK, LEVELS, MeasuredNoise, measure_noise


def scene(height: int = 256, width: int = 256) -> Tensor:
    """Half slow shading from dark to bright, half fine texture, ``(3, height, width)``."""
    generator = torch.Generator().manual_seed(0)
    picture = torch.linspace(0.2, 0.8, height)[:, None].expand(3, -1, width).clone()
    texture = 0.5 + 0.2 * torch.randn(3, height, width // 2, generator=generator)
    picture[:, :, width // 2 :] = texture.clamp(0.1, 0.9)
    return picture


def noise_of(picture: Tensor, sigma: float | Tensor, blur: float = 0.0, grey: bool = False, seed: int = 1) -> Tensor:
    """Gaussian noise of deviation ``sigma``, blurred before that, on request the same in all colours."""
    generator = torch.Generator().manual_seed(seed)
    white = torch.randn(picture.shape, generator=generator)
    white = white[:1].expand_as(white) if grey else white
    if blur:
        white = gaussian_blur2d(white[None], (13, 13), (blur, blur), border_type="circular")[0]
        white = white / white.std()
    return sigma * white


def remade(noise: MeasuredNoise, picture: Tensor) -> Tensor:
    return noise.make(picture, torch.Generator().manual_seed(2))


def autocorrelation(noise: Tensor, step: int) -> float:
    return float((noise[:, :, step:] * noise[:, :, :-step]).mean() / noise.square().mean())


@pytest.mark.parametrize("sigma", [0.01, 0.04])
@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
def test_noise_made_anew_is_as_strong_and_as_coarse(sigma: float, blur: float) -> None:
    picture = scene()
    given = noise_of(picture, sigma, blur)
    found = measure_noise(picture + given, picture)
    assert found is not None and found.strength.shape == (LEVELS,) and found.grain.shape == (3, 3, BLOCK, BLOCK)
    made = remade(found, picture)
    assert float(made.std()) == pytest.approx(float(given.std()), rel=0.12 if blur > 1 else 0.08)
    for step, tolerance in ((1, 0.06), (2, 0.06), (4, 0.15)):  # what is slow in a block goes with its shading
        assert autocorrelation(made, step) == pytest.approx(autocorrelation(given, step), abs=tolerance)


def test_texture_is_not_taken_for_noise() -> None:
    picture = scene()
    found = measure_noise(picture + noise_of(picture, 0.01), picture)
    assert found is not None and remade(found, picture).std() < 0.012


@pytest.mark.parametrize("grey", [True, False])
def test_colours_belong_together_as_they_did(grey: bool) -> None:
    picture = scene()
    found = measure_noise(picture + noise_of(picture, 0.03, grey=grey), picture)
    assert found is not None
    red, green, _ = remade(found, picture).flatten(1)
    correlation = float((red * green).mean() / (red.std() * green.std()))
    assert correlation == pytest.approx(1 if grey else 0, abs=0.08)


def test_strength_goes_with_brightness() -> None:
    picture = torch.tensor([0.25, 0.5, 0.75]).repeat_interleave(96)[:, None].expand(3, -1, 160).contiguous()
    found = measure_noise(picture + noise_of(picture, 0.01 + 0.04 * picture), picture)
    assert found is not None
    made = remade(found, picture)
    for strip, sigma in enumerate((0.02, 0.03, 0.04)):
        assert float(made[:, 96 * strip : 96 * strip + 96].std()) == pytest.approx(sigma, rel=0.1)


def test_white_noise_decides_alone_and_any_size_will_do() -> None:
    picture = scene(64, 96)
    found = measure_noise(picture + noise_of(picture, 0.02), picture)
    assert found is not None
    first, again = remade(found, picture), remade(found, picture)
    assert torch.equal(first, again) and first.shape == (3, 64, 96)
    assert not torch.equal(first, found.make(picture, torch.Generator().manual_seed(3)))
    assert found.make(torch.full((3, 7, 5), 0.5), torch.Generator()).shape == (3, 7, 5)


def test_a_picture_without_noise_has_next_to_none() -> None:
    picture = torch.full((3, 80, 80), 0.5)
    found = measure_noise(picture, picture)
    assert found is not None and remade(found, picture).abs().max() < 1e-4


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_nothing_but_clipped_pixels_still_gives_numbers(value: float) -> None:
    picture = torch.full((3, 64, 64), value)
    found = measure_noise(picture, picture)
    assert found is not None and remade(found, picture).isfinite().all()


def test_what_is_smaller_than_a_block_has_no_noise_that_could_be_measured() -> None:
    picture = torch.rand(3, BLOCK - 1, 200)
    assert measure_noise(picture, picture) is None
