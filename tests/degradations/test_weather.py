"""Haze, rain, snow and drops on the glass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from kornia.color import rgb_to_linear_rgb
from torch import Tensor
from torch.nn import functional as F

from restorekit.degradations import degrade_image, get_degradation, seeded_generator
from restorekit.degradations.haze import draw_airlight, scatter_forward
from restorekit.degradations.raindrop import through_drops
from restorekit.errors import SettingError

QUIET = {"noise_probability": 0.0, "saturation_probability": 0.0, "jpeg_probability": 0.0}


def make(kind: str, **settings: Any) -> Any:
    return get_degradation(kind, {"sensor": QUIET, **settings})


@pytest.fixture(scope="module")
def clean() -> Tensor:
    coarse = torch.rand((4, 3, 12, 12), generator=seeded_generator(8))
    return F.interpolate(coarse, (96, 80), mode="bilinear", align_corners=False)


@pytest.mark.parametrize("kind", ["haze", "rain", "snow", "raindrop"])
class TestEach:
    def test_pairs(self, kind: str, clean: Tensor) -> None:
        degradation = get_degradation(kind, {})
        pair, again, other = (degrade_image(degradation, clean, seeded_generator(1, n)) for n in (2, 2, 3))
        assert pair.input.shape == clean.shape
        assert torch.equal(pair.target, clean)
        assert torch.equal(pair.input, again.input)
        assert not torch.equal(pair.input, other.input)
        assert pair.input.min() >= 0 and pair.input.max() <= 1
        assert ((pair.input - clean).abs().mean((1, 2, 3)) > 1e-3).all()
        (extra,) = pair.extras.values()
        assert extra.shape == (4, 1, 96, 80)

    @pytest.mark.parametrize("size", [(1, 1), (5, 90), (33, 7)])
    def test_any_size(self, kind: str, size: tuple[int, int]) -> None:
        pair = degrade_image(get_degradation(kind, {}), torch.rand(1, 3, *size), seeded_generator(0))
        assert pair.input.shape == (1, 3, *size)
        assert pair.input.isfinite().all()

    def test_settings_that_do_not_hold(self, kind: str) -> None:
        first = {"haze": "thickness", "rain": "amount", "snow": "amount", "raindrop": "amount"}[kind]
        for limits in ([2, 1], [-1, 1], [0, 1]):
            with pytest.raises(SettingError, match="must be"):
                get_degradation(kind, {first: limits})


class TestHaze:
    def test_even_haze_obeys_koschmieder(self, clean: Tensor) -> None:
        """``J t + A (1 - t)`` with t = exp(-1.5), everywhere the same."""
        even = {"nearest": [1, 1], "exponent": [0, 0], "unevenness": [0, 0], "scattering": [0.01, 0.01], "tint": 0.0}
        pair = degrade_image(make("haze", thickness=[1.5, 1.5], airlight=[0.8, 0.8], **even), clean, seeded_generator(1))
        t = math.exp(-1.5)
        airlight = rgb_to_linear_rgb(torch.full((1, 3, 1, 1), 0.8))
        expected = rgb_to_linear_rgb(clean) * t + airlight * (1 - t)
        torch.testing.assert_close(rgb_to_linear_rgb(pair.input), expected, atol=0.006, rtol=0)
        torch.testing.assert_close(pair.extras["transmission"], torch.full((4, 1, 96, 80), t))

    def test_transmission_lies_between_near_and_far(self, clean: Tensor) -> None:
        haze = make("haze", thickness=[2, 2], nearest=[0.1, 0.1], unevenness=[0, 0])
        transmission = degrade_image(haze, clean, seeded_generator(1)).extras["transmission"]
        assert transmission.min() >= math.exp(-2) - 1e-6
        assert transmission.max() <= math.exp(-0.2) + 1e-6
        assert transmission.std() > 0.05

    def test_thin_air_is_blue_and_thick_haze_is_grey(self) -> None:
        black = torch.zeros(1, 3, 48, 48)
        for exponent, ratio in ((0, 1.0), (4, (0.46 / 0.61) ** -4)):
            haze = make("haze", thickness=[0.05, 0.05], nearest=[1, 1], exponent=[exponent] * 2, tint=0.0, unevenness=[0, 0])
            red, _, blue = rgb_to_linear_rgb(degrade_image(haze, black, seeded_generator(1)).input).mean((0, 2, 3))
            assert (blue / red).item() == pytest.approx(ratio, rel=0.1)

    def test_light_scattered_forward_is_blurred_but_not_lost(self) -> None:
        light = torch.zeros(1, 3, 41, 41)
        light[..., 20, 20] = 1
        seen = scatter_forward(light, torch.full((1, 1, 41, 41), 2.0), torch.tensor([[2.0, 2.0]]))
        assert seen.sum().item() == pytest.approx(3, rel=1e-3)
        assert seen[0, 0, 20, 20].item() == pytest.approx(math.exp(-1) + (1 - math.exp(-1)) / (8 * math.pi), rel=0.02)

    def test_airlight(self) -> None:
        colours = draw_airlight((0.7, 0.9), 0.05, 200, seeded_generator(2))
        low, high = rgb_to_linear_rgb(torch.tensor([0.7, 0.9]).view(1, 1, 1, 2).expand(1, 3, 1, 2))[0, 0, 0]
        assert (colours[:, 1] >= low).all() and (colours[:, 1] <= high).all()
        assert ((colours[:, 2] > colours[:, 1]) == (colours[:, 0] < colours[:, 1])).all()


class TestFalling:
    @pytest.mark.parametrize(("kind", "extra", "far"), [("rain", "streaks", "mist"), ("snow", "flakes", "veil")])
    def test_only_what_is_hit_changes_and_it_gets_brighter(self, kind: str, extra: str, far: str, clean: Tensor) -> None:
        pair = make(kind, amount=[0.05, 0.05], light=[0.98, 0.98], **{far: [0, 0]})(0.8 * clean, seeded_generator(3))
        hit = pair.extras[extra]
        assert 0.01 < hit.mean() < 0.08
        missed = (hit < 1e-4).expand_as(clean)
        assert missed.float().mean() > 0.2
        change = pair.input - pair.target
        assert change[missed].abs().max() < 1.01 / 255
        assert change.min() > -1.01 / 255
        assert change[(hit > 0.2).expand_as(clean)].mean() > 0.03

    @pytest.mark.parametrize(("kind", "far"), [("rain", "mist"), ("snow", "veil")])
    def test_far_weather_is_a_veil(self, kind: str, far: str, clean: Tensor) -> None:
        clear, veiled = (make(kind, amount=[1e-6, 1e-6], **{far: [x, x]})(clean, seeded_generator(3)).input for x in (0, 1.5))
        assert (veiled.std((2, 3)) < 0.9 * clear.std((2, 3))).all()

    def test_painted_rain_is_a_screen_of_drawn_out_noise(self) -> None:
        """Of a length, strength and density that are known, streaks along the columns."""
        clean = torch.rand(1, 3, 128, 128, generator=seeded_generator(8)).mul(0.6).expand(2, -1, -1, -1)
        paint = {"paint_length": [30, 30], "paint_width": [1.5, 1.5], "paint_density": [1, 1], "paint_strength": [0.1, 0.1]}
        pair = make("rain", painted=1.0, angle=[0, 0], **paint)(clean, seeded_generator(3))
        layer = pair.extras["streaks"]
        assert (pair.input - (1 - (1 - clean) * (1 - layer))).abs().max() < 0.51 / 255
        assert layer.mean().item() == pytest.approx(0.1 * 1.0833, abs=0.01)  # of max(0, n + 1)
        assert (layer > 0).float().mean().item() == pytest.approx(0.841, abs=0.04)
        assert not torch.equal(layer[0], layer[1])
        down, across = ((layer.roll(4, dim) - layer.mean()) * (layer - layer.mean()) for dim in (2, 3))
        assert (down.mean() / layer.var(), across.mean() / layer.var()) == (
            pytest.approx(0.87, abs=0.1),
            pytest.approx(0, abs=0.1),
        )

    def test_a_share_of_rain_is_painted(self, clean: Tensor) -> None:
        clean = clean.repeat(16, 1, 1, 1)
        pair = make("rain", painted=0.25, paint_density=[2, 2], amount=[1e-6, 1e-6], mist=[0, 0])(clean, seeded_generator(3))
        covered = (pair.extras["streaks"] > 0.01).float().mean((1, 2, 3)) > 0.5
        assert 8 <= int(covered.sum()) <= 24

    @pytest.mark.parametrize("table", [{"painted": 1.5}, {"paint_density": [2, 1]}, {"paint_width": [0, 1]}])
    def test_paint_that_does_not_hold(self, table: dict[str, Any]) -> None:
        with pytest.raises(SettingError, match="must be"):
            get_degradation("rain", table)

    @pytest.mark.parametrize("size", [(1, 1), (5, 90)])
    def test_painted_rain_of_any_size(self, size: tuple[int, int]) -> None:
        pair = make("rain", painted=1.0)(torch.rand(2, 3, *size), seeded_generator(0))
        assert pair.input.shape == (2, 3, *size) and pair.input.isfinite().all()

    def test_larger_flakes_are_fewer_and_wider(self, clean: Tensor) -> None:
        small, large = (
            make("snow", flake=[d, d], amount=[0.1, 0.1], layers=1)(clean, seeded_generator(3)).extras["flakes"] for d in (4, 16)
        )
        assert large.diff(dim=3).abs().mean() < 0.5 * small.diff(dim=3).abs().mean()
        assert large.mean() == pytest.approx(small.mean().item(), rel=0.6)


class TestRaindrop:
    def test_dry_glass_changes_nothing(self, clean: Tensor) -> None:
        pair = degrade_image(make("raindrop", radius=[6, 10], amount=[0.3, 0.3]), clean, seeded_generator(3))
        drops = pair.extras["drops"]
        assert 0.03 < drops.mean() < 0.5
        assert drops.max() > 0.9
        dry = (drops < 1e-5).expand_as(clean)
        assert dry.float().mean() > 0.2
        assert (pair.input - pair.target)[dry].abs().max() < 1.01 / 255

    def test_a_drop_turns_the_scene_upside_down(self) -> None:
        """A ramp from dark above to bright below falls inside a drop of radius 16, about as much faster as the bend says."""
        rows = torch.linspace(0, 1, 96).view(1, 1, 96, 1).expand(1, 3, 96, 96)
        axis = torch.arange(96.0) - 47.5
        height = 16 * (1 - (axis**2 + axis[:, None] ** 2) / 16**2)[None, None]
        still = torch.zeros(1, 1, 1, 1)
        seen, covered = through_drops(rows, height, still + 20, still, still)
        assert covered.sum().item() == pytest.approx(math.pi * 16**2, rel=0.06)
        middle = seen[0, 0, 40:57, 48]
        slope = (middle[-1] - middle[0]) / 16 * 95
        # A slope of 2 displaces by 20 pixels: 1 - 20 / 8, the slope of the water growing by 1/8 a pixel.
        assert slope.item() == pytest.approx(1 - 20 / 8, rel=0.1)

    def test_rims_are_dark_and_the_sky_is_below(self) -> None:
        light = torch.full((1, 3, 96, 96), 0.4)
        axis = torch.arange(96.0) - 47.5
        height = 16 * (1 - (axis**2 + axis[:, None] ** 2) / 16**2)[None, None]
        still = torch.zeros(1, 1, 1, 1)
        rimmed, _ = through_drops(light, height, still, still + 0.8, still)
        assert rimmed[0, 0, 47, 47].item() == pytest.approx(0.4, rel=0.01)
        assert rimmed[0, 0, 47, 62] < 0.26
        lit, _ = through_drops(light, height, still, still, still + 0.5)
        assert lit[0, 0, 58, 47] > 0.45 > 0.35 > lit[0, 0, 37, 47]
