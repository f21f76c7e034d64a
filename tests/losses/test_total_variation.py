"""Squared total variation."""

from __future__ import annotations

import torch

from restorekit.losses import squared_variation


def test_by_the_sums() -> None:
    x = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    down, across = (x[:, :, 1:] - x[:, :, :-1]).square().sum(), (x[..., 1:] - x[..., :-1]).square().sum()
    expected = 2 * (down / (3 * 4 * 7) + across / (3 * 5 * 6)) / 2
    assert torch.allclose(squared_variation(x), expected)


def test_of_a_ramp() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 4, 8)
    assert squared_variation(ramp).item() == 2
