"""How far an image is from another: functions of tensors ``(B, C, H, W)`` that give one score an image."""

from restorekit.metrics.candidates import BestSingle, best_overall, best_single
from restorekit.metrics.colour import crop_border, luma, round_to_8_bits
from restorekit.metrics.pixelwise import psnr
from restorekit.metrics.structural import ssim, ssim3d

__all__ = [
    "BestSingle",
    "best_overall",
    "best_single",
    "crop_border",
    "luma",
    "psnr",
    "round_to_8_bits",
    "ssim",
    "ssim3d",
]
