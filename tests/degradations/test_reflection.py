"""Reflections: both syntheses of the literature and the physical one, by numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit.degradations import (
    Reflection,
    ReflectionSettings,
    SensorSettings,
    degrade_image,
    get_degradation,
    seeded_generator,
)
from restorekit.degradations.reflection import Pane, ceil_synthesis, fresnel, pane_of_glass, perceptual_synthesis
from restorekit.errors import SettingError
from restorekit.settings import from_table

QUIET = SensorSettings(noise_probability=0, saturation_probability=0, jpeg_probability=0)


def pane(**numbers: float) -> Pane:
    straight = {"brightness": 1.0, "tilt": 0.0, "direction": 0.0, "view": 1e-3, "defocus": 0.5, "ghost": 0.0}
    return Pane(**{name: torch.full((1, 1, 1, 1), value) for name, value in (straight | numbers).items()})


def field(value: float, size: int = 24) -> Tensor:
    return torch.full((1, 3, size, size), value)


def test_fresnel() -> None:
    straight = ((1.52 - 1) / (1.52 + 1)) ** 2
    brewster = math.cos(math.atan(1.52))  # light along the plane of incidence is not reflected at all
    found = fresnel(torch.tensor([1.0, brewster, 1e-6]))
    across = ((1 - 1.52**2) / (1 + 1.52**2)) ** 2
    assert found.tolist() == pytest.approx([straight, across / 2, 1.0], abs=1e-4)


def test_a_pane_seen_straight() -> None:
    """Both faces reflect 4.3 %, the second what the first lets through twice; the exposure makes up for what is lost."""
    rho = ((1.52 - 1) / (1.52 + 1)) ** 2
    light, reflected = pane_of_glass(field(0.5), field(0.8), pane(brightness=3.0))
    expected = 3 * 0.8 * rho * (1 + (1 - rho) ** 2)
    torch.testing.assert_close(reflected, field(expected), atol=1e-4, rtol=0)
    torch.testing.assert_close(light, field(0.5 + expected), atol=1e-4, rtol=0)


def test_a_tilted_pane_reflects_more_where_it_is_grazed() -> None:
    _, reflected = pane_of_glass(field(0.5), field(0.8), pane(tilt=math.radians(50), view=math.radians(30)))
    left, right = reflected[0, 0, 12, 0], reflected[0, 0, 12, -1]
    assert left > 2 * right
    assert (reflected[0, 0, 0] - reflected[0, 0, -1]).abs().max() < 1e-4  # tilted to the side: above is as below


def test_the_ghost_is_displaced_and_a_little_weaker() -> None:
    light = torch.zeros(1, 3, 41, 41)
    light[..., 20, 20] = 1
    rho = ((1.52 - 1) / (1.52 + 1)) ** 2
    _, reflected = pane_of_glass(torch.zeros_like(light), light, pane(ghost=8.0, direction=math.pi / 2))
    column = reflected[0, 0, :, 19:22].sum(1)
    assert column.topk(2).indices.tolist() == [20, 28]
    assert (column[27:30].sum() / column[19:22].sum()).item() == pytest.approx((1 - rho) ** 2, rel=0.01)


def test_ceil_synthesis_lowers_only_what_is_too_bright() -> None:
    """0.4 + 0.3 fits. 0.9 + 0.3 is 0.2 too much: lowered by 1.3 times that, 0.04 is left."""
    sigma = torch.tensor([4.0, 2.0])
    mixture = ceil_synthesis(torch.cat([field(0.4, 160), field(0.9, 160)]), torch.cat([field(0.3, 160)] * 2), sigma)
    middle = (slice(None), 0, 80, 80)
    assert mixture.reflection[middle].tolist() == pytest.approx([0.3, 0.04], abs=8e-3)
    assert mixture.image[middle].tolist() == pytest.approx([0.7, 0.94], abs=8e-3)
    assert mixture.reflection[0, 0, 0, 0].item() == pytest.approx(0.3 * 0.36, abs=0.02)  # darkness beyond the corner


def test_perceptual_synthesis_works_in_gamma_light() -> None:
    """In the middle of the vignette: ``(0.2^2.2 + 0.9 * 0.5^2.2)^(1/2.2)``; 24 pixels in its corner reflect almost nothing."""
    one = torch.ones(1)
    for corner, share in ((268, 1.0), (0, 0.0)):
        mixture = perceptual_synthesis(field(0.5), field(0.2), 2 * one, 1.1 * one, torch.full((1, 2), corner), 0.9 * one)
        expected = (share * 0.2**2.2 + 0.9 * 0.5**2.2) ** (1 / 2.2)
        assert mixture.image[0, 0, 12, 12].item() == pytest.approx(expected, abs=1e-3)


def test_perceptual_synthesis_lowers_the_reflection_by_the_excess() -> None:
    """Light 1 on 0.9^2.2 of scene: the mean is 1.79, so 1.1 * 0.79 is taken from the reflection."""
    one = torch.ones(1)
    mixture = perceptual_synthesis(field(0.9), field(1.0), 2 * one, 1.1 * one, torch.full((1, 2), 268), one)
    left = 1 - 0.9**2.2 * 1.1
    assert mixture.reflection[0, 0, 12, 12].item() ** 2.2 == pytest.approx(left, abs=2e-3)


class TestReflection:
    @pytest.fixture
    def clean(self) -> Tensor:
        return torch.rand((3, 3, 72, 64), generator=seeded_generator(0))

    @pytest.mark.parametrize("kind", ["ceil", "perceptual", "physical"])
    def test_pairs(self, kind: str, clean: Tensor) -> None:
        shares = {name: float(name == kind) for name in ("ceil", "perceptual", "physical")}
        degradation = Reflection(ReflectionSettings(**shares, sensor=QUIET))  # type: ignore[arg-type]
        pair, again, other = (degradation(clean, seeded_generator(1, n)) for n in (2, 2, 3))
        assert torch.equal(pair.target, clean[..., 16:-16, 16:-16])
        assert torch.equal(pair.input, again.input)
        assert not torch.equal(pair.input, other.input)
        assert pair.extras["reflection"].shape == pair.input.shape == (3, 3, 40, 32)
        assert 0.02 < pair.extras["reflection"].mean() < 0.9
        if kind == "ceil":
            sums = (pair.target + pair.extras["reflection"]).clamp(0, 1)
            assert (pair.input - sums).abs().max() < 0.51 / 255

    def test_others_of_the_batch_are_reflected(self) -> None:
        """A black photograph shows the one before it; that one, as nothing is reflected in it, itself."""
        clean = torch.cat([field(0.7, 48), field(0.0, 48)])
        settings = ReflectionSettings(ceil=0, perceptual=0, view=(0.1, 0.1), tilt=(0, 0), sensor=QUIET)
        pair = Reflection(settings)(clean, seeded_generator(1))
        assert (pair.input[0] - 0.7).abs().max() < 1 / 255
        assert pair.input[1].min() > 0.1

    @pytest.mark.parametrize("size", [(1, 1), (5, 90), (700, 3)])
    def test_any_size(self, size: tuple[int, int]) -> None:
        for shares in ({"physical": 0.0}, {"ceil": 0.0, "perceptual": 0.0}):
            pair = degrade_image(get_degradation("reflection", shares), torch.rand(1, 3, *size), seeded_generator(3))
            assert pair.input.shape == (1, 3, *size)
            assert pair.input.isfinite().all()

    @pytest.mark.parametrize(
        "table",
        [
            {"ceil": -1},
            {"ceil": 0, "perceptual": 0, "physical": 0},
            {"tilt": [0, 80]},
            {"ghost": [0, 12]},
            {"brightness": [0, 1]},
        ],
    )
    def test_settings_that_do_not_hold(self, table: dict[str, object]) -> None:
        with pytest.raises(SettingError, match="must"):
            from_table(ReflectionSettings, table, "[degradation]")
