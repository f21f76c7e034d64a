from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from restorekit.data.camera import FOCAL
from restorekit.data.clips import load_clips
from restorekit.data.videos import DepthSet, VideoTriplets
from restorekit.errors import DataError, ImageError, UnknownNameError


def frames(folder: Path, count: int = 5, size: tuple[int, int] = (40, 60)) -> Path:
    """Frames whose left half is as bright as their number times 40."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.zeros((*size, 3), np.uint8)
        pixels[:, : size[1] // 2] = 40 * number
        PIL.Image.fromarray(pixels).save(folder / f"{number:03d}.png")
    return folder


def test_folders_of_frames_are_clips(tmp_path: Path) -> None:
    frames(tmp_path / "a")
    frames(tmp_path / "b", 3)
    frames(tmp_path / "too_short", 2)
    clips = load_clips(tmp_path, (32, 64))
    assert [Path(clip.name).name for clip in clips] == ["a", "b"]
    assert clips[0].frames.shape == (5, 3, 32, 64) and clips[0].frames.dtype == torch.uint8
    assert clips[0].frames[2, :, :, :28].unique().tolist() == [80]


def test_the_camera_is_read_given_or_assumed(tmp_path: Path) -> None:
    folder = frames(tmp_path / "frames")
    assumed = load_clips(folder, (40, 60))[0].intrinsics
    assert assumed.tolist() == [[pytest.approx(FOCAL * 60), 0, 29.5], [0, pytest.approx(FOCAL * 60), 19.5], [0, 0, 1]]
    np.savetxt(tmp_path / "K.txt", [[50, 0, 31], [0, 52, 19.5], [0, 0, 1]])
    read = load_clips(folder, (20, 120))[0].intrinsics
    assert read.tolist() == [[100, 0, pytest.approx(62.5)], [0, 26, pytest.approx(9.5)], [0, 0, 1]]
    given = load_clips(folder, (40, 60), (0.58, 1.92, 0.5, 0.5))[0].intrinsics
    assert given.tolist() == [[pytest.approx(34.8), 0, 29.5], [0, pytest.approx(76.8), 19.5], [0, 0, 1]]


def test_video_files_are_clips(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for number in range(4):
        writer.write(np.full((48, 64, 3), (0, 0, 60 * number), np.uint8))  # red, in OpenCV's order
    writer.release()
    (clip,) = load_clips(path, (48, 64))
    assert clip.frames.shape == (4, 3, 48, 64)
    assert clip.frames[3].float().mean((1, 2)).tolist() == pytest.approx([180, 0, 0], abs=4)


def test_a_video_that_is_cut_becomes_several(tmp_path: Path) -> None:
    """And a frame that repeats the one before is left out; both are told."""
    rng = np.random.default_rng(0)
    for scene, count in enumerate((5, 2, 4)):
        wide = PIL.Image.fromarray(rng.integers(0, 256, (3, 5, 3), dtype=np.uint8)).resize((80, 40))
        for number in range(count):
            wide.crop((number, 0, number + 60, 40)).save(tmp_path / f"{scene}-{number}.png")
    (tmp_path / "0-3b.png").write_bytes((tmp_path / "0-3.png").read_bytes())
    notes: list[str] = []
    clips = load_clips(tmp_path, (40, 60), on_note=notes.append)
    assert [len(clip.frames) for clip in clips] == [5, 4]  # two frames are too few
    assert [clip.name for clip in clips] == [f"{tmp_path}, shot 1", f"{tmp_path}, shot 3"]
    assert notes == [f"{tmp_path}: 2 cuts and 1 repeated frame, left out"]
    assert len(VideoTriplets(clips, seed=0)) == 3 + 2


def test_triplets_are_neighbours_and_follow_their_number(tmp_path: Path) -> None:
    source = VideoTriplets(load_clips(frames(tmp_path), (40, 60)), seed=1, jitter=False)
    batch = source.batch(3, 8, 0)
    assert len(source) == 3 and batch.input.shape == (8, 3, 40, 60) and batch.extras["step"] == 3
    before, now, after = (x.amax((1, 2, 3)) for x in (batch.extras["previous"], batch.target, batch.extras["next"]))
    assert torch.allclose(after - now, torch.full((8,), 40 / 255)) and torch.allclose(now - before, after - now)
    assert torch.equal(batch.input, source.batch(3, 8, 0).input) and torch.equal(batch.input, batch.target)
    wide = VideoTriplets([replace(clip, gap=2) for clip in load_clips(tmp_path, (40, 60))], seed=1, jitter=False)
    assert len(wide) == 1 and float(wide.batch(0, 1, 0).extras["next"].max()) == pytest.approx(160 / 255)


def test_a_mirrored_triplet_has_a_mirrored_camera(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "K.txt", [[50, 0, 20], [0, 50, 20], [0, 0, 1]])
    source = VideoTriplets(load_clips(frames(tmp_path), (40, 60)), seed=0)
    batch = source.batch(0, 16, 0)
    mirrored = batch.target[:, 0, 0, 0] < batch.target[:, 0, 0, -1]
    assert 0 < mirrored.sum() < 16
    assert torch.equal(batch.extras["intrinsics"][:, 0, 2], torch.where(mirrored, 39.0, 20.0))


def test_colours_change_for_the_network_alone_and_alike_in_all_frames(tmp_path: Path) -> None:
    source = VideoTriplets(load_clips(frames(tmp_path), (40, 60)), seed=0)
    batch = source.batch(0, 16, 0)
    changed = (batch.input != batch.target).flatten(1).any(1)
    assert 2 < changed.sum() < 14
    assert torch.equal((batch.extras["next_input"] != batch.extras["next"]).flatten(1).any(1), changed)
    assert batch.input.min() >= 0 and batch.input.max() <= 1


def test_depth_is_paired_by_name_and_has_a_unit(tmp_path: Path) -> None:
    frames(tmp_path / "frames")
    (tmp_path / "depth").mkdir()
    PIL.Image.fromarray(np.full((40, 60), 2500, np.uint16)).save(tmp_path / "depth" / "003.png")
    data = DepthSet(tmp_path)
    assert len(data) == 1 and data.names == ["003"]
    assert data[0].input.shape == (1, 3, 40, 60) and data[0].target.unique().tolist() == [pytest.approx(2.5)]
    assert DepthSet(tmp_path, 1 / 256)[0].target.unique().tolist() == [pytest.approx(2500 / 256)]


@pytest.mark.parametrize(("shape", "why"), [((40, 60, 3), "has colours"), ((40, 60), "has 8 bits")])
def test_a_picture_of_depths_is_no_depth_map(tmp_path: Path, shape: tuple[int, ...], why: str) -> None:
    frames(tmp_path / "frames")
    (tmp_path / "depth").mkdir()
    PIL.Image.fromarray(np.full(shape, 25, np.uint8)).save(tmp_path / "depth" / "003.png")
    with pytest.raises(ImageError, match=rf"003\.png {why}"):
        DepthSet(tmp_path).tells(0)


def test_hidden_files_are_neither_frames_nor_depth(tmp_path: Path) -> None:
    for inside in ("frames", "frames/.ipynb_checkpoints", "depth", "2011_09_26/2011_09_26_drive_0001_sync/image_02/data"):
        frames(tmp_path / inside)
    for place in (tmp_path / "frames", tmp_path / "depth", *tmp_path.glob("2011*/*/*/*")):
        (place / "._003.png").write_bytes(b"no image")
    (clip,) = load_clips(tmp_path / "frames", (40, 60))
    assert len(clip.frames) == 5
    assert DepthSet(tmp_path).names == ["000", "001", "002", "003", "004"]
    frames(tmp_path / "._2011_09_26" / "2011_09_26_drive_0001_sync" / "image_02" / "data")
    assert len(load_clips(tmp_path, (40, 60), layout="kitti")) == 1


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_clips(tmp_path / "none", (32, 32))
    with pytest.raises(DataError, match="no video of three frames"):
        load_clips(tmp_path, (32, 32))
    (tmp_path / "x.mp4").write_bytes(b"no")
    with pytest.raises(DataError, match=r"x\.mp4 cannot be read as a video"):
        load_clips(tmp_path, (32, 32))
    frames(tmp_path / "clip")
    (tmp_path / "clip" / "002.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"002\.png"):
        load_clips(tmp_path / "clip", (32, 32))
    with pytest.raises(DataError, match="holds no frames/NAME"):
        DepthSet(tmp_path)


def test_frames_of_several_sizes_are_no_video(tmp_path: Path) -> None:
    """The camera of the last would be taken for that of all; pictures too few to be a video are of no account."""
    folder = frames(tmp_path / "clip")
    PIL.Image.new("RGB", (40, 60)).save(folder / "001.png")
    with pytest.raises(DataError, match=r"the frames in .*clip have different sizes\. Keep the frames of one video") as error:
        load_clips(tmp_path, (32, 32))
    assert "\n" not in str(error.value)
    frames(folder)
    for size in (40, 60):
        PIL.Image.new("RGB", (size, 50)).save(tmp_path / f"cover-{size}.png")
    assert len(load_clips(tmp_path, (32, 32))) == 1


def test_kittis_raw_recordings_are_the_colour_cameras_of_each_drive(tmp_path: Path) -> None:
    day = tmp_path / "2011_09_26"
    for camera in ("image_00", "image_02", "image_03"):
        frames(day / "2011_09_26_drive_0001_sync" / camera / "data", 3)
    lines = [f"S_rect_0{n}: 60 40\nP_rect_0{n}: 30 0 29.5 {n} 0 30 19.5 0 0 0 1 0\n" for n in (2, 3)]
    (day / "calib_cam_to_cam.txt").write_text("".join(lines))
    clips = load_clips(tmp_path, (40, 60), layout="kitti")
    assert [Path(clip.name).parent.name for clip in clips] == ["image_02", "image_03"]
    assert clips[0].intrinsics.tolist() == [[30, 0, 29.5], [0, 30, 19.5], [0, 0, 1]]
    with pytest.raises(DataError, match="holds no folder"):
        load_clips(day, (40, 60), layout="kitti")
    with pytest.raises(UnknownNameError, match="kiti"):
        load_clips(tmp_path, (40, 60), layout="kiti")
