from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from restorekit.degradations import (
    MotionBlur,
    MotionBlurSettings,
    SensorSettings,
    degrade_image,
    degrade_photograph,
    get_degradation,
    seeded_generator,
)
from restorekit.degradations.motion import average_of_warps
from restorekit.errors import SettingError, UnknownNameError
from restorekit.images import Image

QUIET = SensorSettings(noise_probability=0, saturation_probability=0, jpeg_probability=0)


def only(kind: str, **settings: object) -> MotionBlur:
    shares = {name: float(name == kind) for name in ("sharp", "shake", "turn", "object")}
    return MotionBlur(MotionBlurSettings(**shares, margin=16, sensor=QUIET, **settings))  # type: ignore[arg-type]


def photographs(count: int = 2, size: int = 80) -> torch.Tensor:
    coarse = torch.rand(count, 3, 20, 20, generator=seeded_generator(9))
    return F.interpolate(coarse, size, mode="bilinear", align_corners=False)


def test_warps_at_rest_change_nothing() -> None:
    image = photographs()
    still = average_of_warps(image, torch.zeros(2, 8, 4), torch.full((2, 1, 2), 7.0))
    torch.testing.assert_close(still, image, atol=1e-5, rtol=0)


def test_warps_shift_by_whole_pixels() -> None:
    image = torch.rand(1, 3, 24, 32)
    path = torch.tensor([3.0, -2.0, 0.0, 0.0]).expand(1, 4, 4)
    moved = average_of_warps(image, path, torch.zeros(1, 1, 2))
    torch.testing.assert_close(moved[..., 2:, :-3], image[..., :-2, 3:], atol=1e-4, rtol=0)


def test_warps_roll_about_the_given_centre() -> None:
    image = torch.rand(1, 1, 33, 49).expand(1, 3, 33, 49)
    quarter = torch.tensor([0.0, 0.0, torch.pi / 2, 0.0]).expand(1, 1, 4)
    turned = average_of_warps(image, quarter, torch.tensor([[[4.0, -2.0]]]))
    x, y = 49 // 2 + 4, 33 // 2 - 2
    torch.testing.assert_close(turned[..., y, x], image[..., y, x], atol=1e-4, rtol=0)
    torch.testing.assert_close(turned[..., y, x + 5], image[..., y + 5, x], atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["shake", "turn", "object"])
def test_blur_softens_and_keeps_place_and_light(kind: str) -> None:
    clean = torch.rand(4, 3, 96, 96, generator=seeded_generator(3))
    pair = only(kind, length=(8, 16))(clean, seeded_generator(5))
    assert pair.input.shape == pair.target.shape == (4, 3, 64, 64)
    if kind != "object":
        torch.testing.assert_close(pair.target, clean[..., 16:-16, 16:-16])
    change_in, change_out = (x.diff(dim=3).abs().mean((1, 2, 3)) for x in (pair.input, pair.target))
    assert (change_in < 0.7 * change_out).all()
    linear_in, linear_out = (x.pow(2.2).mean((1, 2, 3)) for x in (pair.input, pair.target))
    torch.testing.assert_close(linear_in, linear_out, atol=0.02, rtol=0)


def test_sharp_photographs_are_only_rounded() -> None:
    clean = photographs()
    pair = only("sharp")(clean, seeded_generator(5))
    torch.testing.assert_close(pair.input, (pair.target * 255).round() / 255, atol=2e-3, rtol=0)


def test_an_even_field_stays_even() -> None:
    for kind in ("shake", "turn", "object"):
        pair = only(kind)(torch.full((2, 3, 64, 64), 0.5), seeded_generator(6))
        torch.testing.assert_close(pair.input, torch.full_like(pair.input, 0.5), atol=2 / 255, rtol=0)


def test_a_moving_thing_leaves_most_of_the_background_alone() -> None:
    clean = photographs(2, 128)
    pair = only("object", length=(6, 6))(clean, seeded_generator(11))
    assert not torch.equal(pair.target, clean[..., 16:-16, 16:-16])  # something stands in front
    unchanged = ((pair.input - pair.target).abs() < 2 / 255).float().mean()
    assert 0.1 < unchanged < 0.99


def test_equal_seeds_give_equal_pairs_and_others_do_not() -> None:
    degradation, clean = MotionBlur(), photographs(3, 128)
    first, again, other = (degradation(clean, seeded_generator(1, step)) for step in (4, 4, 5))
    assert torch.equal(first.input, again.input) and torch.equal(first.target, again.target)
    assert not torch.equal(first.input, other.input)


@pytest.mark.parametrize("size", [(1, 1), (5, 90), (33, 7)])
def test_whole_photographs_of_any_size(size: tuple[int, int]) -> None:
    clean = torch.rand(1, 3, *size)
    pair = degrade_image(MotionBlur(), clean, seeded_generator(0))
    assert pair.input.shape == clean.shape
    assert pair.input.isfinite().all()


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint8), (1, np.uint8), (3, np.uint16)])
def test_photographs_keep_size_depth_and_channels_and_depend_on_themselves_alone(channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)
    image = Image.from_array(rng.integers(0, np.iinfo(dtype).max, (40, 30, channels), dtype=dtype))
    degradation = only("shake")
    degraded = degrade_photograph(degradation, image, seed=1)
    assert degraded.pixels.shape == image.pixels.shape and degraded.pixels.dtype == dtype
    np.testing.assert_array_equal(degraded.pixels, degrade_photograph(degradation, image, seed=1).pixels)
    assert (degraded.pixels != degrade_photograph(degradation, image, seed=2).pixels).any()


def test_whole_photographs_are_always_blurred_and_stay_themselves() -> None:
    settings = get_degradation("motion", {"margin": 8, "length": [3, 4]}, whole=True).settings  # type: ignore[attr-defined]
    assert (settings.sharp, settings.object, settings.margin) == (0, 0, 8)
    assert settings.shake > 0 and settings.turn > 0


def test_settings_that_cannot_hold_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'length'"):
        get_degradation("motion", {"lenght": [1, 2]})
    with pytest.raises(SettingError, match="the smaller first"):
        get_degradation("motion", {"length": [9, 2]})
    with pytest.raises(UnknownNameError, match="Did you mean 'motion'"):
        get_degradation("motoin", {})


def test_a_trajectory_that_does_not_fit_its_surroundings_is_refused() -> None:
    with pytest.raises(SettingError, match="margin must be at least 13, half the longest trajectory"):
        get_degradation("motion", {"length": [2, 25], "margin": 12})
    with pytest.raises(SettingError, match="margin must be at least 40"):
        get_degradation("motion", {"length": [2, 80]})  # with the margin there is
    with pytest.raises(SettingError, match="margin must be at least 1,"):
        get_degradation("motion", {"length": [0.2, 0.5], "margin": 0})
    longest = get_degradation("motion", {"length": [25, 25], "margin": 13})
    pair = degrade_image(longest, photographs(8, 40), seeded_generator(0))
    assert longest.margin == 13 and pair.input.shape == (8, 3, 40, 40)
