from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from restorekit.degradations import seeded_generator
from restorekit.degradations.shapes import Fall, cover, disc, falling, scatter, streak


def number(value: float) -> Tensor:
    return torch.full((1, 1, 1, 1), value)


@pytest.mark.parametrize("radius", [0.5, 3.0, 5.7])
def test_discs_sum_to_one_and_have_their_size(radius: float) -> None:
    kernel = disc(number(radius), 8)
    assert kernel.sum().item() == pytest.approx(1)
    full = kernel / kernel.max()
    assert full.sum().item() == pytest.approx(math.pi * radius**2, rel=0.15, abs=0.5)


def test_discs_can_be_off_centre() -> None:
    kernel = disc(number(2), 8, torch.tensor([3.5, -1.25]).view(1, 2, 1, 1))[0, 0]
    axis = torch.arange(-8.0, 9)
    assert (kernel.sum(0) @ axis).item() == pytest.approx(3.5, abs=0.02)
    assert (kernel.sum(1) @ axis).item() == pytest.approx(-1.25, abs=0.02)


def test_streaks_lean_and_have_their_length() -> None:
    """30 degrees: the lower end lies 10 pixels to the right of the upper one for every 17 it lies below."""
    kernel = streak(number(30), number(2), number(math.pi / 6), 20)[0, 0]
    rows, columns = torch.nonzero(kernel > 0.5).float().T
    assert columns[rows > 30].mean() - columns[rows < 10].mean() > 9
    assert 24 <= rows.max() - rows.min() + 1 <= 27  # 30 cos 30
    assert 13 <= columns.max() - columns.min() + 1 <= 17  # 30 sin 30, and the width
    thin, thick = (streak(number(30), number(w), number(0.0), 20).sum() for w in (0.5, 1.0))
    assert (thin / thick).item() == pytest.approx(0.5, rel=0.05)


def test_scattered_points_have_their_density_and_even_weights() -> None:
    points = scatter(number(0.02), 400, 400, seeded_generator(3))
    hit = points[points > 0]
    assert len(hit) == pytest.approx(3200, rel=0.08)
    assert hit.mean().item() == pytest.approx(0.5, abs=0.02)
    assert hit.max() < 1


def test_cover_does_not_exceed_the_whole() -> None:
    covered = cover(torch.full((1, 1, 20, 20), 3.0), torch.ones(1, 1, 3, 3))
    assert torch.allclose(covered, torch.ones(1), atol=1e-6)
    once = cover(torch.zeros(1, 1, 20, 20).index_fill(3, torch.tensor([4]), 1), torch.ones(1, 1, 1, 1))
    assert once[0, 0, 3, 4].item() == pytest.approx(1 - math.exp(-1)) and once[0, 0, 3, 6].abs() < 1e-6


@pytest.mark.parametrize("degrees", [-35.0, 20.0])
def test_things_fall_as_much_and_in_the_direction_they_should(degrees: float) -> None:
    fall = Fall(3, 1.4, number(0.06), number(30), number(2), number(math.radians(degrees)), math.radians(3), number(0.9))
    hidden = falling(fall, (256, 256), torch.device("cpu"), seeded_generator(5))
    assert hidden.min() >= -1e-6 and hidden.max() < 1
    assert hidden.mean().item() == pytest.approx(0.9 * 0.06, rel=0.15)
    centred = (hidden - hidden.mean())[0, 0]
    across, down = (round(9 * f(math.radians(degrees))) for f in (math.sin, math.cos))
    along = (centred * centred.roll((down, across), (0, 1))).mean()
    mirrored = (centred * centred.roll((down, -across), (0, 1))).mean()
    assert along > 3 * mirrored.abs()


def test_falling_fits_into_the_smallest_picture() -> None:
    fall = Fall(2, 1.5, number(0.5), number(40), number(4), number(0.3), 0.1, number(1.0))
    assert falling(fall, (1, 3), torch.device("cpu"), seeded_generator(5)).isfinite().all()
