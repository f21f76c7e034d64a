from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.degradations import seeded_generator
from restorekit.degradations.trajectory import STEPS, hand_held, rasterise, resample


def test_trajectories_are_centred_and_of_unit_extent() -> None:
    path = hand_held(50, 4, seeded_generator(1))
    assert path.shape == (50, STEPS, 4)
    torch.testing.assert_close(path.mean(1), torch.zeros(50, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(2 * path.norm(dim=2).amax(1), torch.ones(50), atol=1e-5, rtol=0)


def test_trajectories_persist_and_differ() -> None:
    path = hand_held(200, 2, seeded_generator(2))
    step = path.diff(dim=1)
    turn = torch.cosine_similarity(step[:, 1:], step[:, :-1], dim=2)
    assert turn.mean() > 0.5  # inertia: most moments go on in the direction of the one before
    assert turn.mean(1).std() > 0.1  # from straight pans to knots


def test_tangled_trajectories_are_knots_and_the_others_stay_as_they_were() -> None:
    """A path's length from end to end of its steps, for an extent of 1: short for a pan, long for a knot."""

    def walked(path: Tensor) -> Tensor:
        return (path[:, 1:] - path[:, :-1]).norm(dim=2).sum(1)

    usual, knots = hand_held(300, 2, seeded_generator(5)), hand_held(300, 2, seeded_generator(5), tangled=1.0)
    assert torch.equal(usual, hand_held(300, 2, seeded_generator(5), tangled=0.0))
    assert walked(knots).median() > 1.4 * walked(usual).median()
    assert torch.allclose(2 * knots.norm(dim=2).amax(1), torch.ones(300)) and knots.mean(1).abs().max() < 1e-5
    mixed = hand_held(300, 2, seeded_generator(5), tangled=0.5)
    assert walked(usual).median() < walked(mixed).median() < walked(knots).median()


def test_resampling_keeps_the_ends() -> None:
    path = hand_held(3, 2, seeded_generator(3))
    short = resample(path, 9)
    assert short.shape == (3, 9, 2)
    torch.testing.assert_close(short[:, [0, -1]], path[:, [0, -1]])


def test_kernels_hold_all_light_around_their_centre() -> None:
    kernels = rasterise(hand_held(40, 2, seeded_generator(4)) * 20, radius=12)
    assert kernels.shape == (40, 25, 25)
    assert kernels.min() >= 0
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(40), atol=1e-5, rtol=0)
    offsets = torch.arange(25.0) - 12
    centre_x = (kernels.sum(1) * offsets).sum(1)
    centre_y = (kernels.sum(2) * offsets).sum(1)
    torch.testing.assert_close(centre_x, torch.zeros(40), atol=0.1, rtol=0)
    torch.testing.assert_close(centre_y, torch.zeros(40), atol=0.1, rtol=0)


def test_a_straight_line_becomes_an_even_streak() -> None:
    path = torch.stack([torch.linspace(-4, 4, STEPS), torch.zeros(STEPS)], 1)[None]
    kernel = rasterise(path, radius=6)[0]
    assert kernel[:6].sum() == 0 and kernel[7:].sum() == 0
    assert kernel[6, 3:10].tolist() == pytest.approx([1 / 8] * 7, rel=0.05)
