"""``restorekit compare``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image as PillowImage

from tests.cli.conftest import Run, save_photo


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [save_photo(tmp_path / name, seed) for seed, name in enumerate(("a.png", "b.png", "c.png"))]


def test_a_page_by_default(run: Run, photos: list[Path]) -> None:
    result = run("compare", *photos)
    assert result.exit_code == 0 and "3 versions of 1 -> comparison.html" in result.stderr
    page = Path("comparison.html").read_text(encoding="utf-8")
    assert "<title>a / b / c</title>" in page and page.count("data:image/webp") == 3


def test_a_sheet(run: Run, photos: list[Path]) -> None:
    result = run("compare", *photos, "-o", "sheet.png", "--crop", "2,3,10,8", "--label", "one,two", "--label", "three", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"output": "sheet.png", "pictures": ["a"]}
    assert PillowImage.open("sheet.png").width == 3 * 432 + 12


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["a.png"], 2, "one picture cannot be compared"),
        (["a.png", "b.png", "-o", "x.jpg"], 2, "x.jpg is neither a page nor a sheet"),
        (["a.png", "b.png", "--crop", "1,2"], 2, "'1,2' is not a crop"),
        (["a.png", "b.png", "--crop", "38,0,4,4"], 2, "reaches beyond"),
        (["a.png", "nowhere.png"], 1, "nowhere.png"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_hostile_options(run: Run, arguments: list[str], code: int, message: str) -> None:
    result = run("compare", *arguments)
    assert result.exit_code == code and message in result.stderr
    assert not Path("comparison.html").exists()
