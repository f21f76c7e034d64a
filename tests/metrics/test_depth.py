"""Scores of depth maps; the authors' numbers are in the golden ``dcpi-depth-metrics``."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restorekit.errors import UsageError
from restorekit.metrics import depth_at, depth_scores, garg_crop

SCORES = ("abs_rel", "sq_rel", "rmse", "rmse_log", "a1", "a2", "a3")


def truth(count: int = 2) -> Tensor:
    return 1 + 40 * torch.rand(count, 1, 30, 40, generator=torch.Generator().manual_seed(1))


def test_by_hand() -> None:
    g = torch.tensor([2.0, 4, 5, 8]).view(1, 1, 2, 2)
    p = torch.tensor([3.0, 4, 4, 16]).view(1, 1, 2, 2)
    scores = depth_scores(p, g, scale_by_median=False)
    expected = {
        "abs_rel": (0.5 + 0 + 0.2 + 1) / 4,
        "sq_rel": (0.5 + 0 + 0.2 + 8) / 4,
        "rmse": math.sqrt((1 + 0 + 1 + 64) / 4),
        "rmse_log": math.sqrt((math.log(1.5) ** 2 + math.log(1.25) ** 2 + math.log(2) ** 2) / 4),
        "a1": 1 / 4,  # 5 / 4 is not below 1.25
        "a2": 3 / 4,
        "a3": 3 / 4,
    }
    assert scores.mean() == pytest.approx(expected, rel=1e-6)
    assert scores.count.tolist() == [4]


def test_perfect() -> None:
    assert depth_scores(truth(), truth()).mean() == pytest.approx(dict(zip(SCORES, (0, 0, 0, 0, 1, 1, 1), strict=True)))


@given(st.floats(0.01, 100))
@settings(max_examples=20)
def test_scale_does_not_count(factor: float) -> None:
    prediction = truth() * (0.7 + 0.6 * torch.rand(2, 1, 30, 40, generator=torch.Generator().manual_seed(2)))
    plain, scaled = depth_scores(prediction, truth()), depth_scores(factor * prediction, truth())
    assert scaled.mean() == pytest.approx(plain.mean(), rel=1e-3)
    assert (factor * scaled.ratio).tolist() == pytest.approx(plain.ratio.tolist(), rel=1e-4)
    assert depth_scores(2 * truth(), truth(), scale_by_median=False).abs_rel.tolist() == pytest.approx([1, 1], abs=0.1)


def test_median_of_an_even_count_lies_in_the_middle() -> None:
    g = torch.tensor([1.0, 2, 4, 8]).view(1, 1, 2, 2)
    assert depth_scores(torch.ones_like(g), g).ratio.tolist() == [3]


def test_what_is_not_known_or_too_far_does_not_count() -> None:
    g, wrong = truth(), truth()
    g[:, :, :10], g[:, :, 10:12], g[:, :, 12:14] = 0, 80, math.nan
    wrong[:, :, :14] = 1e3
    scores = depth_scores(wrong, g)
    assert scores.count.tolist() == [16 * 40] * 2
    assert scores.rmse.max() == 0
    assert depth_scores(wrong, g, maximum=100).rmse.min() > 1
    nothing = depth_scores(wrong[:1], torch.zeros_like(g[:1]))
    assert nothing.count.tolist() == [0]
    assert nothing.abs_rel.isnan().all()


def test_one_image_without_truth_leaves_the_mean_to_the_others() -> None:
    g = truth()
    p = g.sqrt()
    g[1] = 0
    assert depth_scores(p, g).mean() == pytest.approx(depth_scores(p[:1], g[:1]).mean())


def test_images_are_scored_one_by_one() -> None:
    p = truth().flip(0)
    both, first, second = depth_scores(p, truth()), depth_scores(p[:1], truth()[:1]), depth_scores(p[1:], truth()[1:])
    assert both.abs_rel.equal(torch.cat([first.abs_rel, second.abs_rel]))
    assert both.ratio.equal(torch.cat([first.ratio, second.ratio]))


def test_clamping_helps_what_is_far_off() -> None:
    g = truth(1)
    p = g.clone()
    p[..., :4] = 5e3
    assert depth_scores(p, g).rmse < 80
    assert depth_scores(p, g, clamp=False).rmse > 1000


def test_garg_crop_of_kitti() -> None:
    assert garg_crop(375, 1242) == (slice(153, 371), slice(44, 1197))
    g = torch.full((1, 1, 375, 1242), 9.0)
    assert depth_scores(g, g, garg=True).count.tolist() == [(371 - 153) * (1197 - 44)]


def test_depth_at_another_size() -> None:
    inverse = torch.tensor([[0.5, 0.1]]).view(1, 1, 1, 2)
    assert depth_at(inverse, 1, 4)[0, 0, 0].tolist() == pytest.approx([2, 2.5, 5, 10])
    with pytest.raises(UsageError, match="is empty"):
        depth_at(inverse, 0, 4)


def test_sizes_must_agree() -> None:
    with pytest.raises(UsageError, match="cannot be compared"):
        depth_scores(truth(), truth()[..., :-1])
