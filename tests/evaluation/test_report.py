from __future__ import annotations

import csv
import io
import json
import math

import pytest

from restorekit.errors import UnknownNameError
from restorekit.evaluation import Alignment, Candidates, Protocol, Report, Score, Summary


def scores(subject: str, values: dict[str, tuple[float, float]]) -> tuple[Score, ...]:
    return tuple(Score(name, subject, {"psnr": psnr, "ssim": ssim}) for name, (psnr, ssim) in values.items())


RESTORED = scores("m", {"a": (30.0, 0.9), "b": (26.0, 0.95), "c": (31.0, 0.7)})
INPUT = scores("input", {"a": (27.5, 0.8), "b": (27.0, 0.96), "c": (30.0, 0.6)})
OTHER = scores("n", {"a": (29.0, 0.9), "b": (26.5, 0.95), "c": (30.5, 0.7)})
PLAIN = Report(Protocol(), ("psnr", "ssim"), ("m",), RESTORED)
GAINS = Report(Protocol("y"), ("psnr", "ssim"), ("input", "m", "n"), INPUT + RESTORED + OTHER)


def test_summary() -> None:
    assert PLAIN.summary() == {
        "psnr": Summary(pytest.approx(29.0), 30.0, 26.0, "b"),
        "ssim": Summary(pytest.approx(0.85), 0.9, 0.7, "c"),
    }
    assert GAINS.summary("input")["psnr"].median == 27.5
    assert GAINS.summary() == GAINS.summary("m")


def test_the_worst_of_what_should_be_low_is_the_highest() -> None:
    rows = tuple(Score(name, "m", {"lpips": value}) for name, value in {"a": 0.1, "b": 0.4, "c": 0.2}.items())
    before = tuple(Score(name, "input", {"lpips": 0.3}) for name in "abc")
    report = Report(Protocol(), ("lpips",), ("input", "m"), before + rows)
    assert report.summary()["lpips"] == Summary(pytest.approx(0.7 / 3), 0.2, 0.4, "b")
    assert report.gains("m") == pytest.approx({"a": 0.2, "b": -0.1, "c": 0.1})
    assert [name for name, _ in report.worst("m", 2)] == ["b", "c"]
    assert [name for name, _ in Report(Protocol(), ("lpips",), ("m",), rows).worst("m", 2)] == ["b", "c"]


def test_gains_and_worst() -> None:
    assert GAINS.gains("m") == {"a": 2.5, "b": -1.0, "c": 1.0}
    assert GAINS.gains("m", over="n") == {"a": 1.0, "b": -0.5, "c": 0.5}
    assert GAINS.worst("m", 2) == [("b", -1.0), ("c", 1.0)]
    assert PLAIN.worst("m", 2) == [("b", 26.0), ("a", 30.0)]


def test_difference() -> None:
    found = GAINS.difference("m")
    assert (found.mean, found.wins, found.losses, found.count) == (pytest.approx(2.5 / 3), 2, 1, 3)
    assert (found.low, found.high) == (-1.0, 2.5)  # of three images, one drawn three times is within the 95 %


def test_subjects_nobody_scored_are_told() -> None:
    for ask in (GAINS.summary, GAINS.gains, GAINS.difference, GAINS.worst, GAINS.of):
        with pytest.raises(UnknownNameError, match="unknown subject 'mm'"):
            ask("mm")
    with pytest.raises(UnknownNameError, match=r"unknown subject 'input'\. Known are: m"):
        PLAIN.gains("m")


def test_equal_images_count_as_100_decibels() -> None:
    report = Report(
        Protocol(),
        ("psnr",),
        ("input", "m"),
        (
            Score("a", "input", {"psnr": math.inf}),
            Score("a", "m", {"psnr": 40.0}),
            Score("b", "input", {"psnr": math.inf}),
            Score("b", "m", {"psnr": math.inf}),
        ),
    )
    assert report.gains("m") == {"a": -60.0, "b": 0.0}


def test_candidates() -> None:
    rows = (
        Score("a", "m", {"psnr": 31.0}, {"1": 30.0, "1+2": 32.0, "2": 31.0}),
        Score("b", "m", {"psnr": 27.0}, {"1": 28.0, "1+2": 20.0, "2": 27.5}),
    )
    assert Report(Protocol(), ("psnr",), ("m",), rows).candidates("m") == Candidates(
        30.0, 29.25, "2", pytest.approx(28.0833, abs=1e-4)
    )
    assert PLAIN.candidates("m") is None


def test_json_has_the_score_of_every_candidate() -> None:
    rows = (Score("a", "input", {"psnr": 29.0}), Score("a", "m", {"psnr": 31.0}, {"1": 30.0, "2": math.inf}))
    report = Report(Protocol(), ("psnr",), ("input", "m"), rows)
    table = json.loads(report.to_json())
    assert table["subjects"][1]["candidates"] == {"best_overall": None, "best_single": None, "single": "2", "mean": None}
    assert table["images"] == [
        {"name": "a", "scores": {"input": {"psnr": 29.0}, "m": {"psnr": 31.0}}, "candidates": {"m": {"1": 30.0, "2": None}}}
    ]
    assert "candidates" not in PLAIN.to_dict()["images"][0]


def test_what_laid_images_over_their_targets_is_part_of_the_protocol() -> None:
    report = Report(Protocol(), ("psnr",), ("m",), RESTORED, alignment=Alignment("crop", 5))
    name = "RGB, border 0, 8-bit, cut to common size, best shift up to 5 pixels"
    assert report.to_dict()["protocol"]["name"] == report.protocol_name == name
    assert report.to_dict()["protocol"]["alignment"] == {"sizes": "crop", "shift": 5}
    assert {row["protocol"] for row in csv.DictReader(io.StringIO(report.to_csv()))} == {name}
    assert Report(Protocol(), ("psnr",), ("m",), RESTORED, alignment=Alignment()).protocol_name == Protocol().name


def test_json() -> None:
    table = json.loads(GAINS.to_json())
    assert table["count"] == 3
    assert table["protocol"]["name"] == "Y, border 0, 8-bit"
    assert table["images"][1]["scores"]["m"] == {"psnr": 26.0, "ssim": 0.95}
    assert [entry["name"] for entry in table["subjects"]] == ["input", "m", "n"]
    assert table["subjects"][1]["worst"] == ["b", "c", "a"]
    contests = [(entry["subject"], entry["over"]) for entry in table["differences"]]
    assert contests == [("m", "input"), ("n", "input"), ("m", "n")]
    assert table["differences"][2]["mean"] == pytest.approx(1 / 3)


def test_csv() -> None:
    rows = list(csv.DictReader(io.StringIO(GAINS.to_csv())))
    assert len(rows) == 9
    assert rows[4] == {"image": "b", "subject": "m", "psnr": "26.0", "ssim": "0.95", "protocol": "Y, border 0, 8-bit"}


def test_names_in_csv_may_hold_anything() -> None:
    report = Report(Protocol(), ("psnr",), ("m",), (Score('a,"b"', "m", {"psnr": math.inf}),))
    assert list(csv.reader(io.StringIO(report.to_csv())))[1] == ['a,"b"', "m", "inf", report.protocol_name]
