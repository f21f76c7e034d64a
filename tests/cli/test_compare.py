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
    assert result.exit_code == 0 and "3 versions of 1 picture -> comparison.html" in result.stderr
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
        (["a.png", "b.png", "--crop", "-1,0,4,4"], 2, "the first two at least 0"),
        (["a.png", "b.png", "-o", "x.png", "--column", "999999"], 2, "less than or equal to 4096"),
        (["a.png", "nowhere.png"], 1, "nowhere.png"),
        (["a.png", "b.png", "-o", f"{'x' * 300}.html"], 1, "xxx.html cannot be written"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_hostile_options(run: Run, arguments: list[str], code: int, message: str) -> None:
    result = run("compare", *arguments)
    assert result.exit_code == code and message in result.stderr
    assert not Path("comparison.html").exists()


@pytest.mark.parametrize("output", ["a.png", "c.png", "./b.png", "link.png", "in/../b.png"])
def test_no_picture_is_replaced_by_the_sheet(run: Run, photos: list[Path], output: str) -> None:
    Path("in").mkdir()
    Path("link.png").symlink_to("b.png")
    before = [photo.read_bytes() for photo in photos]
    result = run("compare", *photos, "-o", output)
    assert result.exit_code == 2
    assert f"{Path(output)} is one of the pictures. Name another output with -o" in result.stderr
    assert [photo.read_bytes() for photo in photos] == before


def test_what_stands_where_the_sheet_goes_is_replaced_only_if_told_to(run: Run, photos: list[Path]) -> None:
    holiday = save_photo(Path("holiday.png"), 9)
    before = holiday.read_bytes()
    result = run("compare", *photos, "-o", "holiday.png")
    assert result.exit_code == 1 and holiday.read_bytes() == before
    assert "restorekit: holiday.png exists already. Add --overwrite to replace it." in result.stderr
    assert run("compare", *photos, "-o", "holiday.png", "--overwrite").exit_code == 0
    assert PillowImage.open("holiday.png").width == 3 * 432 + 12


def test_no_picture_is_replaced_even_if_told_to(run: Run, photos: list[Path]) -> None:
    before = photos[0].read_bytes()
    assert run("compare", *photos, "-o", "a.png", "--overwrite").exit_code == 2
    assert photos[0].read_bytes() == before


def test_a_page_is_written_again(run: Run, photos: list[Path]) -> None:
    for count in (2, 3):
        assert run("compare", *photos[:count]).exit_code == 0
    assert Path("comparison.html").read_text(encoding="utf-8").count("data:image/webp") == 3


def test_a_folder_and_the_results_inside_it(run: Run) -> None:
    for seed, name in enumerate(("in/p.png", "in/q.png", "in/out/p.png", "in/out/q.png")):
        save_photo(Path(name), seed)
    result = run("compare", "in", "in/out", "-o", "in/out/page.html", "--json")
    assert result.exit_code == 0 and json.loads(result.stdout)["pictures"] == ["p", "q"]
    for name in ("p", "q"):
        Path(f"in/out/{name}.png").rename(f"in/out/{name}2.png")
    result = run("compare", "in", "in/out", "-o", "no.html")
    assert result.exit_code == 1 and "4 problems:" in result.stderr
    assert "Nothing was compared. Pair images by name" in result.stderr and "scored" not in result.stderr


def test_no_picture_of_a_folder_is_replaced_either(run: Run) -> None:
    for seed, name in enumerate(("a/1.png", "b/1.png")):
        save_photo(Path(name), seed)
    before = Path("b/1.png").read_bytes()
    assert run("compare", "a", "b", "-o", "b/1.png").exit_code == 2
    assert Path("b/1.png").read_bytes() == before


def test_a_column_is_of_a_sheet(run: Run) -> None:
    save_photo(Path("a.png")), save_photo(Path("b.png"), 1)
    result = run("compare", "a.png", "b.png", "-o", "page.html", "--column", "100")
    assert result.exit_code == 2 and "--column is about a sheet" in result.stderr and not Path("page.html").exists()
    assert run("compare", "a.png", "b.png", "-o", "sheet.png", "--column", "100").exit_code == 0


def test_a_pattern_that_no_shell_replaced(run: Run, photos: list[Path]) -> None:
    result = run("compare", "*.png")
    assert result.exit_code == 0 and "3 versions of 1 picture" in result.stderr
    assert "<title>a / b / c</title>" in Path("comparison.html").read_text(encoding="utf-8")
    save_photo(Path("[ab].png"), 5)
    result = run("compare", "[ab].png", "c.png", "-o", "other.html")
    assert result.exit_code == 0 and "<title>[ab] / c</title>" in Path("other.html").read_text(encoding="utf-8")
