from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from restorekit.data.shots import COLUMNS, Shots, find_shots, small_grey


def scene(seed: int, count: int, step: float = 1.0) -> list[NDArray[np.float32]]:
    """Frames of a smooth pattern that moves by ``step`` pixels of 64."""
    places = np.arange(COLUMNS + count * step + 1)
    rows = np.random.default_rng(seed).normal(0, 1, (len(places) // 4 + 3, 36)).T  # the same beginning, however far it goes
    wide = np.stack([np.interp(places, 4 * np.arange(rows.shape[1]), row) for row in rows])
    shifted = [np.stack([np.interp(np.arange(COLUMNS) + n * step, places, row) for row in wide]) for n in range(count)]
    return [(128 + 40 * frame).astype(np.float32) for frame in shifted]


def with_noise(frames: list[NDArray[np.float32]], sigma: float) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    return [frame + rng.normal(0, sigma, frame.shape).astype(np.float32) for frame in frames]


def test_an_even_movement_is_one_shot() -> None:
    for step in (0.02, 1.0, 3.0):
        assert find_shots(scene(0, 12, step)) == Shots((tuple(range(12)),), 0)


def test_a_video_is_parted_at_its_cuts() -> None:
    video = with_noise(scene(0, 10) + scene(1, 2) + scene(2, 8), 1.0)
    shots = find_shots(video)
    assert [len(part) for part in shots.parts] == [10, 2, 8] and shots.remark == "2 cuts"
    assert shots.longest == tuple(range(10))


@pytest.mark.parametrize(("times", "noise"), [((1, 1, 1, 2), 0.0), ((2,), 0.1), ((3,), 0.1)])
def test_frames_that_repeat_are_left_out(times: tuple[int, ...], noise: float) -> None:
    """As when 24 frames a second are shown at 30, 48 and 72, compressed anew."""
    once = scene(0, 12)
    video = with_noise([frame for number, frame in enumerate(once) for _ in range(times[number % len(times)])], noise)
    shots = find_shots(video)
    assert [len(part) for part in shots.parts] == [12]
    assert shots.repeated == len(video) - 12 and shots.remark == f"{len(video) - 12} repeated frames, left out"


def test_slow_movement_is_no_repetition_and_adds_up() -> None:
    """Where the camera all but stops, as many frames stay as tell a tenth of its usual movement."""
    shots = find_shots(scene(3, 20)[::-1] + scene(3, 20, 0.02)[1:])
    assert len(shots.parts) == 1 and 2 <= len(shots.parts[0]) - 20 <= 6


def test_a_standing_camera_repeats_nothing() -> None:
    still = [scene(0, 1)[0]] * 8
    assert find_shots(still).parts == (tuple(range(8)),)
    assert find_shots(with_noise(still, 2.0)).parts == (tuple(range(8)),)


def test_short_videos() -> None:
    assert find_shots([]) == Shots((), 0) and find_shots([]).longest == ()
    assert find_shots(scene(0, 1)).parts == ((0,),) and find_shots(scene(0, 1) + scene(1, 1)).parts == ((0, 1),)
    assert find_shots(scene(0, 2) + scene(1, 1)).parts == ((0, 1), (2,))


def test_small_versions_are_grey_and_keep_the_aspect() -> None:
    frame = np.zeros((90, 160, 3), np.uint8)
    frame[..., 0] = 90
    assert small_grey(frame).shape == (36, COLUMNS) and np.allclose(small_grey(frame), 30)
    assert np.array_equal(small_grey(frame[..., 0]), np.full((36, COLUMNS), 90))
