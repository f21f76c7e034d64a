from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from restorekit.degradations import (
    Alternatives,
    Composition,
    Kept,
    Pair,
    SensorSettings,
    degrade_image,
    get_degradation,
    seeded_generator,
)
from restorekit.errors import SettingError, UnknownNameError


@pytest.fixture
def clean() -> Tensor:
    return torch.rand((2, 3, 60, 70), generator=seeded_generator(0))


def test_parts_happen_from_left_to_right(clean: Tensor) -> None:
    both = get_degradation("raindrop+haze", {"raindrop": {"radius": [4, 6]}, "haze": {"airlight": [0.7, 0.7]}})
    assert isinstance(both, Composition)
    drops, haze = both.parts
    assert drops.settings.radius == (4, 6) and haze.settings.airlight == (0.7, 0.7)  # type: ignore[attr-defined]
    assert both.margin == drops.margin + haze.margin
    pair = both(clean, seeded_generator(1))
    generator = seeded_generator(1)
    expected = haze(drops(clean, generator).input, generator).input
    assert torch.equal(pair.input, expected)
    m = both.margin
    assert torch.equal(pair.target, clean[..., m:-m, m:-m])


def test_only_the_last_is_taken_by_a_camera() -> None:
    rain, haze = get_degradation("rain + haze", {}).parts  # type: ignore[attr-defined]
    assert rain.settings.sensor.noise_probability == rain.settings.sensor.jpeg_probability == 0
    assert haze.settings.sensor.noise_probability > 0
    noise, _ = get_degradation("noise+rain", {"rain": {"layers": 2}}).parts  # type: ignore[attr-defined]
    assert noise.settings.jpeg_probability == 0
    loud, _ = get_degradation("rain+haze", {"rain": {"sensor": {"noise_probability": 1}}}).parts  # type: ignore[attr-defined]
    assert loud.settings.sensor.noise_probability == 1


def test_a_table_changes_only_what_it_names() -> None:
    usual = get_degradation("haze", {}).settings.sensor  # type: ignore[attr-defined]
    assert usual != SensorSettings()
    changed = get_degradation("haze", {"sensor": {"jpeg_probability": 0}}).settings.sensor  # type: ignore[attr-defined]
    assert changed == replace(usual, jpeg_probability=0)
    inside = {"motion": {"sensor": {"saturation_probability": 1}}}
    first, last = get_degradation("motion+haze", inside).parts  # type: ignore[attr-defined]
    silent = first.settings.sensor
    assert (silent.saturation_probability, silent.noise_probability, silent.jpeg_probability) == (1, 0, 0)
    assert last.settings.sensor == usual and first.settings.object == 0
    whole = get_degradation("motion", {"sensor": {"jpeg_probability": 0}}, whole=True).settings  # type: ignore[attr-defined]
    assert (whole.sharp, whole.object, whole.sensor) == (0, 0, SensorSettings(jpeg_probability=0))
    with pytest.raises(UnknownNameError, match="Did you mean 'shot'"):
        get_degradation("haze", {"sensor": {"shoot": [0, 0]}})


@pytest.mark.parametrize("kind", ["rain+haze", "motion+noise", "lowlight+snow", "reflection+raindrop+motion"])
def test_whole_photographs(kind: str, clean: Tensor) -> None:
    pair = degrade_image(get_degradation(kind, {}, whole=True), clean, seeded_generator(2))
    assert torch.equal(pair.target, clean)
    assert pair.input.shape == clean.shape
    assert (pair.input - clean).abs().mean() > 0.01


def test_a_thing_in_front_is_in_the_target_or_refused(clean: Tensor) -> None:
    always = {"object": 1.0, "shake": 0.0, "turn": 0.0, "sharp": 0.0, "length": [2, 3], "margin": 6}
    first = get_degradation("motion+noise", {"motion": always})(clean, seeded_generator(1))
    assert not torch.equal(first.target, clean[..., 18:-18, 18:-18])
    with pytest.raises(SettingError, match="first of several"):
        get_degradation("noise+motion", {"motion": {"object": 0.5}})


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'haze'"):
        get_degradation("rain+hase", {})
    with pytest.raises(UnknownNameError, match="unknown key 'length'"):
        get_degradation("rain+haze", {"length": [1, 2]})
    with pytest.raises(UnknownNameError, match="lenght"):
        get_degradation("rain+haze", {"rain": {"lenght": [1, 2]}})
    with pytest.raises(SettingError, match="must be a table"):
        get_degradation("rain+haze", {"rain": 3})


class Shift:
    """Adds a number, and keeps to itself how it did so."""

    def __init__(self, amount: float, margin: int) -> None:
        self.amount, self.margin = amount, margin

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        middle = clean[..., self.margin : clean.shape[-2] - self.margin, self.margin : clean.shape[-1] - self.margin]
        return Pair(middle + self.amount, middle, {"amount": torch.tensor(self.amount)})


def test_alternatives_are_drawn_for_each_batch(clean: Tensor) -> None:
    either = Alternatives([Shift(1.0, 3), Shift(2.0, 8)])
    assert either.margin == 8
    pairs = [either(clean, seeded_generator(2, step)) for step in range(20)]
    shifts = [round(float((pair.input - pair.target).mean())) for pair in pairs]
    assert set(shifts) == {1, 2} and 4 < shifts.count(1) < 16
    assert all(torch.equal(pair.target, clean[..., 8:-8, 8:-8]) and pair.extras == {} for pair in pairs)


def test_alternatives_have_tables_by_name() -> None:
    assert get_degradation("rain+haze|snow", {"rain": {}, "snow": {}}).margin > 0
    with pytest.raises(UnknownNameError, match="unknown key 'fog'"):
        get_degradation("rain|haze", {"fog": {}})
    with pytest.raises(UnknownNameError, match="unknown degradation 'hale'"):
        get_degradation("rain|hale", {})


def test_what_stands_before_an_arrow_is_not_to_be_undone(clean: Tensor) -> None:
    kept = get_degradation("motion > haze", {"motion": {"margin": 16, "length": [20, 20]}, "haze": {"airlight": [0.7, 0.7]}})
    assert isinstance(kept, Kept)
    motion, haze = kept.before, kept.then
    assert motion.settings.length == (20, 20) and haze.settings.airlight == (0.7, 0.7)  # type: ignore[attr-defined]
    assert motion.settings.sensor.noise_probability == 0 < haze.settings.sensor.noise_probability  # type: ignore[attr-defined]
    assert kept.margin == motion.margin + haze.margin
    pair = kept(clean, seeded_generator(1))
    generator = seeded_generator(1)
    blurred = motion(clean, generator).input
    expected = haze(blurred, generator)
    assert torch.equal(pair.input, expected.input) and torch.equal(pair.target, expected.target)
    m = kept.margin
    assert (pair.target - clean[..., m:-m, m:-m]).abs().mean() > 0.05  # it stays blurred


def test_an_arrow_goes_with_the_other_signs(clean: Tensor) -> None:
    settings = {"motion": {"margin": 15, "sharp": 0.0}, "noise": {"iso": [800, 800]}}
    either = get_degradation("motion+noise > untouched | untouched", settings)
    assert isinstance(either, Alternatives)
    kept, plain = either.choices
    assert isinstance(kept, Kept) and isinstance(kept.before, Composition)
    assert kept.before.parts[1].settings.iso == (800, 800)  # type: ignore[attr-defined]
    assert kept.before.parts[1].settings.jpeg_probability == 0  # type: ignore[attr-defined]
    assert not isinstance(plain, Kept)
    pair = degrade_image(kept, clean, seeded_generator(1))
    assert pair.input.shape == pair.target.shape == clean.shape
    assert (pair.input - pair.target).abs().mean() < 0.02 < (pair.target - clean).abs().mean()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("motion > rain > haze", {}, "more than one >"),
        ("motion > hase", {}, "unknown degradation 'hase'.*Did you mean 'haze'"),
        ("> haze", {}, "unknown degradation ''"),
        ("haze >", {}, "unknown degradation ''"),
        ("motion > haze", {"snow": {}}, "unknown key 'snow'"),
        ("motion > haze", {"motion": {"lenght": [1, 2]}}, "lenght"),
    ],
)
def test_an_arrow_that_cannot_be_is_refused(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=message):
        get_degradation(name, settings)
