from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from restorekit.data.camera import FOCAL, find_camera
from restorekit.errors import DataError


def picture(path: Path, on_film: int = 0, size: tuple[int, int] = (60, 40)) -> Path:
    """A frame whose EXIF data tell a focal length, in millimetres of 35 mm film."""
    exif = PIL.Image.Exif()
    if on_film:
        exif.get_ifd(0x8769)[41989] = on_film
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", size).save(path, exif=exif)
    return path


def test_what_is_said_counts_before_what_is_found(tmp_path: Path) -> None:
    """Given, then a file, then EXIF data, then an assumption."""
    frames = [picture(tmp_path / "film" / "1.jpg", 24)]
    film = tmp_path / "film"
    assumed, seen = find_camera(film, (40, 60)), find_camera(film, (40, 60), pictures=frames)
    assert assumed.intrinsics == (FOCAL, pytest.approx(FOCAL * 1.5), 0.5, 0.5) and "60 degrees" in str(assumed)
    assert seen.intrinsics == (pytest.approx(24 / 36), pytest.approx(1.0), 0.5, 0.5)
    assert str(seen) == f"Camera: 74 degrees from side to side, from the EXIF data of {frames[0]}"
    np.savetxt(tmp_path / "K.txt", [[45, 0, 29.5], [0, 46, 19.5], [0, 0, 1]])
    read = find_camera(film, (40, 60), pictures=frames)
    assert read.intrinsics == (0.75, 1.15, 0.5, 0.5) and str(read).endswith(f"from {tmp_path / 'K.txt'}")
    given = find_camera(film, (40, 60), (0.8, 1.2, 0.5, 0.5), frames)
    assert str(given) == "Camera: as given, fx 0.800, fy 1.200, cx 0.500, cy 0.500"


def test_frames_of_any_size_have_the_same_camera(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "K.txt", [[50, 0, 31], [0, 52, 19.5], [0, 0, 1]])
    camera = find_camera(tmp_path, (40, 60))
    assert camera.matrix(20, 120).tolist() == [[100, 0, pytest.approx(62.5)], [0, 26, pytest.approx(9.5)], [0, 0, 1]]


def test_focal_lengths_that_cannot_be_are_not_believed(tmp_path: Path) -> None:
    for number, on_film in enumerate((1, 60_000)):
        frame = picture(tmp_path / f"{number}.jpg", on_film)
        assert find_camera(tmp_path, (40, 60), pictures=[frame]).origin == "assumed"


def test_a_file_that_is_no_matrix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "K.txt").write_text("1 2 3")
    with pytest.raises(DataError, match=r"K\.txt is no 3 x 3 matrix"):
        find_camera(tmp_path, (40, 60))


def test_kitti_tells_its_cameras(tmp_path: Path) -> None:
    """The rectified cameras of 26 September 2011, as the data set's own file has them."""
    frames = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync" / "image_02" / "data"
    frames.mkdir(parents=True)
    calibration = tmp_path / "2011_09_26" / "calib_cam_to_cam.txt"
    rectified = "7.215377e+02 0.0 6.095593e+02 4.485728e+01 0.0 7.215377e+02 1.728540e+02 2.163791e-01 0.0 0.0 1.0 2.745884e-03"
    calibration.write_text(f"calib_time: 09-Jan-2012 13:57:47\nS_rect_02: 1.242e+03 3.75e+02\nP_rect_02: {rectified}\n")
    camera = find_camera(frames, (375, 1242))
    assert camera.intrinsics == pytest.approx((0.58095, 1.92410, 0.49119, 0.46228), abs=1e-5)
    assert camera.matrix(375, 1242)[:2, 2].tolist() == pytest.approx([609.5593, 172.854], abs=1e-3)
    calibration.write_text("S_rect_03: 1.242e+03 3.75e+02\n")
    with pytest.raises(DataError, match=r"calib_cam_to_cam\.txt lacks S_rect_02 or P_rect_02"):
        find_camera(frames, (375, 1242))
