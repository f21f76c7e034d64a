from __future__ import annotations

import pytest
import torch

from restorekit.degradations import SensorSettings, get_degradation, jpeg, seeded_generator, shot_read_noise
from restorekit.degradations.base import log_uniform
from restorekit.degradations.sensor import raise_highlights, random_noise, save_to_file, take_picture
from restorekit.errors import SettingError


@pytest.mark.parametrize("level", [0.0, 0.1, 0.8])
def test_noise_has_the_variance_of_photons_and_electronics(level: float) -> None:
    shot, read = torch.tensor(2e-3), torch.tensor(5e-3)
    noisy = shot_read_noise(torch.full((1, 1, 1000, 1000), level), shot, read, seeded_generator(1))
    assert noisy.mean().item() == pytest.approx(level, abs=2e-4)
    assert noisy.var().item() == pytest.approx(2e-3 * level + 25e-6, rel=0.01)


def test_noise_is_drawn_for_each_photograph() -> None:
    grey = torch.full((300, 1, 16, 16), 0.5)
    spread = random_noise(grey, SensorSettings(noise_probability=0.25), seeded_generator(2)).std((1, 2, 3))
    assert 0.15 < (spread > 0).float().mean() < 0.35
    assert spread.max() / spread[spread > 0].min() > 5


def test_what_is_far_over_white_is_white_whatever_the_noise() -> None:
    settings = SensorSettings(noise_probability=1, shot=(1e-3, 1e-3), read=(5e-3, 5e-3), jpeg_probability=0)
    burnt, white = (take_picture(torch.full((1, 3, 64, 64), light), settings, seeded_generator(1)) for light in (4.0, 1.0))
    assert (burnt == 1).all() and 0.3 < (white == 1).float().mean() < 0.7


def test_only_white_is_raised() -> None:
    linear = torch.tensor([[0.2, 0.2, 0.2], [1.0, 0.8, 0.1], [0.95, 1.0, 0.97], [1.0, 1.0, 1.0]]).T.view(1, 3, 1, 4)
    raised = raise_highlights(linear, SensorSettings(saturation_probability=1, saturation_gain=3), seeded_generator(3))
    torch.testing.assert_close(raised[..., :3], linear[..., :3])
    assert 1.0 < raised[..., 3].max() <= 4.0


def test_jpeg_loses_more_at_lower_quality() -> None:
    image = torch.rand(3, 48, 64, generator=seeded_generator(4))
    errors = [(jpeg(image, quality) - image).square().mean().item() for quality in (30, 75, 98)]
    assert errors[0] > errors[1] > errors[2] > 0


def test_files_hold_whole_numbers() -> None:
    images = torch.rand(20, 3, 16, 16, generator=seeded_generator(5)) * 1.2 - 0.1
    saved = save_to_file(images, SensorSettings(jpeg_probability=0.5), seeded_generator(6))
    torch.testing.assert_close(saved * 255, (saved * 255).round(), atol=1e-4, rtol=0)
    rounded = ((saved - images.clamp(0, 1)).abs().amax((1, 2, 3)) < 0.51 / 255).float().mean()
    assert 0.2 < rounded < 0.8  # the others went through JPEG


def test_a_range_that_is_zero_twice_gives_zeros() -> None:
    assert torch.equal(log_uniform(seeded_generator(1), (2, 3), 0, 0), torch.zeros(2, 3))
    drawn = log_uniform(seeded_generator(1), (1000,), 1e-4, 1e-2)
    assert 1e-4 <= drawn.min() < 2e-4 and 5e-3 < drawn.max() <= 1e-2


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"shot": [0, 1e-3]}, "shot must be two positive numbers, the smaller first, or 0 twice"),
        ({"read": [0, 1e-3]}, "read must be two positive numbers"),
        ({"shot": [1e-3, 1e-5]}, "shot must be"),
        ({"read": [1e-3, 1e-5]}, "read must be"),
        ({"shot": [-1e-3, -1e-3]}, "shot must be"),
        ({"noise_probability": 1.1}, r"must lie in \[0, 1\]"),
        ({"saturation_probability": -0.1}, r"must lie in \[0, 1\]"),
        ({"jpeg_probability": 30}, r"must lie in \[0, 1\]"),
        ({"saturation_gain": -1}, "saturation_gain must not be negative"),
        ({"jpeg_quality": [98, 75]}, "jpeg_quality must be two numbers from 1 to 100, the smaller first"),
        ({"jpeg_quality": [0, 75]}, "jpeg_quality must be"),
    ],
)
def test_a_camera_that_cannot_be_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        get_degradation("motion", {"sensor": table})


@pytest.mark.parametrize("noiseless", [("shot", "read"), ("shot",), ("read",)])
def test_a_camera_without_noise_of_a_kind_shows_the_picture(noiseless: tuple[str, ...]) -> None:
    clean = torch.rand(4, 3, 60, 60, generator=seeded_generator(7))
    camera = {"noise_probability": 1, "saturation_probability": 0, "jpeg_probability": 0, **{kind: [0, 0] for kind in noiseless}}
    pair = get_degradation("motion", {"sharp": 1, "shake": 0, "turn": 0, "object": 0, "margin": 15, "sensor": camera})(
        clean, seeded_generator(8)
    )
    change = (pair.input - pair.target).abs()
    assert pair.input.isfinite().all() and change.mean() < 0.05
    assert (change.max() < 0.51 / 255) == (len(noiseless) == 2)
