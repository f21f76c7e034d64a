"""What a protocol does to images before a metric sees them: luma, 8-bit rounding, border crop."""

from __future__ import annotations

from torch import Tensor

from restorekit.errors import UsageError


def luma(image: Tensor, *, swapped: bool = False) -> Tensor:
    """Y of BT.601 as MATLAB's ``rgb2ycbcr`` takes it: ``(..., 3, H, W)``, RGB in [0, 1], to ``(..., 1, H, W)``.

    ``(65.481 R + 128.553 G + 24.966 B + 16) / 255``, from 16 / 255 to 235 / 255, not rounded to 8 bits. The span of 219 instead
    of 255 steps makes a PSNR on Y 1.32 dB higher than the same errors score on a grey image. One channel is its own luma.

    Args:
        image: RGB or grey.
        swapped: give red the weight of blue and blue that of red, as scripts do that read files as BGR and take them for RGB.
            Only of use to meet published numbers that were made so.
    """
    if image.shape[-3] == 1:
        return image
    if image.shape[-3] != 3:
        raise UsageError(f"luma takes 1 or 3 channels, not {image.shape[-3]}", "Drop the alpha channel first")
    weights = image.new_tensor([65.481, 128.553, 24.966]) / 255
    weights = weights.flip(0) if swapped else weights
    return (image * weights[:, None, None]).sum(-3, keepdim=True) + 16 / 255


def round_to_8_bits(image: Tensor) -> Tensor:
    """``image`` of any shape as an 8-bit file would hold it: clipped to [0, 1] and rounded to multiples of 1 / 255."""
    return image.clamp(0, 1).mul(255).round().div(255)


def truncate_to_8_bits(image: Tensor) -> Tensor:
    """``image`` of any shape as scripts save it that convert to integers without rounding: on average half a level darker.

    What came from an 8-bit file comes through unchanged, all 256 levels.
    """
    return image.clamp(0, 1).mul(255).floor().div(255)


def crop_border(image: Tensor, border: int) -> Tensor:
    """``(..., H, W)`` without ``border`` pixels on each side; :class:`~restorekit.errors.UsageError` if nothing would be left."""
    height, width = image.shape[-2:]
    if border < 0 or 2 * border >= min(height, width):
        raise UsageError(f"a border of {border} pixels cannot be cropped from {width} x {height}", "Choose a smaller border")
    return image[..., border : height - border, border : width - border]
