from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from restorekit.layers import crop_to, pad_to_multiple, reflect_to_multiple


@pytest.mark.parametrize("size", [(16, 8), (13, 12), (1, 1), (3, 17)])
def test_padding_reaches_multiples_and_is_undone(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    for padded in (pad_to_multiple(image, 8), reflect_to_multiple(image, 8)):
        assert [side % 8 for side in padded.shape[2:]] == [0, 0]
        assert crop_to(padded, *size).equal(image)


def test_what_fits_is_not_copied() -> None:
    image = torch.rand(1, 3, 16, 8)
    assert pad_to_multiple(image, 8) is image
    assert reflect_to_multiple(image, 8) is image


def test_reflection_where_it_can_be_and_the_edge_where_not() -> None:
    image = torch.rand(2, 3, 13, 12)
    assert reflect_to_multiple(image, 8).equal(F.pad(image, (0, 4, 0, 3), mode="reflect"))
    small = reflect_to_multiple(image[..., :3, :], 8)
    assert small[..., 3:, :12].equal(image[..., 2:3, :].expand(2, 3, 5, 12))
