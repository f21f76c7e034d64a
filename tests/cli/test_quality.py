"""``--quality fast|best``: which of two sizes of model a verb takes, and ``--views``: over how many mirror images its mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.zoo import find
from tests.cli.conftest import Run
from tests.tiny import write_tiny_card


@pytest.fixture
def sizes(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo with two sizes for deblurring, of which the fast one is the default."""
    folder = tmp_path_factory.mktemp("models")
    for name, lines in {"small": 'default_for = ["deblur"]\nquality = "fast"\n', "large": 'quality = "best"\n'}.items():
        card = write_tiny_card(folder, name)
        card.write_text(lines + card.read_text())
    monkeypatch.setattr(find, "_shipped_folder", lambda: folder)
    return folder


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(("options", "name"), [([], "small"), (["--quality", "fast"], "small"), (["--quality", "best"], "large")])
def test_the_size_that_was_asked_for_is_taken(run: Run, photo: Path, options: list[str], name: str) -> None:
    result = run("deblur", photo, *options)
    assert result.exit_code == 0, result.output
    assert f"deblur with {name}" in result.stderr.splitlines()
    assert "only one size" not in result.stderr


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("quality", "said"), [("fast", "--quality fast changes nothing"), ("best", "the best is its mean over 4 mirror images")]
)
def test_where_there_is_one_size_it_is_taken_and_that_is_said(run: Run, photo: Path, quality: str, said: str) -> None:
    result = run("deblur", photo, "--quality", quality)
    assert result.exit_code == 0, result.output
    said = f"There is only one size of model for deblur: {said}"
    assert result.stderr.splitlines()[:2] == [said, "deblur with tiny-deblur"]
    assert said not in run("deblur", photo, "--quality", quality, "--quiet", "--overwrite").stderr


@pytest.mark.usefixtures("zoo")
def test_the_best_of_one_size_is_its_mean_over_mirror_images(run: Run, photo: Path, tmp_path: Path) -> None:
    options = {
        "plain": [],
        "fast": ["--quality", "fast"],
        "best": ["--quality", "best"],
        "four": ["--views", "4"],
        "two": ["--quality", "best", "--views", "2"],
    }
    results = {}
    for name, more in options.items():
        target = tmp_path / f"{name}.png"
        assert run("deblur", photo, "-o", target, "--precision", "fp32", *more).exit_code == 0
        results[name] = target.read_bytes()
    assert results["plain"] == results["fast"] and results["best"] == results["four"]
    assert len({results["plain"], results["best"], results["two"]}) == 3


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("verb", ["deblur", "infer"])
def test_the_best_of_a_named_model_is_its_mean_over_mirror_images(run: Run, photo: Path, tmp_path: Path, verb: str) -> None:
    options = {"plain": [], "fast": ["--quality", "fast"], "best": ["--quality", "best"], "four": ["--views", "4"]}
    results = {}
    for name, more in options.items():
        target = tmp_path / f"{name}.png"
        result = run(verb, photo, "-m", "small", "-o", target, "--precision", "fp32", *more)
        assert result.exit_code == 0 and "with small" in result.stderr, result.output
        results[name] = target.read_bytes()
    assert results["plain"] == results["fast"] != results["best"] == results["four"]


@pytest.mark.usefixtures("zoo")
def test_a_batch_is_done_again_with_other_views(run: Run, photo: Path) -> None:
    def line(*options: str) -> str:
        return run("deblur", photo.parent, "-o", photo.parent / "out", *options).stderr.splitlines()[-1]

    assert line().startswith("1 done")
    assert line("--views", "1").startswith("1 up to date")
    assert line("--views", "2").startswith("1 done")


def test_a_best_one_beside_a_default_that_says_nothing_makes_that_the_fast_one(run: Run, photo: Path, sizes: Path) -> None:
    small = sizes / "small.toml"
    small.write_text(small.read_text().replace('quality = "fast"\n', ""))
    result = run("deblur", photo, "--quality", "fast")
    assert "deblur with small" in result.stderr and "only one size" not in result.stderr


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["denoise", "--quality", "best", "--adapt", "--from-scratch"], "--quality best is of models that have learnt"),
        (["deblur", "--views", "3"], "views must be 1, 2 or 4, not 3"),
        (["deblur", "--quality", "90"], "'90' is neither fast nor best. How much a JPEG keeps is set by --file-quality."),
    ],
)
def test_what_cannot_be_meant_is_refused(run: Run, photo: Path, arguments: list[str], message: str) -> None:
    result = run(arguments[0], photo, *arguments[1:])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.usefixtures("sizes")
def test_models_tells_the_sizes(run: Run) -> None:
    lines = run("models").stdout.splitlines()
    assert any("small" in line and "deblur * (fast)" in line for line in lines)
    assert any("large" in line and "deblur (best)" in line for line in lines)
    assert run("models", "show", "large").stdout.splitlines()[3].split() == ["Quality", "best"]


def test_a_card_of_another_quality_is_refused(run: Run, photo: Path, card: Path) -> None:
    card.write_text('quality = "better"\n' + card.read_text())
    result = run("infer", "-m", card, photo)
    assert result.exit_code == 1 and "unknown value 'better'" in result.stderr
