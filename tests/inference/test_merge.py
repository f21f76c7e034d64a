from __future__ import annotations

import numpy as np
import pytest

from restorekit.inference import merge
from restorekit.inference.merge import merge_tiles
from restorekit.inference.tiling import Span, plan_tiles
from restorekit.methods import Tiling

TILING = Tiling(multiple=4, halo=None, overlap=8, minimum=16, bytes_per_pixel=1)


@pytest.mark.parametrize("size", [(1, 1), (3, 90), (97, 41), (64, 64), (130, 7)])
@pytest.mark.parametrize("overlap", [0, 4, 8, None])
def test_tiles_that_agree_give_the_image_back(
    size: tuple[int, int], overlap: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_PIECE", 100)
    image = np.random.default_rng(0).random((5, *size), np.float32)
    plan = plan_tiles(size, TILING, max_side=32, overlap=overlap)
    seen: list[tuple[int, int]] = []

    def run(row: Span, column: Span) -> dict[str, np.ndarray]:
        seen.append((row.start, column.start))
        part = image[:, row.start : row.stop, column.start : column.stop]
        return {"a": part[:3], "b": part[3:]}

    result = np.full_like(image, np.nan)
    for block in merge_tiles(plan, run):
        assert np.isnan(result[:, block.rows, block.columns]).all()  # nothing is given twice
        assert block.maps["a"].shape[1] == 1 or block.maps["a"][0].size <= 100
        result[:3, block.rows, block.columns], result[3:, block.rows, block.columns] = block.maps["a"], block.maps["b"]
    assert seen == [(row.start, column.start) for row in plan.rows for column in plan.columns]
    np.testing.assert_allclose(result, image, atol=2e-7)


def test_tiles_that_differ_blend_from_one_to_the_other_without_a_step() -> None:
    plan = plan_tiles((20, 56), TILING, max_side=32)
    assert (len(plan.rows), len(plan.columns)) == (1, 3)

    def run(row: Span, column: Span) -> dict[str, np.ndarray]:
        return {"x": np.full((1, row.stop - row.start, column.stop - column.start), column.start, np.float32)}

    values = np.concatenate([block.maps["x"][0] for block in merge_tiles(plan, run)], axis=1)
    starts = [column.start for column in plan.columns]
    assert (values == values[0]).all()
    assert values[0, 0] == starts[0] and values[0, -1] == starts[-1]
    assert (np.diff(values[0]) >= 0).all() and np.diff(values[0]).max() < 2


def test_blocks_are_given_before_later_tiles_run() -> None:
    plan = plan_tiles((200, 90), TILING, max_side=32)
    ran: list[int] = []

    def run(row: Span, column: Span) -> dict[str, np.ndarray]:
        ran.append(row.start)
        return {"x": np.zeros((1, row.stop - row.start, column.stop - column.start), np.float32)}

    counts = [len(ran) for _ in merge_tiles(plan, run)]
    assert counts == list(range(1, plan.tiles + 1))
