from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

import numpy as np

from restorekit.evaluation import (
    Gallery,
    Protocol,
    Report,
    Score,
    comparison_page,
    report_page,
    write_text,
)
from restorekit.evaluation.gallery import encode, make_exhibit


def small_report(names: tuple[str, ...] = ("a", "b")) -> Report:
    scores = []
    for number, name in enumerate(names):
        scores += [Score(name, "input", {"psnr": 25.0}), Score(name, "m", {"psnr": 26.0 + number})]
    return Report(Protocol(), ("psnr",), ("input", "m"), tuple(scores))


def data_of(page: str) -> dict[str, object]:
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert match is not None
    return json.loads(match[1])  # type: ignore[no-any-return]


def test_the_page_asks_nobody_for_anything() -> None:
    page = report_page(small_report())
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page) == []
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in page
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|url\(", page)


def test_names_cannot_break_out_of_the_page() -> None:
    hostile = "</script><script>alert(1)</script><!--"
    page = report_page(small_report((hostile, "{{data}}")), title="<b>a & b</b> {{page.css}}", command="x </script>")
    assert "alert(1)" not in page.replace("\\u003cscript>alert(1)", "")
    assert "<title>&lt;b&gt;a &amp; b&lt;/b&gt; {{page.css}}</title>" in page
    report = data_of(page)["report"]
    assert [image["name"] for image in report["images"]] == [hostile, "{{data}}"]  # type: ignore[index]


def test_names_that_are_not_utf8_do_not_cost_the_page(tmp_path: Path) -> None:
    name = os.fsdecode(b"gr\xfcn")
    report = small_report((name,))
    for text in (report_page(report, title=name), report.to_json(), report.to_csv()):
        write_text(text, tmp_path / "file")
        assert "n" in (tmp_path / "file").read_text(encoding="utf-8")


def test_all_scores_are_there() -> None:
    scores = (Score("a", "input", {"psnr": 30.0}), Score("a", "m", {"psnr": math.inf}))
    data = data_of(report_page(Report(Protocol(), ("psnr",), ("input", "m"), scores, ("LPIPS left out",))))
    report = data["report"]
    assert report["images"][0]["scores"] == {"input": {"psnr": 30.0}, "m": {"psnr": None}}  # type: ignore[index]
    assert report["notes"] == ["LPIPS left out"]  # type: ignore[index]
    assert report["input"] == "input"  # type: ignore[index]


def test_pictures_are_in_the_page() -> None:
    gallery = Gallery()
    picture = np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)
    scores = [Score("a", "input", {"psnr": 25.0}), Score("a", "m", {"psnr": 26.0})]
    gallery.offer("a", {"input": picture, "m": picture // 2}, picture, scores)
    data = data_of(report_page(small_report(), gallery.show()))
    exhibit = data["exhibits"][0]  # type: ignore[index]
    assert [entry["label"] for entry in exhibit["pictures"]] == ["input", "m", "target"]
    assert all(entry["src"].startswith("data:image/webp;base64,") for entry in exhibit["pictures"])
    assert data["picture_note"] == "Pictures are stored without loss, rounded to 8 bits."


def test_a_comparison_has_no_scores() -> None:
    pictures = {"x": np.zeros((20, 30, 3), np.uint8), "y": np.ones((20, 30, 3), np.uint8)}
    page = comparison_page(encode([make_exhibit("p", pictures, "x", "y", 10_000)], 1 << 20))
    assert data_of(page)["report"] is None
