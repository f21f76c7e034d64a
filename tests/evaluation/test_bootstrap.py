from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.errors import UsageError
from restorekit.evaluation import paired_difference


def test_the_interval_of_many_images_is_the_normal_one() -> None:
    random = np.random.default_rng(1)
    b = random.normal(30, 4, 400)
    a = b + random.normal(0.1, 0.5, 400)
    found = paired_difference(a.tolist(), b.tolist())
    differences = a - b
    half = 1.96 * differences.std(ddof=1) / 20
    assert found.mean == pytest.approx(differences.mean())
    assert found.low == pytest.approx(differences.mean() - half, abs=0.005)
    assert found.high == pytest.approx(differences.mean() + half, abs=0.005)
    assert found.low > 0 and found.wins == int((differences > 0).sum())


def test_pairing_finds_what_the_spread_hides() -> None:
    random = np.random.default_rng(2)
    hard_or_easy = random.normal(30, 4, 32)
    a, b = hard_or_easy + 0.1 + random.normal(0, 0.05, 32), hard_or_easy
    assert paired_difference(a.tolist(), b.tolist()).low > 0
    unpaired = paired_difference(a.tolist(), random.permutation(b).tolist())
    assert unpaired.low < 0 < unpaired.high


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    random = np.random.default_rng(3)
    found = [paired_difference(random.normal(0.2, 1, 40).tolist(), [0.0] * 40, resamples=500) for _ in range(300)]
    assert 0.90 < np.mean([d.low <= 0.2 <= d.high for d in found]) < 0.98


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20), st.integers(0, 5))
@settings(max_examples=30)
def test_swapping_turns_the_sign_and_seeds_repeat(values: list[float], seed: int) -> None:
    zeros = [0.0] * len(values)
    there, back = (paired_difference(a, b, resamples=200, seed=seed) for a, b in ((values, zeros), (zeros, values)))
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low), abs=1e-9)
    assert (there.wins, there.losses) == (back.losses, back.wins)
    assert there.low - 1e-9 <= there.mean <= there.high + 1e-9 or len(set(values)) > 1
    assert there == paired_difference(values, zeros, resamples=200, seed=seed)


def test_scores_must_pair() -> None:
    with pytest.raises(UsageError, match="3 and 2 scores cannot be paired"):
        paired_difference([1, 2, 3], [1, 2])
    with pytest.raises(UsageError, match="0 and 0"):
        paired_difference([], [])
