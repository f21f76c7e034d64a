"""What the engine does when a device has too little memory, or numbers run over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from restorekit import images
from restorekit.errors import NumericalError, OutOfMemoryError, SettingError
from restorekit.inference.canvas import Canvas
from restorekit.inference.engine import Engine
from restorekit.inference.tiling import TilePlan
from tests.inference.networks import Mean3, Tight, picture

MEAN = Mean3()


def engine_with(room: int, *, precision: str = "fp32", fails_in: str = "", **options: int) -> tuple[Engine, Tight]:
    backend = Tight(MEAN, MEAN.build(0), room, precision, fails_in)  # type: ignore[arg-type]
    return Engine(MEAN, 0, backend, **options), backend


def fill(engine: Engine, pixels: np.ndarray) -> tuple[np.ndarray, TilePlan, list[str], list[tuple[int, int]]]:
    canvas = Canvas(images.Image.from_array(pixels), 1, False, False)
    notes: list[str] = []
    progress: list[tuple[int, int]] = []
    plan = engine.fill(canvas, lambda done, tiles: progress.append((done, tiles)), notes.append)
    return canvas.answer, plan, notes, progress


def mean3(pixels: np.ndarray) -> np.ndarray:
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
    height, width = pixels.shape[:2]
    return sum(padded[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9


def test_tiles_are_halved_until_they_fit() -> None:
    engine, backend = engine_with(room=50 * 50, memory=2**30)
    image = picture(150, 170)
    answer, plan, notes, progress = fill(engine, image)
    np.testing.assert_allclose(answer, mean3(image), atol=1e-6)
    assert plan.tile[0] * plan.tile[1] <= 50 * 50
    assert notes == [
        "not enough memory on cpu for a tile of 172x152: 86 is the most now",
        "not enough memory on cpu for a tile of 68x84: 42 is the most now",
    ]
    assert backend.released == 2
    assert progress[:2] == [(0, 1), (0, progress[1][1])]
    assert progress[-1] == (plan.tiles, plan.tiles)


def test_the_next_image_starts_with_the_tile_that_fitted() -> None:
    engine, backend = engine_with(room=50 * 50, memory=2**30)
    fill(engine, picture(150, 170))
    backend.tried.clear()
    _, _, notes, _ = fill(engine, picture(200, 90))
    assert notes == []
    assert max(height * width for height, width in backend.tried) <= 50 * 50


def test_memory_that_ends_half_way_starts_the_image_again() -> None:
    engine, backend = engine_with(room=2**30, memory=2**30, max_side=64)
    calls = 0
    run = backend.run

    def ends_once(tile: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise MemoryError
        return run(tile)

    backend.run = ends_once  # type: ignore[method-assign]
    image = picture(150, 170)
    answer, plan, notes, _ = fill(engine, image)
    np.testing.assert_allclose(answer, mean3(image), atol=1e-6)
    assert len(notes) == 1 and max(plan.tile) <= 32
    assert len(backend.tried) == 3 + plan.tiles


def test_smallest_tile_that_does_not_fit_is_an_error() -> None:
    engine, backend = engine_with(room=15 * 15)
    with pytest.raises(
        OutOfMemoryError, match=r"cpu has not enough memory even for tiles of 16x16 pixels\. Close other programs"
    ):
        fill(engine, picture(150, 170))
    assert backend.tried[-1] == (16, 16)


def test_small_image_that_does_not_fit_is_an_error() -> None:
    engine, _ = engine_with(room=3)
    with pytest.raises(OutOfMemoryError, match="tiles of 4x4 pixels"):
        fill(engine, picture(2, 2))


def test_overlap_asked_for_is_kept_to_the_end() -> None:
    engine, _ = engine_with(room=48 * 48, overlap=20)
    _, plan, notes, _ = fill(engine, picture(100, 100))
    assert plan.tile == (48, 48) and plan.overlap == 20 and len(notes) == 1
    engine, _ = engine_with(room=40 * 40, overlap=30)
    with pytest.raises(OutOfMemoryError, match=r"even for tiles of 68x68 pixels.*take a smaller overlap"):
        fill(engine, picture(100, 100))


def test_budget_in_bytes_limits_the_first_tile() -> None:
    engine, backend = engine_with(room=2**30, memory=64 * 40 * 40)
    fill(engine, picture(150, 170))
    assert max(height * width for height, width in backend.tried) <= 40 * 40
    engine, backend = engine_with(room=2**30, memory=64 * 40 * 40, precision="bf16")
    fill(engine, picture(150, 170))
    assert max(height * width for height, width in backend.tried) <= 40 * 40  # unmeasured, bf16 is not trusted to take less
    engine, _ = engine_with(room=2**30, memory=64 * 40 * 40, overlap=24)
    with pytest.raises(SettingError, match="an overlap of 24 pixels needs tiles of at least 52 a side"):
        fill(engine, picture(150, 170))


def test_values_that_are_not_finite_are_run_again_in_fp32() -> None:
    engine, _ = engine_with(room=2**30, precision="bf16", fails_in="bf16", max_side=48)
    image = picture(150, 170)
    answer, plan, notes, progress = fill(engine, image)
    np.testing.assert_allclose(answer, mean3(image), atol=1e-6)
    assert engine.backend.precision == "fp32"
    assert notes == ["bf16 gave values that are not finite: the image is run again in fp32"]
    assert progress == [(0, plan.tiles), (1, plan.tiles), (2, plan.tiles), *((i, plan.tiles) for i in range(plan.tiles + 1))]
    assert fill(engine, image)[2] == []


def test_values_that_are_not_finite_in_fp32_are_an_error() -> None:
    engine, _ = engine_with(room=2**30, precision="fp16", fails_in="fp16 fp32", max_side=48)
    with pytest.raises(NumericalError, match=r"not finite, even in float32\. Check the model's weights"):
        fill(engine, picture(150, 170))


def test_infinities_count_and_large_numbers_do_not() -> None:
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.full_like(image, self.value)

    for value, fails in ((1e30, False), (-1e30, False), (float("inf"), True), (float("-inf"), True)):
        engine = Engine(MEAN, 0, Tight(MEAN, Constant(value), 2**30))
        if fails:
            with pytest.raises(NumericalError):
                fill(engine, picture(20, 20))
        else:
            assert (fill(engine, picture(20, 20))[0] == (value > 0)).all()


class Ahead(Tight):
    """A device with the next tile set going before the last one's answer is asked for."""

    ahead = 1

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.under_way = self.most = 0

    def start(self, tile: np.ndarray, **extras: np.ndarray) -> Callable[[], dict[str, np.ndarray]]:
        maps = self.run(tile)
        self.under_way += 1
        self.most = max(self.most, self.under_way)

        def landed() -> dict[str, np.ndarray]:
            self.under_way -= 1
            return maps

        return landed


def test_tiles_that_are_started_ahead_are_merged_in_their_places() -> None:
    backend = Ahead(MEAN, MEAN.build(0), 50 * 50)
    engine = Engine(MEAN, 0, backend, memory=2**30)
    image = picture(150, 170)
    answer, plan, notes, progress = fill(engine, image)
    np.testing.assert_allclose(answer, mean3(image), atol=1e-6)
    assert plan.tiles > 4 and len(notes) == 2
    assert (backend.most, backend.under_way) == (2, 0)
    assert progress[-plan.tiles - 1 :] == [(done, plan.tiles) for done in range(plan.tiles + 1)]


def test_a_graph_of_one_size_is_not_tried_on_larger_pictures() -> None:
    engine = Engine(MEAN, 0, Tight(MEAN, MEAN.build(0), 2**30), size=(64, 48))
    assert engine.answer(images.Image.from_array(picture(64, 48))).shape == (64, 48, 3)
    with pytest.raises(SettingError, match="for 48x64 pixels only cannot be tried on 49x64"):
        engine.answer(images.Image.from_array(picture(64, 49)))


def test_a_small_picture_goes_through_whole_or_not_at_all() -> None:
    engine, backend = engine_with(room=50 * 50, max_side=16)
    values = picture(40, 50)
    np.testing.assert_allclose(engine.answer(images.Image(values)), mean3(values), atol=1e-6)
    assert backend.tried == [(40, 50)]
    with pytest.raises(OutOfMemoryError, match="cpu has not enough memory even for 60x50 pixels"):
        engine.answer(images.Image(picture(50, 60)))
