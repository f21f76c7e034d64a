from __future__ import annotations

import torch

from restorekit.degradations import seeded_generator
from restorekit.degradations.depth import pseudo_depth


def test_the_ground_recedes_towards_the_upper_border() -> None:
    depth = pseudo_depth(torch.full((16, 3, 96, 128), 0.4), seeded_generator(1))
    assert depth.shape == (16, 1, 96, 128)
    assert depth.min() >= 0 and depth.max() <= 1
    upper, lower = depth[..., :20, :].mean((1, 2, 3)), depth[..., -20:, :].mean((1, 2, 3))
    assert ((upper - lower) > 0).float().mean() > 0.8
    assert (upper - lower).mean() > 0.15
    assert depth.diff(dim=3).abs().max() < 0.05  # smooth where the photograph is


def test_depth_follows_the_edges_of_the_photograph() -> None:
    image = torch.full((4, 3, 200, 300), 0.2)
    image[..., 140:] = 0.8
    depth = pseudo_depth(image, seeded_generator(2))
    change = depth.diff(dim=3).abs().mean((1, 2))
    assert (change[:, 139] > 10 * change.median(1).values).all()


def test_depth_of_the_smallest_picture() -> None:
    assert pseudo_depth(torch.rand(1, 3, 1, 2), seeded_generator(0)).isfinite().all()
