"""The terms of structural similarity."""

from __future__ import annotations

import pytest
import torch

from restorekit.layers import similarity_terms


def test_terms_of_few_samples_are_those_of_the_definition() -> None:
    """Means 2 and 3, unbiased variances 4 and 16, covariance 8, by hand."""
    a, b = torch.tensor([0.0, 2.0, 4.0], dtype=torch.float64), torch.tensor([-1.0, 3.0, 7.0], dtype=torch.float64)
    moments = [x.mean() for x in (a, b, a * a, b * b, a * b)]
    luminance, structure = similarity_terms(*moments, peak=10.0, unbiased=3 / 2)
    assert luminance.item() == pytest.approx((2 * 2 * 3 + 0.01) / (4 + 9 + 0.01), abs=1e-12)
    assert structure.item() == pytest.approx((2 * 8 + 0.09) / (4 + 16 + 0.09), abs=1e-12)


def test_variances_as_they_are_without_a_correction() -> None:
    mean, square = torch.tensor(0.5), torch.tensor(0.5**2 + 0.02)
    luminance, structure = similarity_terms(mean, mean, square, square, mean**2)
    assert luminance.item() == 1
    assert structure.item() == pytest.approx(9e-4 / (0.04 + 9e-4), abs=1e-6)
