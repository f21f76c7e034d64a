"""Folders of frames whose video became shorter, or is another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from restorekit.images import Image
from restorekit.inference.folder import Batch, Outcome, Products
from restorekit.inference.inputs import Job, plan
from restorekit.inference.journal import FILE_NAME

Made = tuple[Batch, list[Outcome], list[str]]


@pytest.fixture
def film(tmp_path: Path) -> Callable[[str, int], Path]:
    """Writes a video of so many frames."""

    def write(name: str, frames: int) -> Path:
        path = tmp_path / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (32, 24))
        for number in range(frames):
            writer.write(np.full((24, 32, 3), 40 * number, np.uint8))
        writer.release()
        return path

    return write


def compute(image: Image, job: Job) -> Products:
    return Products(image, (), {name: np.zeros((2, 2), np.float32) for name, _ in job.maps})


def make(source: Path, out: Path | None = None, overwrite: bool = False, numbers: bool = False) -> Made:
    planned = plan([str(source)], suffix="depth", output=str(out) if out else None, format="png", videos=True)
    if numbers:
        jobs = [
            Job(j.source, j.target, (("depth", j.target.with_suffix(".npy")),), j.home, j.frame) for j in planned.jobs if j.target
        ]
        planned = type(planned)(tuple(jobs), False)
    batch = Batch(planned, {}, overwrite=overwrite)
    outcomes = batch.run(lambda: compute)
    return batch, outcomes, batch.sweep(outcomes)


def statuses(made: Made) -> list[str]:
    return [outcome.status for outcome in made[1]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != FILE_NAME)


def frames(*numbers: int) -> list[str]:
    return [f"{number:06d}.png" for number in numbers]


@pytest.mark.parametrize("numbers", [False, True])
def test_the_frames_that_a_video_lost_are_removed(film: Callable[[str, int], Path], tmp_path: Path, numbers: bool) -> None:
    out = tmp_path / "b-depth"
    assert make(film("b.avi", 5), numbers=numbers)[2] == [] and len(names(out)) == (10 if numbers else 5)
    (out / "000004.txt").write_text("a note")
    made = make(film("b.avi", 2))
    assert statuses(made) == ["done", "done"]
    assert made[2] == [
        f"{out}: removed 3 frames from 000003.png to 000005.png, which {tmp_path / 'b.avi'} had before it became shorter"
    ]
    kept = ["000001.npy", "000002.npy"] if numbers else []
    assert names(out) == sorted([*frames(1, 2), *kept, "000004.txt"])
    assert make(tmp_path / "b.avi")[2] == []


def test_frames_that_are_not_known_to_be_old_ones_are_told_and_left(film: Callable[[str, int], Path], tmp_path: Path) -> None:
    out = tmp_path / "b-depth"
    make(film("b.avi", 4))
    (out / "000003.png").write_bytes(b"retouched")
    for name in ("000009.png", "00010.png", "cover.png", "000009.jpg"):
        (out / name).write_bytes(b"theirs")
    others = f"{out} also holds 2 frames from 000003.png to 000009.png, not of {tmp_path / 'b.avi'} as it is now; left as found"
    made = make(film("b.avi", 2))
    assert made[2] == [f"{out}: removed 000004.png, which {tmp_path / 'b.avi'} had before it became shorter", others]
    assert names(out) == sorted([*frames(1, 2, 3, 9), "00010.png", "cover.png", "000009.jpg"])
    again = make(tmp_path / "b.avi")
    assert statuses(again) == ["skipped", "skipped"] and again[2] == [others]


def test_a_removal_that_was_cut_short_is_made_up_for(film: Callable[[str, int], Path], tmp_path: Path) -> None:
    make(film("b.avi", 3))
    batch = Batch(plan([str(film("b.avi", 2))], suffix="depth", format="png", videos=True), {})
    batch.run(lambda: compute)
    assert names(tmp_path / "b-depth") == frames(1, 2, 3)
    made = make(tmp_path / "b.avi")
    assert statuses(made) == ["skipped", "skipped"] and len(made[2]) == 1
    assert names(tmp_path / "b-depth") == frames(1, 2)


def test_nothing_is_removed_for_a_video_that_fails_or_is_read_short(
    film: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film("b.avi", 3)
    make(path)
    monkeypatch.setattr("restorekit.inference.inputs.count_frames", lambda path: 2)
    assert make(path)[2] == []
    monkeypatch.undo()
    path.write_bytes(b"no film")
    broken = make(path)
    assert statuses(broken) == ["failed"] and broken[2] == []
    assert names(tmp_path / "b-depth") == frames(1, 2, 3)


@pytest.mark.parametrize("gone", [[], [1, 2]])
def test_a_video_whose_places_are_taken_fails_once_and_writes_nothing(
    film: Callable[[str, int], Path], tmp_path: Path, gone: list[int]
) -> None:
    out = tmp_path / "out"
    make(film("a.avi", 3), out)
    for number in gone:
        (out / f"{number:06d}.png").unlink()
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = film("b.avi", 5)
    batch, outcomes, lines = make(other, out)
    held = "000003.png" if gone else "3 frames from 000001.png to 000003.png"
    assert [outcome.error for outcome in outcomes] == [
        f"{out} already holds {held} of something else than {other}. "
        "Name another folder with -o, or add --overwrite to replace them."
    ]
    assert outcomes[0].job.frame is None and batch.pending == [] and lines == []
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert statuses(make(other, out, overwrite=True)) == ["done"] * 5


def test_a_shorter_video_that_replaces_another_says_what_is_left_of_that(
    film: Callable[[str, int], Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    make(film("a.avi", 3), out)
    other = film("b.avi", 2)
    assert make(other, out, overwrite=True)[2] == [f"{out} also holds 000003.png, not of {other} as it is now; left as found"]
    assert names(out) == frames(1, 2, 3)


def test_a_single_frame_changed_by_hand_fails_alone(film: Callable[[str, int], Path], tmp_path: Path) -> None:
    make(film("a.avi", 3))
    (tmp_path / "a-depth" / "000001.png").write_bytes(b"retouched")
    made = make(tmp_path / "a.avi")
    assert statuses(made) == ["failed", "skipped", "skipped"] and "exists already" in made[1][0].error


def test_a_frame_that_cannot_be_removed_is_told(
    film: Callable[[str, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(film("b.avi", 2))

    def deny(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    film("b.avi", 1)
    monkeypatch.setattr(Path, "unlink", deny)
    assert [line.split(" also holds ")[1] for line in make(tmp_path / "b.avi")[2]] == [
        f"000002.png, not of {tmp_path / 'b.avi'} as it is now; left as found"
    ]


def test_what_cannot_be_looked_at_is_no_film(tmp_path: Path) -> None:
    made = make(tmp_path / "none.avi")
    assert statuses(made) == ["failed"] and "does not exist" in made[1][0].error and made[2] == []
