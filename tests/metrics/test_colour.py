from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr

from restorekit.errors import UsageError
from restorekit.metrics import crop_border, luma, psnr, round_to_8_bits, truncate_to_8_bits


def test_luma_agrees_with_scikit_image() -> None:
    image = torch.rand(2, 3, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = rgb2ycbcr(image.numpy(), channel_axis=1)[:, :1] / 255
    assert np.allclose(luma(image), expected, atol=1e-6)


def test_luma_spans_16_to_235() -> None:
    ends = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert (luma(ends) * 255).flatten().tolist() == pytest.approx([16, 235], abs=1e-4)


def test_swapped_luma_is_that_of_bgr() -> None:
    image = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(luma(image, swapped=True), luma(image.flip(1)))
    assert not torch.allclose(luma(image, swapped=True), luma(image), atol=1e-2)


def test_luma_of_grey_is_itself() -> None:
    grey = torch.rand(1, 1, 4, 4)
    assert luma(grey) is grey


def test_luma_needs_colours() -> None:
    with pytest.raises(UsageError, match="1 or 3 channels, not 4"):
        luma(torch.zeros(1, 4, 2, 2))


def test_same_error_scores_1_32_db_more_on_luma() -> None:
    grey = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    a, b = grey.expand(1, 3, 16, 16), (grey + 0.1).expand(1, 3, 16, 16)
    assert (psnr(luma(a), luma(b)) - psnr(a, b)).item() == pytest.approx(1.3219, abs=1e-3)


@given(st.integers(0, 255), st.floats(-0.49, 0.49))
@settings(max_examples=50)
def test_rounding_finds_the_nearest_level(level: int, offset: float) -> None:
    value = torch.tensor([(level + offset) / 255], dtype=torch.float64)
    assert round_to_8_bits(value).item() * 255 == pytest.approx(level, abs=1e-9)


def test_rounding_clips() -> None:
    assert round_to_8_bits(torch.tensor([-0.3, 1.2])).tolist() == [0, 1]


def test_truncation_keeps_all_levels_and_cuts_between() -> None:
    levels = torch.arange(256, dtype=torch.float32) / 255
    assert truncate_to_8_bits(levels).equal(levels)
    assert (truncate_to_8_bits(levels[:-1] + 0.9 / 255) * 255).round().tolist() == list(range(255))
    assert truncate_to_8_bits(torch.tensor([-0.3, 1.2])).tolist() == [0, 1]


def test_border() -> None:
    image = torch.arange(30.0).view(1, 1, 5, 6)
    assert crop_border(image, 2).tolist() == [[[[14.0, 15.0]]]]
    assert crop_border(image, 0).equal(image)
    with pytest.raises(UsageError, match="a border of 3 pixels cannot be cropped from 6 x 5"):
        crop_border(image, 3)
