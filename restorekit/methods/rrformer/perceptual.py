"""Losses between what VGG-19 sees in two images: for pairs that are aligned, and for pairs that are not.

Sources: "Benchmarking Ultra-High-Definition Image Reflection Removal" (2023), after ERRNet (CVPR 2019); "The Contextual Loss for
Image Transformation with Non-Aligned Data" (ECCV 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.methods.rrformer.vgg import LEVELS, Vgg19

WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)
"""Of the five levels in the feature loss."""

CONV5_2 = 31
"""How many layers lead to conv5_2, before its ReLU."""

CONTEXT = {"ctx": (9, 14, 22), "ctx_vgg": (9, 14, 23)}
"""How many layers lead to relu2_2, relu3_2 and conv4_2, or relu4_2."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def seen(vgg: Vgg19, image: Tensor, depths: Sequence[int]) -> list[Tensor]:
    """The maps of :meth:`~restorekit.methods.rrformer.vgg.Vgg19.maps` of images ``(B, 3, H, W)``, RGB in [0, 1], normalised as
    ImageNet's are.
    """
    mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return list(vgg.maps((image - mean) / std, depths))


def feature_loss(vgg: Vgg19, prediction: Tensor, target: Tensor) -> Tensor:
    """``sum_i w_i mean|V_i(P) - V_i(T)|`` over the five levels of hypercolumns."""
    pairs = zip(WEIGHTS, seen(vgg, prediction, LEVELS), _fixed(vgg, target, LEVELS), strict=True)
    return torch.stack([weight * F.l1_loss(a, b) for weight, a, b in pairs]).sum()


def deep_feature_loss(vgg: Vgg19, prediction: Tensor, target: Tensor) -> Tensor:
    """``mean|P - T|`` of conv5_2 before its ReLU: so coarse that a few pixels of misalignment do not matter."""
    (a,), (b,) = seen(vgg, prediction, [CONV5_2]), _fixed(vgg, target, [CONV5_2])
    return F.l1_loss(a, b)


def context_loss(vgg: Vgg19, prediction: Tensor, target: Tensor, depths: Sequence[int]) -> Tensor:
    """The sum of :func:`contextual` over the maps at ``depths``, ``(B,)``."""
    pairs = zip(seen(vgg, prediction, depths), _fixed(vgg, target, depths), strict=True)
    return torch.stack([contextual(a, b) for a, b in pairs]).sum(0)


def contextual(features: Tensor, target: Tensor) -> Tensor:
    """How badly the features of the target are found anywhere in an image's, ``(B,)`` for two ``(B, C, H, W)``.

    With T and I centred by the mean of T over batch and pixels and divided by their lengths: ``d_pq = (1 - <T_p, I_q>) / 2``,
    ``A_pq = softmax_p(1 - d_pq / (min_p d_pq + 1e-5))``, ``-log(mean_p max_q A_pq)``. Takes memory for ``(HW)²`` numbers: for
    small patches. The authors keep the first image's alone.
    """
    mean = target.mean((0, 2, 3), keepdim=True)
    i, t = (F.normalize(x - mean, dim=1).flatten(2) for x in (features, target))
    distance = (1 - t.transpose(1, 2) @ i) / 2  # (B, p, q)
    relative = distance / (distance.amin(1, keepdim=True) + 1e-5)
    return -(1 - relative).softmax(1).amax(2).mean(1).log()


def _fixed(vgg: Vgg19, target: Tensor, depths: Sequence[int]) -> list[Tensor]:
    with torch.no_grad():
        return seen(vgg, target, depths)
