"""``--adapt``: taught on the inputs, then run on them."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit import training
from restorekit.cli.adapt import AdaptOptions, adapting
from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo
from restorekit.zoo import load_card
from tests.cli.conftest import Run, pixels
from tests.tiny import write_other_card


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_other_card(tmp_path_factory.mktemp("run"), "cbsn")


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "noisy.png"
    PillowImage.fromarray((120 + rng.normal(0, 20, (64, 80, 3))).clip(0, 255).astype(np.uint8)).save(path)
    return path


def test_the_adapted_model_denoises_and_leaves_nothing_else(run: Run, noisy: Path, denoiser: Path, scratch: Path) -> None:
    assert run("denoise", "-m", denoiser, noisy, "-o", "plain.png").exit_code == 0
    result = run("denoise", "--adapt", "--adapt-steps", "3", "-m", denoiser, noisy)
    assert result.exit_code == 0, result.stderr
    assert "Training tiny-denoise-adapted (cbsn)" in result.stderr and "denoise with tiny-denoise-adapted" in result.stderr
    assert not list(scratch.iterdir())
    changed = pixels(Path("noisy-denoised.png")).astype(int) - pixels(Path("plain.png"))
    assert np.abs(changed).max() > 0


def test_a_kept_model_can_be_named_and_is_not_taught_twice(run: Run, noisy: Path, denoiser: Path) -> None:
    command = ("denoise", "--adapt", "--adapt-steps", "2", "--keep", "kept", "-m", denoiser, noisy, "--json")
    first = run(*command)
    assert json.loads(first.stdout)["model"] == "tiny-denoise-adapted"
    assert load_card("kept/tiny-denoise-adapted.toml").training["steps"] == 2
    assert run("denoise", "-m", "kept/tiny-denoise-adapted.toml", noisy, "-o", "named.png").exit_code == 0
    np.testing.assert_array_equal(pixels(Path("named.png")), pixels(Path("noisy-denoised.png")))
    again = run(*command)
    assert json.loads(again.stdout)["totals"]["failed"] == 1 and "Training" not in again.stderr
    other = run(*command[:3], "3", *command[4:], "--overwrite")
    assert other.exit_code == 1 and "Name another folder with --keep" in other.stderr


def test_no_model_is_needed_from_scratch(run: Run, zoo: Path, noisy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}

    def stop(recipe: training.Recipe, *arguments: object, **options: object) -> None:
        seen["recipe"] = recipe

    monkeypatch.setattr(training, "train", stop)
    assert run("denoise", "--adapt", "--from-scratch", noisy).exit_code == 130
    recipe = seen["recipe"]
    assert (recipe.method, recipe.train.init, recipe.data.noisy) == ("cbsn", "", (noisy,))
    assert recipe.train.steps == 1000


def test_ctrl_c_while_adapting_ends_cleanly(
    run: Run, noisy: Path, denoiser: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first signal lets the step end, and no image is touched."""
    import signal

    from restorekit.training.report import ConsoleReporter

    monkeypatch.setattr(ConsoleReporter, "logged", lambda self, step, values: signal.raise_signal(signal.SIGINT))
    result = run("denoise", "--adapt", "--adapt-steps", "5", "-m", denoiser, noisy)
    assert result.exit_code == 130
    assert "Stopped after step 1; nothing was kept" in result.stderr
    assert not list(scratch.iterdir()) and not Path("noisy-denoised.png").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["noisy.png", "--from-scratch"], 2, "--from-scratch means nothing without --adapt"),
        (["noisy.png", "--adapt-steps", "3"], 2, "--adapt-steps means nothing without --adapt"),
        (["-", "--adapt"], 2, "nothing can be learnt from standard input"),
        (["small.png", "--adapt"], 2, "small.png is too small to learn from"),
        (["broken.png", "--adapt"], 1, "broken.png"),
    ],
)
def test_what_cannot_be_learnt_from_is_told(
    run: Run, noisy: Path, denoiser: Path, arguments: list[str], code: int, problem: str
) -> None:
    PillowImage.new("RGB", (20, 20)).save("small.png")
    Path("broken.png").write_bytes(noisy.read_bytes()[:90])
    result = run("denoise", "-m", denoiser, *arguments, "-o", "out.png", stdin=noisy.read_bytes())
    assert result.exit_code == code and problem in result.stderr, result.stderr
    assert not Path("out.png").exists()


def test_depth_is_learnt_from_frames_and_seen_in_them(run: Run, tmp_path: Path, scratch: Path) -> None:
    model = write_other_card(tmp_path / "run", "dcpi-depth")
    video = CorridorVideo(0, CorridorSettings(width=96, height=64, speed=0.8))
    Path("frames").mkdir()
    for number in range(5):
        frame = video.frame(number).image.permute(1, 2, 0).numpy()
        PillowImage.fromarray((255 * frame).round().astype(np.uint8)).save(f"frames/{number}.png")
    Path("frames/5.png").write_bytes(Path("frames/4.png").read_bytes())
    command = ("depth", "--adapt", "--adapt-steps", "2", "-m", model, "frames", "--npy")
    result = run(*command, "-o", "out")
    assert result.exit_code == 0, result.stderr
    assert "Camera: unknown; 60 degrees from side to side are assumed" in result.stderr
    assert "frames: 1 repeated frame, left out" in result.stderr
    assert "6 frames of 96 x 64" in result.stderr and "median parallax" in result.stderr
    assert len(list(Path("out").glob("*.npy"))) == 6 and not list(scratch.iterdir())
    given = run(*command, "--fov", "64", "--keep", "kept", "-o", "other")
    assert "Camera: as given, fx 0.800, fy 1.200, cx 0.500, cy 0.500" in given.stderr
    card = load_card("kept/tiny-depth-adapted.toml")
    assert card.config["pose"] == "light" and (card.config["height"], card.config["width"]) == (64, 96)
    assert run("depth", "-m", "kept/tiny-depth-adapted.toml", "frames/0.png", "-o", "one.png").exit_code == 0
    np.testing.assert_array_equal(pixels(Path("one.png")), pixels(Path("other/0.png")))


def test_a_folder_that_cannot_be_removed_spoils_nothing(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a file of it may be open still."""

    def held(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "held")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", held)
        with adapting(AdaptOptions(adapt=True), lambda: pytest.fail("not asked for"), "cpu", True) as adaptation:
            assert adaptation is not None and adaptation.folder.parent == scratch
    assert adaptation.folder.exists()
