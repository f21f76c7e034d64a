"""The verdict on photographs of ``examples/``, clean and degraded, and on what is hardly a photograph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from restorekit import images
from restorekit.degradations import degrade_photograph, get_degradation
from restorekit.diagnosis import Diagnosis, Falling, diagnose
from restorekit.images import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SETTINGS: dict[str, dict[str, Any]] = {
    "noise": {"iso": [6400.0, 12800.0], "full_well": [6000.0, 20000.0], "jpeg_probability": 0.0},
    "motion": {"shake": 1.0, "turn": 0.0, "length": [14.0, 18.0]},
    "haze": {"thickness": [1.5, 2.5]},
    "rain": {"amount": [0.3, 0.5], "opacity": [0.4, 0.6]},
    "snow": {"amount": [0.15, 0.25]},
}
TASKS = {"noise": "denoise", "motion": "deblur", "haze": "dehaze", "rain": "derain", "snow": "desnow"}


def photograph(name: str) -> Image:
    return images.read(EXAMPLES / f"{name}.jpg")


def degraded(name: str, kind: str, seed: int) -> Image:
    return degrade_photograph(get_degradation(kind, SETTINGS[kind], whole=True), photograph(name), seed)


@pytest.mark.parametrize("name", ["kitten", "lighthouse", "circuits"])
def test_nothing_is_wrong_with_a_clean_photograph(name: str) -> None:
    diagnosis = diagnose(photograph(name))
    assert diagnosis.findings == () and diagnosis.judged and not diagnosis.grey
    assert not any(measure.over for measure in diagnosis.measures)
    assert 255 * diagnosis.noise < 1.5 and diagnosis.blur is not None and 0.2 < diagnosis.blur < 0.7 and 255 * diagnosis.veil < 8


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("kind", SETTINGS)
def test_what_is_wrong_with_the_kitten_is_named(kind: str, seed: int) -> None:
    diagnosis = diagnose(degraded("kitten", kind, seed))
    first = diagnosis.findings[0]
    assert first.tasks[0] == TASKS[kind]
    assert any(measure.over for measure in diagnosis.measures)
    if kind in ("rain", "snow", "haze"):
        assert first.tasks[-1] == "weather"


@pytest.mark.parametrize(("kind", "seed"), [("noise", 1), ("motion", 1), ("haze", 2)])
def test_and_with_the_lighthouse(kind: str, seed: int) -> None:
    assert [finding.tasks[0] for finding in diagnose(degraded("lighthouse", kind, seed)).findings] == [TASKS[kind]]


def test_what_was_measured_is_said_with_numbers() -> None:
    diagnosis = Diagnosis(noise=12 / 255, blur=1.44, veil=60 / 255)
    assert [f"{finding.reason} -> {finding.tasks[0]}" for finding in diagnosis.findings] == [
        "noise 12/255 -> denoise",
        "edges blurred by 1.4 pixels -> deblur",
        "nothing is darker than 60/255 -> dehaze",
    ]
    assert [(measure.value, measure.over) for measure in diagnosis.measures] == [
        ("12.0/255", True),
        ("1.44 pixels", True),
        ("60/255", True),
        ("0/255", False),
        ("0.00", False),
        ("0.00", False),
    ]


def test_a_network_for_drops_is_asked_where_nothing_else_is_found() -> None:
    asked: list[Image] = []

    def drops(image: Image) -> float:
        asked.append(image)
        return 0.1

    wet = photograph("kitten")
    diagnosis = diagnose(wet, drops)
    assert asked == [wet] and diagnosis == replace(diagnose(wet), drops=0.1)
    (finding,) = diagnosis.findings
    assert (finding.kind, finding.reason, finding.tasks) == ("drops", "drops on the glass", ("deraindrop", "weather"))
    assert (diagnosis.measures[-1].value, diagnosis.measures[-1].over) == ("25.5/255", True)
    dry = diagnose(wet, lambda image: 0.02)
    assert dry.findings == () and (dry.measures[-1].value, dry.measures[-1].over) == ("5.1/255", False)
    asked.clear()
    assert diagnose(degraded("kitten", "motion", 1), drops).drops is None
    assert diagnose(Image(np.full((200, 300, 3), 128, np.uint8)), drops).drops is None  # there is nothing to see
    assert diagnose(Image(wet.pixels[:60, :60]), drops).drops is None and asked == []


def test_a_network_for_reflections_is_asked_last() -> None:
    clear = photograph("kitten")
    asked: list[Image] = []

    def reflection(image: Image) -> float:
        asked.append(image)
        return 0.08

    diagnosis = diagnose(clear, lambda image: 0.02, reflection)
    (finding,) = diagnosis.findings
    assert (finding.kind, finding.reason, finding.tasks) == ("reflection", "a reflection in a pane", ("dereflect",))
    assert [(measure.value, measure.over) for measure in diagnosis.measures[-2:]] == [("5.1/255", False), ("20.4/255", True)]
    assert asked == [clear] and diagnose(clear, reflection=lambda image: 0.05).findings == ()
    assert diagnose(clear, lambda image: 0.1, reflection).reflection is None and len(asked) == 1


def test_streaks_and_spots_count_only_where_something_is_and_is_sharp() -> None:
    rain = Diagnosis(falling=Falling(contrast=0.02, upright=0.4, bright=0.9))
    assert [finding.kind for finding in rain.findings] == ["rain"]
    snow = replace(rain, falling=replace(rain.falling, upright=0.2))
    assert [finding.kind for finding in snow.findings] == ["snow"]
    assert replace(rain, falling=replace(rain.falling, contrast=0.005)).findings == ()
    assert [finding.kind for finding in replace(rain, blur=1.0).findings] == ["blur"]
    faint = Diagnosis(falling=Falling(contrast=0.005, upright=0.1), veil=0.1)
    assert [finding.kind for finding in faint.findings] == ["rain"]
    assert replace(faint, veil=0.05).findings == ()


def test_a_blurred_photograph_bears_less_noise_and_a_grey_one_more() -> None:
    noisy = Diagnosis(noise=0.006)
    assert noisy.findings == ()
    assert [finding.kind for finding in replace(noisy, blur=1.0).findings] == ["noise", "blur"]
    assert [finding.kind for finding in replace(noisy, noise=0.01).findings] == ["noise"]
    assert replace(noisy, noise=0.01, grey=True).findings == ()


@pytest.mark.parametrize("size", [(1, 1), (95, 4000), (95, 95)])
def test_too_small_a_photograph_is_not_judged(size: tuple[int, int]) -> None:
    diagnosis = diagnose(Image(np.full((*size, 3), 77, np.uint8)))
    assert (diagnosis.judged, diagnosis.findings, diagnosis.measures) == (False, (), ())


@pytest.mark.parametrize("value", [0, 3, 255])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_flat_colour_has_neither_noise_nor_edges(value: int, channels: int, dtype: type) -> None:
    pixels = images.quantise(np.full((96, 130, channels), value / 255, np.float32), dtype)
    diagnosis = diagnose(Image(pixels))
    assert diagnosis.noise == pytest.approx(0, abs=1e-4) and diagnosis.blur is None
    assert diagnosis.veil == pytest.approx(value / 255, abs=1e-4)
    assert diagnosis.falling.contrast < 1e-4
    assert diagnosis.findings == () and not any(measure.over for measure in diagnosis.measures)
    assert diagnosis.measures[1].value == "no edges"


def test_a_plain_sky_and_a_page_with_writing_are_left_alone() -> None:
    random = np.random.default_rng(0)
    sky = np.broadcast_to(np.linspace([120, 170, 230], [200, 220, 245], 600)[:, None], (600, 900, 3))
    page = np.full((1600, 1200, 3), [250, 248, 244], np.uint8)
    for line in range(30):
        cv2.putText(page, "The quick brown fox jumps over the dog", (90, 100 + 48 * line), 0, 1.5, (20, 20, 20), 2, cv2.LINE_AA)
    for picture in (sky, page):
        grain = random.normal(0, 1, (*picture.shape[:2], 1))
        diagnosis = diagnose(Image(np.clip(picture + grain, 0, 255).astype(np.uint8)))
        assert diagnosis.findings == (), diagnosis
    assert diagnosis.blur is not None and diagnosis.blur < 0.7 and diagnosis.falling.contrast > 0.1  # the page


@pytest.mark.parametrize("name", ["kitten", "circuits"])
def test_haze_far_away_is_seen_behind_something_near(name: str) -> None:
    clean = photograph(name)
    pixels = images.to_float(degraded(name, "haze", 1).pixels)
    near = 2 * pixels.shape[0] // 3
    pixels[near:] = images.to_float(clean.pixels)[near:]
    diagnosis = diagnose(Image(pixels))
    assert diagnosis.veil < 0.05 < 0.4 < diagnosis.distant and diagnose(clean).distant < 0.05
    assert [finding.reason for finding in diagnosis.findings] == [
        f"nothing far away is darker than {255 * diagnosis.distant:.0f}/255"
    ]


def test_of_an_empty_picture_only_the_noise_is_told() -> None:
    empty = Diagnosis(noise=12 / 255, blur=None, veil=0.9, falling=Falling(contrast=0.05, upright=0.5, bright=0.9))
    assert [finding.kind for finding in empty.findings] == ["noise"]
    assert [finding.kind for finding in replace(empty, blur=0.5).findings] == ["rain", "noise", "haze"]


def test_sample_type_and_alpha_do_not_matter() -> None:
    noisy = degraded("kitten", "noise", 1)
    expected = diagnose(noisy)
    deep = Image((noisy.pixels.astype(np.uint16) * 257), alpha=np.zeros(noisy.pixels.shape[:2], np.uint16))
    floats = Image(images.to_float(noisy.pixels))
    for same in (deep, floats):
        found = diagnose(same)
        assert found.noise == pytest.approx(expected.noise, rel=1e-3) and found.blur == pytest.approx(expected.blur, rel=1e-3)
        assert found.findings == expected.findings


def test_grey_is_known_in_one_channel_and_in_three() -> None:
    pixels = photograph("kitten").pixels[:, :, 1:2]
    one, three = diagnose(Image(pixels)), diagnose(Image(np.repeat(pixels, 3, axis=2)))
    assert one.grey and three.grey and one.findings == three.findings == ()
    assert one.noise == pytest.approx(three.noise, rel=1e-3)
