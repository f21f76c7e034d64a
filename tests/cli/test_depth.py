"""``restorekit depth``: photographs, folders of frames and video files."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit import images
from restorekit.cli.depth import _films
from tests.cli.conftest import Run, save_photo
from tests.tiny import write_other_card


@pytest.fixture
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_other_card(tmp_path_factory.mktemp("run"), "dcpi-depth")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.avi", 4)


def write_film(path: Path, frames: int) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32))
    for number in range(frames):
        writer.write(np.random.default_rng(number).integers(0, 255, (32, 48, 3), dtype=np.uint8))
    writer.release()
    return path


def test_a_photograph_becomes_a_picture_of_its_nearness(run: Run, photo: Path, model: Path) -> None:
    assert run("depth", "-m", model, photo, "--npy").exit_code == 0
    grey = images.read(Path("photo-depth.png")).pixels
    assert grey.dtype == np.uint16 and grey.shape == (30, 40, 1)
    assert (grey.min(), grey.max()) == (0, 65535)
    depth = np.load("photo-depth.npy")
    assert depth.dtype == np.float32 and depth.shape == (30, 40) and depth.min() > 0
    nearness = 1 / depth
    expected = (nearness - nearness.min()) / (nearness.max() - nearness.min())
    np.testing.assert_allclose(grey[..., 0] / 65535, expected, atol=2e-3)


def test_onnx_runtime_gives_the_same_depth(run: Run, photo: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("RESTOREKIT_CACHE", str(photo.parent / "cache"))
    by_torch = run("depth", "-m", model, photo, "--npy", "-o", "torch.png", "--precision", "fp32")
    by_onnx = run("depth", "-m", model, photo, "--npy", "-o", "onnx.png", "--backend", "onnx", "--provider", "cpu")
    assert by_torch.exit_code == 0 and by_onnx.exit_code == 0, by_onnx.stderr
    assert "onnxruntime on cpu" in by_onnx.stderr and "onnxruntime" not in by_torch.stderr
    np.testing.assert_allclose(np.load("onnx.npy"), np.load("torch.npy"), rtol=1e-4)
    refused = run("depth", "-m", model, photo, "--provider", "cpu", "-o", "again.png")
    assert refused.exit_code == 2 and "PyTorch takes no provider" in refused.stderr


def test_colours_run_from_far_to_near(run: Run, photo: Path, model: Path) -> None:
    assert run("depth", "-m", model, photo, "--colour", "inferno", "-o", "coloured.jpg").exit_code == 0
    assert images.read(Path("coloured.jpg")).pixels.shape == (30, 40, 3)


def test_the_frames_of_a_video_go_to_a_folder(run: Run, film: Path, model: Path) -> None:
    result = run("depth", "-m", model, film)
    assert result.exit_code == 0, result.stderr
    names = [f"{number:06d}.png" for number in (1, 2, 3, 4)]
    assert sorted(path.name for path in Path("film-depth").glob("*.png")) == names
    assert f"{film}, frame 2 -> {film.with_name('film-depth')}/000002.png" in result.stderr
    Path("film-depth/000003.png").unlink()
    again = run("depth", "-m", model, film)
    assert "1 done, 3 up to date" in again.stderr
    assert run("depth", "-m", model, film, "-o", "flat", "--npy").exit_code == 0
    assert Path("flat/000004.npy").exists()


def test_a_video_that_became_shorter_leaves_no_old_frames(run: Run, film: Path, model: Path) -> None:
    assert run("depth", "-m", model, film).exit_code == 0
    write_film(film, 2)
    result = run("depth", "-m", model, film)
    assert result.exit_code == 0 and "2 done" in result.stderr
    assert "film-depth: removed 2 frames from 000003.png to 000004.png" in result.stderr
    assert sorted(path.name for path in Path("film-depth").glob("*.png")) == ["000001.png", "000002.png"]


def test_a_video_that_breaks_off_fails_and_leaves_what_was_there(run: Run, film: Path, model: Path) -> None:
    assert run("depth", "-m", model, film).exit_code == 0
    whole = film.read_bytes()
    film.write_bytes(whole[: 6000 + (len(whole) - 6000) // 2])  # behind the head, which tells of all
    result = run("depth", "-m", model, film)
    assert result.exit_code == 1 and result.stderr.count("Copy or download the file again") == 1
    assert "ends before frame" in result.stderr and "removed" not in result.stderr
    assert len(list(Path("film-depth").glob("*.png"))) == 4


def test_a_video_does_not_go_among_the_frames_of_another(run: Run, film: Path, model: Path) -> None:
    write_film(Path("a.avi"), 2)
    assert run("depth", "-m", model, "a.avi", "-o", "out").exit_code == 0
    result = run("depth", "-m", model, film, "-o", "out")
    assert result.exit_code == 1 and result.stderr.count("restorekit: ") == 1 and "1 failed" in result.stderr
    assert f"out already holds 2 frames from 000001.png to 000002.png of something else than {film}" in result.stderr
    assert sorted(path.name for path in Path("out").glob("*.png")) == ["000001.png", "000002.png"]


def test_a_pattern_stands_for_videos(run: Run, film: Path, model: Path) -> None:
    film.rename("a.avi")
    result = run("depth", "-m", model, "*.avi", "-o", "out")
    assert result.exit_code == 0, result.output
    assert len(list(Path("out").glob("*.png"))) == 4
    refused = run("depth", "-m", model, "a.avi", "-o", "out.mp4")
    assert refused.exit_code == 2 and "out.mp4 cannot be a video: the frames become images" in refused.stderr
    assert not Path("out.mp4").exists()


@pytest.mark.usefixtures("film")
def test_a_pattern_stands_for_videos_to_learn_from_too(run: Run, photo: Path, model: Path) -> None:
    write_film(Path("another.avi"), 3)
    assert _films(["*.avi"]) == [Path("another.avi"), Path("film.avi")]
    for adapt in ([], ["--adapt"]):
        refused = run("depth", "-m", model, "*.txt", *adapt)
        assert refused.exit_code == 2 and "no image matches '*.txt'" in refused.stderr
    refused = run("depth", "-m", model, f"*{photo.suffix}", "--adapt")
    assert refused.exit_code == 2 and f"{photo.name} is no video to learn depth from" in refused.stderr


def test_videos_and_photographs_together(run: Run, film: Path, photo: Path, model: Path) -> None:
    assert run("depth", "-m", model, photo, film, "-o", "out").exit_code == 0
    found = sorted(path.relative_to("out").as_posix() for path in Path("out").rglob("*.png"))
    assert found == ["film/000001.png", "film/000002.png", "film/000003.png", "film/000004.png", "photo.png"]


def test_standard_input_and_output(run: Run, photo: Path, model: Path) -> None:
    result = run("depth", "-m", model, "-", stdin=photo.read_bytes())
    assert PillowImage.open(io.BytesIO(result.stdout_bytes)).format == "PNG"
    refused = run("depth", "-m", model, "-", "--npy", stdin=photo.read_bytes())
    assert refused.exit_code == 2 and "numbers cannot go to standard output" in refused.stderr


@pytest.mark.parametrize("option", ["--strength", "--tile", "--overlap"])
def test_what_means_nothing_for_depth_is_no_option(run: Run, photo: Path, model: Path, option: str) -> None:
    result = run("depth", "-m", model, photo, option, "1")
    assert result.exit_code == 2 and "No such option" in result.stderr


def test_infer_leaves_depth_to_its_verb(run: Run, photo: Path, model: Path) -> None:
    result = run("infer", "-m", model, photo)
    assert result.exit_code == 2 and "answers with depth, and not with a photograph. Use `restorekit depth" in result.stderr


def test_a_limit_of_pixels_holds_for_frames(run: Run, film: Path, model: Path) -> None:
    result = run("depth", "-m", model, film, "-o", "out", "--max-pixels", "100")
    assert result.exit_code == 1 and "raise the limit with --max-pixels" in result.stderr
    assert not list(Path("out").glob("*.png"))


def test_a_bad_video_fails_alone(run: Run, photo: Path, model: Path) -> None:
    Path("bad.mp4").write_bytes(b"no film")
    result = run("depth", "-m", model, "bad.mp4", photo, "-o", "out")
    assert result.exit_code == 1 and "bad.mp4 cannot be read as a video" in result.stderr
    assert Path("out", photo.with_suffix(".png").name).exists()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["photo.png", "--fov", "60"], "the camera is of account with --adapt only"),
        (["photo.png", "--adapt"], "photo.png is no video to learn depth from"),
        (["frames", "--adapt", "--fov", "60", "--intrinsics", "1,1,.5,.5"], "exclude each other"),
        (["frames", "--adapt", "--intrinsics", "1,1,.5"], "'1,1,.5' is not four shares"),
        (["frames", "--adapt", "--intrinsics", "1,1,x,.5"], "is not four shares"),
        (["frames", "--adapt", "--intrinsics", "nan,1,.5,.5"], "is not four shares"),
        (["frames", "--keep", "run"], "--keep means nothing without --adapt"),
    ],
)
def test_what_cannot_be_right_is_refused(run: Run, photo: Path, model: Path, arguments: list[str], problem: str) -> None:
    save_photo(Path("frames/0.png"))
    result = run("depth", "-m", model, *arguments)
    assert result.exit_code == 2 and problem in result.stderr, result.stderr


def test_what_is_no_video_is_told(run: Run, model: Path) -> None:
    Path("film.mp4").write_bytes(b"not a film" * 50)
    Path("empty.mp4").touch()
    assert "restorekit: empty.mp4 is empty." in run("depth", "-m", model, "empty.mp4").stderr
    for name, problem in (("film.mp4", "film.mp4 cannot be read as a video"), ("none.mp4", "none.mp4 does not exist")):
        result = run("depth", "-m", model, name)
        assert result.exit_code == 1 and problem in result.stderr
    save_photo(Path("two/0.png"))
    save_photo(Path("two/1.png"))
    short = run("depth", "-m", model, "two", "--adapt")
    assert short.exit_code == 1 and "two holds no video of three frames or more" in short.stderr
    assert not list(Path().rglob("*-depth.png"))
