from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from restorekit.errors import ImageError
from restorekit.images.video import VideoReader, count_frames, is_cut_short, is_video_path, read_frames

COUNT = 5


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Red gets brighter by 50 from frame to frame."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 16))
    for number in range(COUNT):
        writer.write(np.full((16, 32, 3), (0, 0, 50 * number), np.uint8))  # blue, green, red
    writer.release()
    return path


def cut(film: Path, frames: int) -> bytes:
    """The file's bytes up to behind so many frames, each of which has a head of its own."""
    whole = film.read_bytes()
    starts = [at for at in range(len(whole)) if whole.startswith(b"00dc", at)][:COUNT]
    return whole[: starts[frames]]


def test_names_tell_videos() -> None:
    assert is_video_path("a/clip.MP4") and not is_video_path("clip.png") and not is_video_path("mp4")


def test_frames_come_in_order_as_rgb(film: Path) -> None:
    assert count_frames(film) == COUNT
    means = [frame.mean((0, 1)) for frame in read_frames(film)]
    np.testing.assert_allclose(means, [[50 * number, 0, 0] for number in range(COUNT)], atol=4)


def test_any_frame_can_be_asked_for(film: Path) -> None:
    reader = VideoReader(film)
    for number in (1, 3, 0, 4, 4):
        assert abs(reader.frame(number).pixels[..., 0].mean() - 50 * number) < 4
    with pytest.raises(ImageError, match="ends before frame 6"):
        reader.frame(COUNT)
    reader.close()


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"no film" * 99)
    for read in (count_frames, lambda path: next(read_frames(path)), lambda path: VideoReader(path).frame(0)):
        with pytest.raises(ImageError, match=r"film\.mp4 cannot be read as a video"):
            read(tmp_path / "film.mp4")
        with pytest.raises(ImageError, match=r"none\.mp4 does not exist"):
            read(tmp_path / "none.mp4")


def test_copies_that_broke_off_are_known(film: Path) -> None:
    assert not is_cut_short(film, COUNT)
    film.write_bytes(cut(film, frames=3))
    assert 1 <= count_frames(film) <= 3 and is_cut_short(film, count_frames(film))


def test_empty_files_and_other_ones_are_told_apart_and_quietly(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ImageError, match="is empty"):
        count_frames(tmp_path / "empty.mp4")
    with pytest.raises(ImageError, match="cannot be read as a video"):
        count_frames(tmp_path / "text.mp4")
    assert capfd.readouterr().err == ""
