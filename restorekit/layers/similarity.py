"""The terms of structural similarity, whatever window the moments were taken with."""

from __future__ import annotations

from torch import Tensor


def similarity_terms(
    mean_a: Tensor,
    mean_b: Tensor,
    square_a: Tensor,
    square_b: Tensor,
    product: Tensor,
    *,
    peak: float = 1.0,
    unbiased: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure: equations 6, and 9 times 10, of SSIM (Wang et al. 2004); their product is SSIM.

    Args:
        mean_a: local means of an image, any shape; everything else has the same.
        mean_b: of the other.
        square_a: local means of the first one's squares.
        square_b: of the other's.
        product: local means of their product.
        peak: the largest value an image can have: 1 for [0, 1], 255 for 8 bits.
        unbiased: by how much means over a window of n pixels understate variances, n / (n - 1); 1 leaves them as they are.
    """
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2 / unbiased  # numerator and denominator both divided by it
    luminance = (2 * mean_a * mean_b + c1) / (mean_a.square() + mean_b.square() + c1)
    variances = square_a - mean_a.square() + square_b - mean_b.square()
    return luminance, (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
