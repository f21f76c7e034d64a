"""How far an image is from another, or from photographs at large: functions of ``(B, C, H, W)`` that give one score an image."""

from restorekit.metrics.candidates import BestSingle, best_overall, best_single
from restorekit.metrics.colour import crop_border, luma, round_to_8_bits, truncate_to_8_bits
from restorekit.metrics.depth import DEPTH_SCORES, DepthScores, depth_at, depth_scores, garg_crop
from restorekit.metrics.learned import backbone_file, dists, lpips, require_backbone
from restorekit.metrics.multiscale import ms_ssim
from restorekit.metrics.pixelwise import psnr
from restorekit.metrics.structural import ssim, ssim3d, ssim_uniform
from restorekit.metrics.unreferenced import brisque, brisque_file, require_brisque

__all__ = [
    "DEPTH_SCORES",
    "BestSingle",
    "DepthScores",
    "backbone_file",
    "best_overall",
    "best_single",
    "brisque",
    "brisque_file",
    "crop_border",
    "depth_at",
    "depth_scores",
    "dists",
    "garg_crop",
    "lpips",
    "luma",
    "ms_ssim",
    "psnr",
    "require_backbone",
    "require_brisque",
    "round_to_8_bits",
    "ssim",
    "ssim3d",
    "ssim_uniform",
    "truncate_to_8_bits",
]
