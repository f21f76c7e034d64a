from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from restorekit.errors import ImageError
from restorekit.images.video import VideoReader, count_frames, is_video_path, read_frames

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
