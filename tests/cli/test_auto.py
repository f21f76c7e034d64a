"""``restorekit auto``: what it says, what it prints to type, and what it does with ``--yes``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.cli.conftest import Run, pixels
from tests.tiny import write_other_card, write_tiny_card


def scene(columns: int = 6) -> np.ndarray:
    """Sharp blocks of colour, from nearly black to nearly white."""
    blocks = np.random.default_rng(0).uniform(0.1, 0.9, (5, columns, 3)).astype(np.float32)
    blocks[0, 0] = 0.01
    return cv2.resize(blocks, (240, 192), interpolation=cv2.INTER_NEAREST)


def save(name: str, values: np.ndarray) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray((255 * values.clip(0, 1)).round().astype(np.uint8)).save(path)
    return path


def clean(name: str = "clean.png") -> Path:
    return save(name, scene())


def blurred(name: str = "blurred.png") -> Path:
    return save(name, cv2.GaussianBlur(scene(), (0, 0), 1.5))


def noisy(name: str = "noisy.png") -> Path:
    return save(name, 0.5 + np.random.default_rng(1).normal(0, 12 / 255, (192, 240, 3)))


def hazy(name: str = "hazy.png") -> Path:
    return save(name, 0.5 * scene(columns=1) + 0.4)


@pytest.fixture
def both(zoo: Path) -> Path:
    """A zoo with defaults for deblurring and denoising."""
    card = write_other_card(zoo.parent, "cbsn")
    card.write_text('default_for = ["denoise"]\n' + card.read_text())
    return zoo.parent


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*.*") if path.is_file() and not path.name.startswith("."))


@pytest.mark.usefixtures("zoo")
def test_nothing_is_done_where_nothing_is_wrong(run: Run) -> None:
    clean()
    for options in ([], ["--yes"]):
        result = run("auto", "clean.png", *options)
        assert result.exit_code == 0, result.output
        assert "clean.png: nothing wrong is seen" in result.output
        assert "restorekit" not in result.output and files() == ["clean.png"]


def write_dryer(folder: Path, scale: float, task: str = "deraindrop") -> None:
    """A default for a verb, if not another for drops, that changes photographs by ``scale``."""
    card = write_tiny_card(folder, f"tiny-{task}", scale)
    card.write_text(f'default_for = ["{task}"]\n' + card.read_text().replace('"deblur"', f'"{task}"'))


def test_drops_are_seen_by_the_model_for_them(run: Run, both: Path) -> None:
    write_dryer(both, 2.0)
    clean(), noisy()
    result = run("auto", "clean.png", "noisy.png")
    assert result.exit_code == 0, result.output
    assert "clean.png: drops on the glass -> deraindrop" in result.stdout
    assert "what goes with drops" in result.stdout and "noisy.png: noise 13/255 -> denoise" in result.stdout
    found = json.loads(run("auto", "clean.png", "noisy.png", "--json").stdout)["files"]
    assert found[0]["verb"] == "deraindrop" and found[0]["measures"]["drops"] > 6 / 255
    assert found[1]["measures"]["drops"] is None
    done = run("auto", "clean.png", "--yes")
    assert done.exit_code == 0 and Path("clean-dried.png").is_file()


def test_reflections_are_seen_by_the_model_for_them(run: Run, both: Path) -> None:
    write_dryer(both, 1e-3), write_dryer(both, 2.0, "dereflect")
    clean()
    result = run("auto", "clean.png")
    assert "clean.png: a reflection in a pane -> dereflect" in result.stdout
    assert "what goes with drops" in result.stdout and "what goes with a reflection" in result.stdout
    (found,) = json.loads(run("auto", "clean.png", "--json").stdout)["files"]
    assert found["verb"] == "dereflect" and found["measures"]["drops"] < 6 / 255 and found["measures"]["reflection"] > 16 / 255
    done = run("auto", "clean.png", "--yes")
    assert done.exit_code == 0 and Path("clean-dereflected.png").is_file()


def test_a_device_there_is_not_is_told_once_and_ends_all(run: Run, both: Path) -> None:
    write_dryer(both, 2.0)
    clean(), clean("other.png")
    result = run("auto", "clean.png", "other.png", "--device", "nonsense")
    assert result.exit_code == 2 and result.stderr.count("nonsense") == 1
    assert run("auto", "clean.png", "--tile", "8").exit_code == 0  # a tile is for restoring
    noisy()  # of which nothing is asked
    for option, value, problem in (("--device", "cuda:99", "CUDA"), ("--views", "3", "views must be 1, 2 or 4, not 3")):
        result = run("auto", "noisy.png", option, value)
        assert result.exit_code == 2 and problem in result.stderr and result.stdout == ""


def test_what_the_model_for_drops_hardly_changes_is_dry(run: Run, both: Path) -> None:
    write_dryer(both, 1e-3)
    clean()
    result = run("auto", "clean.png")
    assert "clean.png: nothing wrong is seen" in result.stdout and "what goes with drops" in result.stdout


@pytest.mark.usefixtures("both")
def test_it_says_what_it_would_do_and_what_to_type(run: Run) -> None:
    noisy(), blurred("the blurred.png")
    result = run("auto", "noisy.png", "the blurred.png", "-o", "out/", "--tile", "64", "--quality", "fast", "--overwrite")
    assert result.exit_code == 0 and result.stderr == ""
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert "noisy.png: noise 13/255 -> denoise" in lines
    assert any(line.startswith("the blurred.png: edges blurred by 1.") and line.endswith(" pixels -> deblur") for line in lines)
    marked = [line.split()[0] for line in lines if line.endswith("<")]
    assert marked == ["noise", "blur"]  # the noisy one is a grey card: nothing dark is in it, but no edge either
    options = "--output out/ --overwrite --quality fast --tile 64"
    assert lines[-2:] == [f"restorekit deblur 'the blurred.png' {options}", f"restorekit denoise noisy.png {options}"]
    assert files() == ["noisy.png", "the blurred.png"]
    noisy("more/1.png"), noisy("more/2.png"), clean("more/3.png")
    assert run("auto", "more", "--quiet").output == "restorekit denoise more/1.png more/2.png\n"


@pytest.mark.usefixtures("both")
def test_yes_does_what_the_verbs_do(run: Run) -> None:
    for make in (noisy, blurred, clean):
        make(f"in/deep/{make.__name__}.png")
    result = run("auto", "in", "-r", "-o", "out", "--yes")
    assert result.exit_code == 0, result.output
    assert result.stdout == "" and "noisy.png: noise 13/255 -> denoise" in result.stderr
    assert [name for name in files() if name.startswith("out")] == ["out/deep/blurred.png", "out/deep/noisy.png"]
    assert run("denoise", "in/deep/noisy.png", "-o", "by-hand.png").exit_code == 0
    np.testing.assert_array_equal(pixels(Path("out/deep/noisy.png")), pixels(Path("by-hand.png")))
    again = run("auto", "in", "-r", "-o", "out", "--yes")
    assert again.exit_code == 0 and again.stderr.count("1 up to date in") == 2


@pytest.mark.usefixtures("both")
def test_what_is_printed_for_a_tree_leads_where_yes_does(run: Run) -> None:
    for name in ("a.png", "x/a.png", "x/b.png", "set.png/a.png", "old.raw/a.png", "the y/a.png"):
        noisy(f"in/{name}")
    blurred("in/x/c.png"), clean("in/d.png")
    lines = run("auto", "in", "--recursive", "-o", "out", "--quiet").output.splitlines()
    assert "restorekit denoise in/x/a.png in/x/b.png --output out/x/" in lines and len(lines) == 6
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "restorekit"
        result = run(*arguments)
        assert result.exit_code == 0, result.output
    expected = ["a.png", "old.raw/a.png", "set.png/a.png", "the y/a.png", "x/a.png", "x/b.png", "x/c.png"]
    assert [name.removeprefix("out/") for name in files() if name.startswith("out")] == expected
    assert run("auto", "in", "--recursive", "-o", "yes", "--yes").exit_code == 0
    assert [name.removeprefix("yes/") for name in files() if name.startswith("yes")] == expected
    np.testing.assert_array_equal(pixels(Path("out/x/c.png")), pixels(Path("yes/x/c.png")))


@pytest.mark.usefixtures("both")
def test_what_is_printed_for_the_folder_itself_leads_where_yes_does(run: Run) -> None:
    noisy("in/a.png"), noisy("in/x/a.png")
    lines = run("auto", "in", "--recursive", "-o", "in", "--quiet").output.splitlines()
    for line in lines:
        assert run(*shlex.split(line)[1:]).exit_code == 0
    assert files() == ["in/a-denoised.png", "in/a.png", "in/x/a-denoised.png", "in/x/a.png"]


@pytest.mark.usefixtures("both")
def test_a_name_is_not_printed_as_an_option(run: Run) -> None:
    noisy("-a.png")
    (line,) = run("auto", "./-a.png", "--quiet").output.splitlines()
    assert line == "restorekit denoise ./-a.png"
    assert run("auto", ".", "--quiet").output.splitlines() == [line]
    assert run(*shlex.split(line)[1:]).exit_code == 0 and files() == ["-a-denoised.png", "-a.png"]


@pytest.mark.usefixtures("both")
def test_a_command_for_the_shells_of_windows(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.cli.shell.WINDOWS", True)
    noisy("the photos/me&you.png")
    expected = 'restorekit denoise "the photos/me&you.png" --output "the out/"\n'
    assert run("auto", "the photos", "-o", "the out", "--quiet").output == expected


@pytest.mark.usefixtures("both")
def test_results_beside_photographs_are_not_looked_at_again(run: Run) -> None:
    noisy("in/a.png"), blurred("in/b.png")
    assert run("auto", "in", "--yes").exit_code == 0
    assert files() == ["in/a-denoised.png", "in/a.png", "in/b-deblurred.png", "in/b.png"]
    report = json.loads(run("auto", "in", "--json").stdout)
    assert [file["input"] for file in report["files"]] == ["in/a.png", "in/b.png"]


@pytest.mark.usefixtures("both")
def test_what_any_verb_has_made_is_not_looked_at(run: Run) -> None:
    noisy("a.png")
    for made in ("dried", "dereflected", "denoised", "degraded", "restored", "depth"):
        noisy(f"a-{made}.png")
    assert [file["input"] for file in json.loads(run("auto", ".", "--json").stdout)["files"]] == ["a.png"]


@pytest.mark.usefixtures("both")
def test_what_cannot_be_right_for_one_verb_is_refused_before_another_begins(run: Run) -> None:
    noisy()
    blurred()
    before = files()
    result = run("auto", "noisy.png", "blurred.png", "--yes", "--tile", "48")
    assert result.exit_code == 2 and "tile must be at least 64 for tiny-deblur, not 48" in result.stderr
    assert files() == before


@pytest.mark.usefixtures("zoo")
def test_what_has_no_model_is_said_and_the_next_best_named(run: Run) -> None:
    hazy()
    save("both.png", cv2.imread(str(blurred()))[..., ::-1] / 255 + np.random.default_rng(2).normal(0, 0.03, (192, 240, 3)))
    result = run("auto", "hazy.png", "both.png")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    (hazy_line,) = (line for line in lines if line.startswith("hazy.png"))
    assert hazy_line.startswith("hazy.png: nothing is darker than 1")
    assert hazy_line.endswith("/255 -> dehaze, for which no model is included")
    (noisy_line,) = (line for line in lines if line.startswith("both.png"))
    assert " -> denoise, for which no model is included" in noisy_line
    assert not any(line.startswith("restorekit dehaze") or line.startswith("restorekit denoise") for line in lines)
    done = run("auto", "hazy.png", "--yes")
    assert done.exit_code == 1 and "no model is included" in done.stderr and not Path("hazy-dehazed.png").exists()


def test_a_model_for_all_weather_stands_in_for_haze(run: Run, zoo: Path) -> None:
    zoo.write_text(zoo.read_text().replace('["deblur"]', '["weather"]').replace('"deblur",', '"weather",'))
    hazy()
    result = run("auto", "hazy.png", "--yes")
    assert result.exit_code == 0, result.output
    assert "-> weather" in result.stderr and files() == ["hazy-cleared.png", "hazy.png"]


@pytest.mark.usefixtures("both")
def test_the_report_has_measures_findings_and_results(run: Run) -> None:
    noisy(), clean()
    report = json.loads(run("auto", "noisy.png", "clean.png", "--json").stdout)
    first, second = report["files"]
    assert first["verb"] == "denoise" and first["findings"][0]["kind"] == "noise" and first["error"] is None
    assert first["measures"]["noise"] == pytest.approx(12 / 255, rel=0.15)
    assert (second["verb"], second["findings"], second["verdict"]) == (None, [], "nothing wrong is seen")
    assert report["commands"] == ["restorekit denoise noisy.png"]
    done = json.loads(run("auto", "noisy.png", "clean.png", "--json", "--yes").stdout)
    assert done["files"][0]["result"]["output"] == "noisy-denoised.png" and done["files"][1]["result"] is None


@pytest.mark.usefixtures("both")
def test_hostile_inputs(run: Run) -> None:
    Path("bad.png").write_bytes(b"nothing")
    save("dot.png", np.zeros((1, 1, 3)))
    result = run("auto", "bad.png", "dot.png", "none.png")
    assert result.exit_code == 1
    assert "dot.png: too small to say anything" in result.stdout
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["restorekit", "restorekit"]
    assert "bad.png" in result.stderr and "none.png does not exist" in result.stderr
    assert run("auto", "-").exit_code == 2
    assert run("auto", "dot.png", "--yes", "-o", "-").exit_code == 2
    assert run("auto", "dot.png", "-o", "dot.png", "--overwrite").exit_code == 2
    assert run("auto", "dot.png", "--quality", "90").exit_code == 2
