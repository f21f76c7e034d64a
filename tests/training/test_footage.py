from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo
from restorekit.errors import DataError, ImageError
from restorekit.methods import Objective
from restorekit.methods.dcpi_depth.objective import DcpiObjective
from restorekit.training.adapting import adapt_to_video
from restorekit.training.footage import FootageVerdict, intrinsics_of, judge, survey
from restorekit.zoo import Card, load_card
from tests.tiny import write_other_card


def frames(folder: Path, speed: float, count: int = 6) -> Path:
    folder.mkdir(parents=True)
    video = CorridorVideo(0, CorridorSettings(width=96, height=64, speed=speed, sway=0.0 if not speed else 0.5))
    for number in range(count):
        pixels = video.frame(number if speed else 0).image.permute(1, 2, 0).numpy()
        PIL.Image.fromarray((255 * pixels).round().astype(np.uint8)).save(folder / f"f-{number + 7}.png")  # 7 to 12
    return folder


def drift(folder: Path) -> Path:
    """Six frames of 480 pixels that move by one pixel each."""
    folder.mkdir()
    pattern = np.random.default_rng(0).integers(0, 255, (8, 32, 3), dtype=np.uint8)
    whole = PIL.Image.fromarray(pattern).resize((500, 120), PIL.Image.Resampling.BICUBIC)
    for number in range(6):
        whole.crop((number, 0, number + 480, 120)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return load_card(write_other_card(tmp_path / "card", "dcpi-depth"))


def test_motion_decides_how_far_frames_lie_apart(tmp_path: Path) -> None:
    fast = survey(frames(tmp_path / "fast", 0.8))
    slow = survey(drift(tmp_path / "slow"))
    still = survey(frames(tmp_path / "still", 0.0))
    assert (fast.size, fast.frames, fast.gap) == ((64, 96), 6, 1) and fast.motion > 4
    assert slow.gap == 2 and slow.motion == pytest.approx(2 * 640 / 480, abs=0.2) and not slow.is_still
    assert still.is_still and still.motion < 0.1
    assert survey(tmp_path).frames == 6  # the first of the folders


def test_hidden_files_are_no_frames(tmp_path: Path) -> None:
    (frames(tmp_path / "seen", 0.8) / "._0.png").write_bytes(b"no image")
    frames(tmp_path / ".ipynb_checkpoints", 0.8, 9)
    assert survey(tmp_path).frames == survey(tmp_path / "seen").frames == 6


def test_repeated_frames_do_not_count_as_motion(tmp_path: Path) -> None:
    """Shown twice each, frames move as fast as before, not half as fast, and one to the next is still near enough."""
    once, twice = frames(tmp_path / "once", 0.8), tmp_path / "twice"
    twice.mkdir()
    for path in once.iterdir():
        for again in (0, 1):
            (twice / f"{path.stem}-{again}.png").write_bytes(path.read_bytes())
    assert survey(twice).frames == 12
    assert (survey(twice).gap, survey(twice).motion) == (1, pytest.approx(survey(once).motion))


def test_motion_is_not_measured_across_cuts(tmp_path: Path) -> None:
    folder = drift(tmp_path / "film")
    for number, colour in enumerate(((250, 30, 20), (20, 240, 30), (0, 0, 0))):
        PIL.Image.new("RGB", (480, 120), colour).save(folder / f"{number + 6}.png")
    footage = survey(folder)
    assert footage.frames == 9 and footage.gap == 2 and footage.motion == pytest.approx(2 * 640 / 480, abs=0.2)


def test_the_camera_of_the_frames_is_found(tmp_path: Path) -> None:
    folder = frames(tmp_path / "film", 0.8)
    assert survey(folder).camera.origin == "assumed"
    exif = PIL.Image.Exif()
    exif.get_ifd(0x8769)[41989] = 28
    first = folder / "f-7.png"
    PIL.Image.open(first).save(first, exif=exif.tobytes())
    assert str(survey(folder).camera) == f"Camera: 65 degrees from side to side, from the EXIF data of {first}"


def test_what_cannot_be_surveyed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none does not exist"):
        survey(tmp_path / "none")
    with pytest.raises(DataError, match="holds no video of three frames"):
        survey(frames(tmp_path / "two", 0.5, 2))
    mixed = frames(tmp_path / "mixed", 0.5)
    PIL.Image.new("RGB", (64, 90)).save(mixed / "f-8.png")
    with pytest.raises(ImageError, match="different sizes"):
        survey(mixed)


def test_the_angle_of_view_gives_the_camera() -> None:
    assert intrinsics_of(None, (480, 640)) == ()
    fx, fy, *centre = intrinsics_of(90.0, (480, 640))
    assert (fx, fy) == (pytest.approx(0.5), pytest.approx(0.5 * 640 / 480)) and centre == [0.5, 0.5]
    assert intrinsics_of(60.0, (10, 10))[0] == pytest.approx(math.sqrt(3) / 2)


def test_a_standing_camera_teaches_nothing(tmp_path: Path, card: Card) -> None:
    """Whatever the networks say, no pixel is explained better by motion than by none."""
    for name, speed, low, high in (("still", 0.0, 0.0, 0.01), ("moving", 0.8, 0.1, 1.0)):
        folder = frames(tmp_path / name, speed)
        recipe = adapt_to_video(card, [folder], 10, survey(folder))
        with_pose = load_card(write_other_card(tmp_path / f"{name}-card", "dcpi-depth", pose="light"))
        verdict = judge(recipe, with_pose)
        assert verdict is not None and low <= verdict.explained <= high and verdict.parallax >= 0
        assert name == "moving" or "stands still" in verdict.reason


def test_a_method_that_cannot_tell_judges_no_video(tmp_path: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = frames(tmp_path / "moving", 0.8)
    recipe = adapt_to_video(card, [folder], 10, survey(folder))
    monkeypatch.setattr(DcpiObjective, "appraise", Objective.appraise)
    assert judge(recipe, card) is None


def test_verdicts() -> None:
    assert FootageVerdict(0.7, 3.0).is_fit
    assert "turned" in FootageVerdict(0.7, 0.2).reason and "stands still" in FootageVerdict(0.1, 3.0).reason
    assert str(FootageVerdict(0.714, 3.04)) == "Explained by depth and motion: 71% of the pixels; median parallax 3.0 pixels"
