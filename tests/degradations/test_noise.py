"""Camera noise: its parts are what their formulas say, and its statistics are those of real photographs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restorekit.degradations import Noise, NoiseSettings, degrade_image, seeded_generator
from restorekit.degradations.noise import NoiseModel, camera_noise, demosaic, mosaic, tone, untone
from restorekit.errors import SettingError
from restorekit.settings import from_table

PLAIN = {
    "full_well": (60000.0, 60000.0),
    "read": (2.0, 2.0),
    "converter": (1e-4, 1e-4),
    "red_gain": (1.0, 1.0),
    "blue_gain": (1.0, 1.0),
    "colour": (0.0, 0.0),
    "demosaic": (0.0, 0.0),
    "contrast": (0.8, 0.8),
    "grey": (0.45, 0.45),
    "luma": (0.0, 0.0),
    "chroma": (0.0, 0.0),
}
"""A camera that does nothing but demosaic bilinearly and encode."""


def expose(settings: NoiseSettings, level: float = 0.45, count: int = 1, size: int = 512) -> Tensor:
    generator = seeded_generator(4)
    camera = NoiseModel.draw(settings, count, generator)
    return camera_noise(torch.full((count, 3, size, size), level), camera, generator)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).mean((1, 2)) / (a.square().mean((1, 2)) * b.square().mean((1, 2))).sqrt()


@pytest.mark.parametrize(("contrast", "grey"), [(0.6, 0.42), (0.8, 0.5), (1.15, 0.56)])
def test_tone_curve(contrast: float, grey: float) -> None:
    """From 0 to 1 without turning back, middle grey where it is wanted; the inverse gives display values back."""
    numbers = torch.tensor(contrast), torch.tensor(grey)
    light = torch.linspace(0, 1, 1001)
    shown = tone(light, *numbers)
    assert (shown.diff() > 0).all()
    assert shown[0] == 0 and shown[-1] == pytest.approx(1)
    assert tone(torch.tensor(0.18), *numbers).item() == pytest.approx(grey, abs=1e-6)
    assert (tone(untone(light, *numbers), *numbers) - light).abs().max() < 1e-3 / 255


@pytest.mark.parametrize("gradient", [0.0, 0.6, 1.0])
def test_demosaicing_keeps_even_slopes(gradient: float) -> None:
    """A picture of slopes, other ones for each colour, of odd size, comes back from its mosaic but for the border."""
    y, x = torch.meshgrid(torch.arange(17.0), torch.arange(21.0), indexing="ij")
    image = torch.stack([x + 2 * y, 40 - x, 3 * y + 7])[None]
    torch.testing.assert_close(demosaic(mosaic(image), gradient)[..., 2:-3, 2:-3], image[..., 2:-3, 2:-3])


def test_mosaic_is_red_green_green_blue() -> None:
    image = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1).expand(1, 3, 4, 6)
    assert mosaic(image)[0, 0, :2, :2].tolist() == [[1, 2], [2, 3]]


@pytest.mark.parametrize(("iso", "level"), [(400, 0.45), (3200, 0.45), (3200, 0.1), (3200, 0.8)])
def test_noise_is_that_of_photons_and_electronics(iso: float, level: float) -> None:
    """Bilinear green averages four values at every other place: 5/8 of the raw variance, times the slope of the tone curve.

    At ISO 3200 with 60 000 electrons to white: ``shot = 32 / 60000``, ``read^2 = (2 * 32 / 60000)^2 + 1e-8``.
    """
    settings = NoiseSettings(**PLAIN, iso=(iso, iso))  # type: ignore[arg-type]
    numbers = torch.tensor(0.8), torch.tensor(0.45)
    light = untone(torch.tensor(level), *numbers)
    shot = iso / 100 / 60000
    raw = (0.625 * (shot * light + (2 * shot) ** 2 + 1e-8)).sqrt()
    slope = (tone(light + 1e-3, *numbers) - tone(light - 1e-3, *numbers)) / 2e-3
    noise = expose(settings, level)
    assert noise[0, 1].std().item() == pytest.approx((raw * slope).item(), rel=0.03)
    assert abs(noise.mean().item()) < 0.1 / 255


def test_sixteen_times_the_sensitivity_is_four_times_the_noise() -> None:
    low, high = (expose(NoiseSettings(**PLAIN, iso=(iso, iso)))[0, 1].std() for iso in (400.0, 6400.0))  # type: ignore[arg-type]
    assert (high / low).item() == pytest.approx(4, rel=0.05)


def test_sensitivities_span_what_cameras_have() -> None:
    """Less than a level at ISO 100 and more than seven at ISO 12 800, for green in a middling camera."""
    middling = replace(NoiseSettings(), full_well=(20000.0, 20000.0))
    low, high = (expose(replace(middling, iso=(iso, iso)), count=8, size=96)[:, 1].std() * 255 for iso in (100.0, 12800.0))
    assert low < 1
    assert 7 < high < 20


def test_statistics_enclose_those_of_real_photographs() -> None:
    """What fifteen real photographs at ISO 1600 to 6400 measure (5 % and 95 % quantiles of the CC data set, flat places)."""
    noise = expose(NoiseSettings(iso=(1600.0, 6400.0)), count=80, size=72)
    noise = noise - noise.mean((2, 3), keepdim=True)
    red, green, blue = noise.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    colour = blue - luma
    found = {
        "level of green": green.std((1, 2)) * 255,
        "red to green": red.std((1, 2)) / green.std((1, 2)),
        "luma to its neighbour": correlation(luma[..., 1:], luma[..., :-1]),
        "luma two pixels on": correlation(luma[..., 2:], luma[..., :-2]),
        "colour to its neighbour": correlation(colour[..., 1:], colour[..., :-1]),
        "colour three pixels on": correlation(colour[..., 3:], colour[..., :-3]),
        "red with green": correlation(red, green),
        "colour to luma": colour.std((1, 2)) / luma.std((1, 2)),
    }
    real = {
        "level of green": (2.7, 6.3),
        "red to green": (1.13, 1.70),
        "luma to its neighbour": (0.42, 0.56),
        "luma two pixels on": (0.07, 0.14),
        "colour to its neighbour": (0.72, 0.82),
        "colour three pixels on": (0.26, 0.48),
        "red with green": (0.21, 0.66),
        "colour to luma": (0.62, 1.64),
    }
    outside = {
        name: (found[name].min().item(), found[name].max().item())
        for name, (low, high) in real.items()
        if not found[name].min() <= low < high <= found[name].max()
    }
    assert not outside
    assert found["luma two pixels on"].max() < 0.6  # grain, not blotches


def test_shadows_are_as_quiet_as_those_of_real_photographs() -> None:
    """Noise of green in shadows, and in lights, relative to that at 0.27: real photographs have 0.6 and 0.57 (medians)."""
    settings = NoiseSettings(iso=(1600.0, 6400.0))
    shadow, middle, light = (expose(settings, level, count=60, size=64)[:, 1].std((1, 2)) for level in (0.06, 0.27, 0.7))
    assert (shadow / middle).min() < 0.60 < 0.70 < (shadow / middle).max() < 1.6
    assert 0.3 < (light / middle).min() < 0.57 < 0.8 < (light / middle).max() < 1.3


def noise_of(**settings: object) -> Tensor:
    made = Noise(from_table(NoiseSettings, {"plain": 1.0, "jpeg_probability": 0.0, **settings}, "here"))
    pair = degrade_image(made, torch.full((4, 3, 256, 256), 0.5), seeded_generator(1))
    return pair.input - pair.target


def test_plain_noise_is_as_strong_as_it_says_and_white() -> None:
    noise = noise_of(plain_sigma=[0.05, 0.05], plain_grain=[0, 0], plain_grey=[0, 0])
    assert torch.allclose(noise.std((1, 2, 3)), torch.tensor(0.05), rtol=0.01)
    assert correlation(noise[0, :, 1:], noise[0, :, :-1]).abs().max() < 0.02
    assert correlation(noise[:, 0], noise[:, 1]).abs().max() < 0.02


def test_plain_noise_has_grain_and_common_colour() -> None:
    noise = noise_of(plain_sigma=[0.05, 0.05], plain_grain=[1, 1], plain_grey=[0.6, 0.6])
    assert torch.allclose(noise.std((1, 2, 3)), torch.tensor(0.05), rtol=0.01)
    # Two Gaussians of one pixel, a pixel apart, have exp(-1/4) in common.
    assert torch.allclose(correlation(noise[0, :, 1:], noise[0, :, :-1]), torch.tensor(0.779), atol=0.03)
    assert torch.allclose(correlation(noise[:, 0], noise[:, 1]), torch.tensor(0.6), atol=0.03)


def test_a_share_has_plain_noise_and_the_others_that_of_cameras() -> None:
    settings = NoiseSettings(plain=0.3, plain_sigma=(0.2, 0.2), iso=(100.0, 100.0), full_well=(60000.0, 60000.0))
    pair = degrade_image(Noise(settings), torch.full((200, 3, 24, 24), 0.5), seeded_generator(2))
    strong = ((pair.input - pair.target).std((1, 2, 3)) > 0.1).float().mean()
    assert 0.2 < float(strong) < 0.4


class TestNoise:
    @pytest.fixture
    def clean(self) -> Tensor:
        return torch.rand((3, 3, 56, 47), generator=seeded_generator(0))

    def test_pairs(self, clean: Tensor) -> None:
        pair, again, other = (Noise()(clean, seeded_generator(1, n)) for n in (2, 2, 3))
        assert torch.equal(pair.target, clean[..., 12:-12, 12:-12])
        assert torch.equal(pair.input, again.input)
        assert not torch.equal(pair.input, other.input)
        steps = pair.input * 255
        assert torch.allclose(steps, steps.round(), atol=1e-4)
        assert pair.input.min() >= 0 and pair.input.max() <= 1

    def test_a_perfect_camera_adds_nothing(self, clean: Tensor) -> None:
        settings = NoiseSettings(iso=(1e-3, 1e-3), read=(0, 0), converter=(1e-9, 1e-9), jpeg_probability=0)
        pair = degrade_image(Noise(settings), 0.2 + 0.6 * clean, seeded_generator(1))
        assert (pair.input - pair.target).abs().max() < 0.6 / 255

    @pytest.mark.parametrize(
        "table",
        [
            {"iso": [200, 100]},
            {"iso": [0, 100]},
            {"read": [-1, 1]},
            {"grey": [0.3, 0.5]},
            {"luma": [-2, 0]},
            {"chroma": [0, 2]},
            {"chroma_blur": [1, 9]},
            {"plain": 2},
            {"plain_sigma": [0, 1]},
            {"plain_grain": [-1, 0]},
            {"plain_grey": [0, 2]},
        ],
    )
    def test_settings_that_do_not_hold(self, table: dict[str, object]) -> None:
        with pytest.raises(SettingError, match="must"):
            from_table(NoiseSettings, table, "[degradation]")
