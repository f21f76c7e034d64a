from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restorekit.errors import SettingError
from restorekit.inference.tiling import Span, TilePlan, least_side, plan_tiles
from restorekit.methods import Tiling

SIDES = st.integers(1, 700)


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    multiple = draw(st.sampled_from([1, 4, 8, 16, 32]))
    halo = draw(st.none() | st.integers(0, 60))
    return Tiling(multiple, halo, overlap=draw(st.integers(0, 70)), minimum=draw(st.integers(1, 70)), bytes_per_pixel=100)


@st.composite
def plans(draw: st.DrawFn) -> tuple[TilePlan, Tiling, int]:
    """A plan within a limit on its sides, the tiling it was made for, and the limit."""
    tiling = draw(tilings())
    overlap = draw(st.none() | st.integers(0, 40))
    max_side = draw(st.integers(least_side(tiling, overlap or 0), 400))
    return plan_tiles((draw(SIDES), draw(SIDES)), tiling, max_side=max_side, overlap=overlap), tiling, max_side


def weights_over(length: int, spans: tuple[Span, ...]) -> np.ndarray:
    total = np.zeros(length, np.float64)
    for span in spans:
        total[span.first : span.last] += span.weights()
    return total


@given(plans())
def test_weights_sum_to_one_at_every_pixel(case: tuple[TilePlan, Tiling, int]) -> None:
    plan, _, _ = case
    for length, spans in zip(plan.size, (plan.rows, plan.columns), strict=True):
        np.testing.assert_allclose(weights_over(length, spans), 1, atol=1e-6)
        assert all((span.weights() >= 0).all() for span in spans)


@given(plans())
def test_tiles_lie_on_the_networks_grid_and_have_one_size(case: tuple[TilePlan, Tiling, int]) -> None:
    plan, tiling, max_side = case
    for length, side, spans in zip(plan.size, plan.tile, (plan.rows, plan.columns), strict=True):
        padded = -(-length // tiling.multiple) * tiling.multiple
        assert side % tiling.multiple == 0 and side <= min(max_side, padded)
        assert [span.start % tiling.multiple for span in spans] == [0] * len(spans)
        assert [span.stop for span in spans[:-1]] == [span.start + side for span in spans[:-1]]
        assert spans[-1].stop == length and spans[-1].start + side == padded
        assert spans[0].start == 0 and spans[0].first == 0 and spans[-1].last == length


@given(plans())
def test_answers_lie_within_what_tiles_see_and_only_neighbours_meet(case: tuple[TilePlan, Tiling, int]) -> None:
    plan, _, _ = case
    for spans in (plan.rows, plan.columns):
        for span in spans:
            assert span.start <= span.first < span.last <= span.stop
            assert span.fade_in + span.fade_out <= span.last - span.first
        for before, after in pairwise(spans):
            assert before.start < after.start
            assert before.last - before.fade_out == after.first
            assert before.last == after.first + after.fade_in
            assert before.stop - after.start >= 2 * plan.overlap


@given(plans())
def test_exact_plans_use_no_pixel_within_the_halo_of_an_inner_edge(case: tuple[TilePlan, Tiling, int]) -> None:
    plan, tiling, _ = case
    assert plan.exact == (plan.is_whole or tiling.is_exact(plan.overlap))
    if plan.exact and not plan.is_whole:
        for spans in (plan.rows, plan.columns):
            assert all(span.first - span.start >= tiling.halo for span in spans[1:])
            assert all(span.stop - span.last >= tiling.halo for span in spans[:-1])


@given(SIDES, SIDES, tilings(), st.integers(1, 200_000))
def test_area_is_kept_unless_it_is_below_the_smallest_tile(height: int, width: int, tiling: Tiling, area: int) -> None:
    plan = plan_tiles((height, width), tiling, max_pixels=area)
    assert plan.tile[0] * plan.tile[1] <= max(area, least_side(tiling, 0) ** 2)
    padded = [-(-side // tiling.multiple) * tiling.multiple for side in (height, width)]
    assert plan.is_whole == (
        padded[0] * padded[1] <= max(area // tiling.multiple**2 * tiling.multiple**2, least_side(tiling, 0) ** 2)
    )


@given(SIDES, SIDES, tilings(), st.integers(0, 60))
def test_overlap_asked_for_is_never_reduced(height: int, width: int, tiling: Tiling, overlap: int) -> None:
    plan = plan_tiles((height, width), tiling, max_side=least_side(tiling, overlap), overlap=overlap)
    assert overlap <= plan.overlap < overlap + tiling.multiple
    for spans in (plan.rows, plan.columns):
        assert all(before.stop - after.start >= 2 * overlap for before, after in pairwise(spans))


COMPACT = Tiling(multiple=16, halo=3300, overlap=64, minimum=64, bytes_per_pixel=1024)


def test_an_overlap_counts_on_each_side() -> None:
    plan = plan_tiles((2000, 2000), Tiling(8, halo=None, overlap=64, minimum=64, bytes_per_pixel=1), max_side=256, overlap=32)
    shared = {before.stop - after.start for before, after in pairwise(plan.columns)}
    assert plan.tiles > 1 and plan.overlap == 32 and shared == {64}


def test_24_megapixel_photograph_in_tiles_of_a_megapixel() -> None:
    plan = plan_tiles((4000, 6000), COMPACT, max_pixels=2**20)
    assert (len(plan.rows), len(plan.columns)) == (4, 8)
    assert plan.tile == (1104, 864)
    assert plan.overlap == 64 and not plan.exact
    assert plan.tiles * plan.tile[0] * plan.tile[1] < 1.28 * 4000 * 6000


def test_tiles_are_no_longer_than_needed() -> None:
    plan = plan_tiles((500, 1100), COMPACT, max_side=1024)
    assert plan.tile == (512, 624) and len(plan.columns) == 2 and len(plan.rows) == 1


def test_small_tiles_take_less_of_the_methods_own_overlap() -> None:
    assert [plan_tiles((2000, 2000), COMPACT, max_side=side).overlap for side in (256, 255, 128, 127, 64)] == [64, 32, 32, 16, 16]


def test_no_slender_tiles_where_there_is_a_choice() -> None:
    plan = plan_tiles((4000, 4000), COMPACT, max_pixels=300_000)
    assert max(plan.tile) <= 2 * min(plan.tile)
    strip = plan_tiles((80, 9000), COMPACT, max_pixels=300_000)
    assert len(strip.rows) == 1 and strip.tile == (80, 3088)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (15, 17)])
def test_images_smaller_than_a_block(size: tuple[int, int]) -> None:
    plan = plan_tiles(size, COMPACT, max_side=64)
    assert (plan.rows[0].start, plan.rows[-1].stop) == (0, size[0])
    assert (plan.columns[0].start, plan.columns[-1].stop) == (0, size[1])


def test_whole_image_is_exact_even_where_every_pixel_counts() -> None:
    everywhere = Tiling(multiple=8, halo=None, overlap=32, minimum=32, bytes_per_pixel=100)
    assert plan_tiles((100, 100), everywhere).exact
    assert not plan_tiles((100, 100), everywhere, max_side=96, overlap=40).exact


def test_overlap_without_room_says_what_it_needs() -> None:
    with pytest.raises(SettingError, match="an overlap of 100 pixels needs tiles of at least 240 a side, and 192 is the most"):
        plan_tiles((1000, 1000), COMPACT, max_side=200, overlap=100)
    with pytest.raises(SettingError, match=r"and 224 is the most.*Take a smaller overlap"):
        plan_tiles((1000, 1000), COMPACT, max_pixels=52_000, overlap=100)


def test_ramps_are_soft() -> None:
    column = plan_tiles((64, 1000), COMPACT, max_side=512).columns[0]
    ramp = column.weights()[-column.fade_out :].astype(np.float64)
    assert 128 <= len(ramp) < 160
    assert ramp[0] > 0.999 and ramp[-1] < 0.001
    assert np.diff(ramp).max() < 0
    assert abs(np.diff(ramp)).max() < np.pi / 2 / len(ramp) * 1.01
    np.testing.assert_allclose(ramp + ramp[::-1], 1, atol=1e-6)
