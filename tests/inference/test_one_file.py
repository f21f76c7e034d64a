"""Results whose names are one file where case, or how accents are written, makes no difference."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from restorekit.images import Image
from restorekit.inference import folder
from restorekit.inference.folder import Batch, Outcome, Products
from restorekit.inference.inputs import Job, identity_of, plan
from restorekit.inference.journal import FILE_NAME
from tests.inference.conftest import save

E_ACUTE, E_AND_ACUTE = "caf\u00e9.png", "cafe\u0301.png"


def folded(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system to which such names are one: what a name leads to is what was there first."""

    def identity(path: Path) -> tuple[int, int] | None:
        there = sorted(other for other in path.parent.glob("*") if folded(other) == folded(path)) if path.parent.exists() else []
        return identity_of(there[0]) if there and there[0].parent.name.startswith("out") else identity_of(path)

    monkeypatch.setattr(folder, "identity_of", identity)


def invert(image: Image, job: Job) -> Products:
    answer = image.replace_pixels(255 - image.pixels)
    return Products(answer, (answer, answer) if job.maps else (), {name: answer for name, _ in job.maps})


def batch(source: Path, out: Path, overwrite: bool = False, maps: bool = False) -> Batch:
    made = plan(
        [str(source)],
        suffix="new",
        output=str(out),
        candidates=maps,
        maps={"spread": f"{out}-spread"} if maps else None,
    )
    return Batch(made, {}, overwrite=overwrite)


def run(work: Batch) -> list[Outcome]:
    return work.run(lambda: invert)


@pytest.fixture(params=[("A.png", "a.png"), (E_AND_ACUTE, E_ACUTE)])
def names(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    first, second = request.param
    save(tmp_path / "in" / first, 1), save(tmp_path / "in" / second, 2), save(tmp_path / "in" / "other.png", 3)
    if len({path.name for path in (tmp_path / "in").iterdir()}) < 3:
        pytest.skip("they are one file here")
    return first, second


@pytest.mark.usefixtures("careless")
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("maps", [True, False])
def test_the_second_fails_and_says_why(tmp_path: Path, out: Path, names: tuple[str, str], overwrite: bool, maps: bool) -> None:
    first, second = names
    outcomes = run(batch(tmp_path / "in", out, overwrite, maps))
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert outcomes[1].error == (
        f"{out / second} is the same file here as another result, {out / first}. Rename an input, or name other outputs."
    )
    stand = {path.name for path in out.iterdir()}
    assert {first, "other.png"} <= stand and second not in stand and len(stand) == (7 if maps else 3)


@pytest.mark.usefixtures("careless")
def test_a_run_that_goes_on_says_it_too(tmp_path: Path, out: Path, names: tuple[str, str]) -> None:
    first, second = names
    run(batch(tmp_path / "in", out))
    assert second not in (out / FILE_NAME).read_text(encoding="utf-8")
    (out / "other.png").unlink()
    (out / second).hardlink_to(out / first)  # what its name leads to there
    outcomes = run(batch(tmp_path / "in", out))
    assert [outcome.status for outcome in outcomes] == ["skipped", "failed", "done"]
    assert "is the same file here as another result" in outcomes[1].error


@pytest.mark.parametrize("again", [{}, {"overwrite": True}])
@pytest.mark.parametrize("maps", [True, False])
def test_where_they_are_two_files_both_are_written(
    tmp_path: Path, out: Path, names: tuple[str, str], again: dict[str, bool], maps: bool
) -> None:
    assert [outcome.status for outcome in run(batch(tmp_path / "in", out, maps=maps))] == ["done"] * 3
    outcomes = run(batch(tmp_path / "in", out, maps=maps, **again))
    assert [outcome.status for outcome in outcomes] == ["done" if again else "skipped"] * 3
    assert {*names, "other.png"} <= {path.name for path in out.iterdir()}


def test_equal_results_may_be_linked_to_each_other(source: Path, out: Path) -> None:
    """As programs do that save room."""
    run(batch(source, out))
    (out / "1.png").unlink()
    (out / "1.png").hardlink_to(out / "0.png")
    save(source / "1.png", 50)
    assert [outcome.status for outcome in run(batch(source, out, overwrite=True))] == ["done"] * 4
    (out / "1.png").unlink()
    (out / "1.png").hardlink_to(out / "0.png")
    outcomes = run(batch(source, out))
    assert [outcome.status for outcome in outcomes] == ["skipped", "failed", "skipped", "skipped"]
    assert "is not known to be an unchanged result" in outcomes[1].error


def test_a_file_system_that_numbers_no_files_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat: Callable[..., os.stat_result] = Path.stat
    there = save(tmp_path / "a.png")
    assert identity_of(there) == (there.stat().st_dev, there.stat().st_ino)

    def without_number(self: Path, **options: object) -> object:
        info = stat(self, **options)
        return os.stat_result([*info[:1], 0, *info[2:]])

    monkeypatch.setattr(Path, "stat", without_number)
    assert identity_of(there) is None
