from __future__ import annotations

import torch

from restorekit.degradations import get_degradation
from restorekit.degradations.tumbling import _rotation, tumbling_kernels


def test_kernels_are_those_of_the_paper() -> None:
    kernels = tumbling_kernels(400, 37, torch.Generator().manual_seed(1))
    assert kernels.shape == (400, 37, 37) and float(kernels.min()) >= 0
    torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(400))
    seen = kernels > 0.02 * kernels.amax((1, 2), keepdim=True)
    extent = torch.maximum(seen.any(1).sum(1), seen.any(2).sum(1)).float()
    assert 0.1 < float((extent > 30).float().mean()) < 0.3  # enlarged ones, or Gaussians
    assert 8 < float(extent.median()) < 16
    places = torch.arange(37.0) - 18
    offset = torch.hypot((kernels.sum(2) * places).sum(1), (kernels.sum(1) * places).sum(1))
    assert float(offset.median()) > 0.4


def test_a_seed_fixes_them_and_any_odd_size_will_do() -> None:
    one, same, other = (tumbling_kernels(3, 37, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    for size in (5, 9):
        small = tumbling_kernels(20, size, torch.Generator().manual_seed(0))
        assert small.shape == (20, size, size)
        torch.testing.assert_close(small.sum((1, 2)), torch.ones(20))


def test_rotations_turn_and_keep_lengths() -> None:
    turned = _rotation(torch.tensor([[0.3, -1.2, 2.0], [0.0, 0.0, torch.pi / 2]]))
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(torch.linalg.det(turned), torch.ones(2))
    torch.testing.assert_close(turned[1] @ torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_the_night_takes_them_if_asked() -> None:
    photograph = torch.rand(2, 3, 64, 64)
    found = [
        get_degradation("lowlight", settings)(photograph, torch.Generator().manual_seed(0)).extras["psf"]
        for settings in ({"path": "tumbling"}, {})
    ]
    assert found[0].shape == found[1].shape == (2, 1, 37, 37) and not torch.equal(*found)
