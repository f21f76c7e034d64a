"""One HTML page that holds scores and pictures: a single file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from restorekit import __version__
from restorekit.errors import DataError
from restorekit.evaluation.gallery import Showcase
from restorekit.evaluation.measures import scale_of
from restorekit.evaluation.report import Report
from restorekit.evaluation.subjects import INPUT
from restorekit.images.atomic import replacing

_LOSSLESS = "Pictures are stored without loss, rounded to 8 bits."
_LOSSY = "To keep the page small, pictures are stored as WebP of quality {}: differences of a few levels may be the codec's."


def report_page(report: Report, showcase: Showcase | None = None, *, title: str = "Evaluation", command: str = "") -> str:
    """The page of a report.

    Args:
        report: the scores.
        showcase: the pictures; None for a page of numbers.
        title: its heading.
        command: what made it, for the foot of the page.
    """
    table = report.to_dict()
    decimals = {name: scale_of(name).decimals for name in report.metrics}
    table["metrics"] = [{**entry, "decimals": decimals[entry["name"]]} for entry in table["metrics"]]
    ranked = INPUT in report.subjects and len(report.subjects) > 1
    table["input"] = INPUT if ranked else None
    return _fill({"title": title, "command": command, "report": table, **_pictures(showcase)})


def comparison_page(showcase: Showcase, *, title: str = "Comparison", command: str = "") -> str:
    """The page of pictures that are only to be looked at, without scores."""
    return _fill({"title": title, "command": command, "report": None, **_pictures(showcase)})


def write_text(text: str, path: Path) -> None:
    """Write a page, or a table, whole or not at all; folders are made.

    Raises:
        DataError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode(errors="backslashreplace"))  # names may hold bytes that are not UTF-8
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}", "Choose another place") from None


def _pictures(showcase: Showcase | None) -> dict[str, Any]:
    if showcase is None:
        return {"exhibits": [], "picture_note": "", "left_out": 0}
    note = _LOSSLESS if showcase.quality == 100 else _LOSSY.format(showcase.quality)
    exhibits = [
        {
            "name": exhibit.name,
            "size": exhibit.size,
            "window": exhibit.window,
            "why": exhibit.why,
            "pictures": [{"label": label, "src": _data_uri(data)} for label, data in pictures.items()],
        }
        for exhibit, pictures in zip(showcase.exhibits, showcase.files, strict=True)
    ]
    return {"exhibits": exhibits, "picture_note": note, "left_out": showcase.left_out}


def _data_uri(data: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(data).decode("ascii")


def _fill(data: Mapping[str, Any]) -> str:
    folder = files("restorekit.evaluation") / "template"
    content = {**data, "version": __version__, "date": datetime.now(timezone.utc).date().isoformat()}
    # Text inside <script> ends at the first "</script" or may open a comment: names of files could hold either.
    text = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    page = (folder / "page.html").read_text("utf-8")
    for name in ("page.css", "scores.js", "pictures.js", "start.js"):
        page = page.replace(f"{{{{{name}}}}}", (folder / name).read_text("utf-8"))
    return page.replace("{{title}}", escape(str(data["title"]))).replace("{{data}}", text)
