"""One step of the Gaussian pyramid."""

from __future__ import annotations

import pytest
import torch
from kornia.geometry.transform import pyrdown

from restorekit.layers.pyramid import half_size


@pytest.mark.parametrize("size", [(8, 8), (12, 34), (5, 6), (7, 3), (33, 21)])
def test_is_that_of_kornia(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    expected = pyrdown(image, border_type="reflect", align_corners=False)
    assert torch.allclose(half_size(image), expected, atol=1e-12)


def test_keeps_what_is_constant() -> None:
    assert torch.allclose(half_size(torch.full((1, 2, 10, 14), 0.3)), torch.full((1, 2, 5, 7), 0.3))
