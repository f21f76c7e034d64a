from __future__ import annotations

import json
import math

import pytest

from restorekit.evaluation import Protocol, Report, Score, Summary

PLAIN = Report(Protocol(), (Score("a", 30.0, 0.9), Score("b", 26.0, 0.95), Score("c", 31.0, 0.7)))
GAINS = Report(Protocol("y"), (Score("a", 30.0, 0.9, 27.5, 0.8), Score("b", 26.0, 0.95, 27.0, 0.96)))


def test_summary() -> None:
    summary = PLAIN.summary()
    assert summary == {
        "psnr": Summary(pytest.approx(29.0), 30.0, 26.0, "b"),
        "ssim": Summary(pytest.approx(0.85), 0.9, 0.7, "c"),
    }
    assert GAINS.summary()["gain"] == Summary(0.75, 0.75, -1.0, "b")


def test_table() -> None:
    table = PLAIN.to_table()
    assert table.columns == ("image", "PSNR", "SSIM")
    assert table.images == (("a", "30.00", "0.9000"), ("b", "26.00", "0.9500"), ("c", "31.00", "0.7000"))
    assert table.summary == (("mean", "29.00", "0.8500"), ("median", "30.00", "0.9000"), ("worst", "26.00", "0.7000"))


def test_table_with_inputs() -> None:
    table = GAINS.to_table()
    assert table.columns == ("image", "PSNR", "SSIM", "PSNR in", "SSIM in", "gain")
    assert table.images[0] == ("a", "30.00", "0.9000", "27.50", "0.8000", "+2.50")
    assert table.summary[2] == ("worst", "26.00", "0.9000", "27.00", "0.8000", "-1.00")


def test_json() -> None:
    table = json.loads(GAINS.to_json())
    assert table["count"] == 2
    assert table["protocol"]["name"] == "Y, border 0, 8-bit"
    assert table["images"][1] == {"name": "b", "psnr": 26.0, "ssim": 0.95, "input_psnr": 27.0, "input_ssim": 0.96, "gain": -1.0}
    assert table["summary"]["gain"] == {"mean": 0.75, "median": 0.75, "worst": -1.0, "worst_name": "b"}


def test_what_is_not_finite_is_none() -> None:
    report = Report(Protocol(), (Score("a", math.inf, 1.0, math.inf, 1.0), Score("b", 30.0, 0.9, 28.0, 0.8)))
    table = json.loads(report.to_json())
    assert table["images"][0]["psnr"] is None
    assert table["images"][0]["gain"] is None
    assert table["summary"]["psnr"] == {"mean": None, "median": None, "worst": 30.0, "worst_name": "b"}
    assert report.to_table().images[0][:2] == ("a", "inf")
