"""Metrics that compare the features of a network trained on ImageNet: LPIPS and DISTS, as torchmetrics computes them.

torchmetrics brings the small calibrated layers. The networks under them are torchvision's, of up to 528 MB; they are used if
torchvision has put them on this machine before, and are never downloaded from here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from restorekit.errors import DataError, UsageError
from restorekit.metrics.hub import hub_file, require_file
from restorekit.metrics.shapes import check_pair

if TYPE_CHECKING:
    from torch import nn

Backbone = Literal["alex", "vgg", "squeeze"]

_ARCHITECTURES = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
MINIMUM = 64
"""The smallest side on which every layer of the backbones still has pixels."""


def backbone_file(backbone: Backbone) -> Path:
    """Where torchvision keeps the weights of a backbone on this machine, whether they are there or not."""
    from torchvision.models import get_model_weights

    url: str = get_model_weights(_ARCHITECTURES[backbone]).DEFAULT.url
    return hub_file(url)


def require_backbone(backbone: Backbone) -> None:
    """Do nothing if the weights of a backbone are there and whole.

    Raises:
        DataError: if they are missing, or are not what their name says: it carries the beginning of their SHA-256.
    """
    path = backbone_file(backbone)
    require_file(path, f"torchvision.models.{_ARCHITECTURES[backbone]}(weights='DEFAULT')")
    if not _digest(path).startswith(path.stem.rsplit("-", 1)[-1]):
        raise DataError(f"{path} is damaged: its checksum is not the one in its name", "Fetch it again")


def lpips(a: Tensor, b: Tensor, backbone: Backbone = "alex") -> Tensor:
    """LPIPS of each image of a batch (Zhang et al. 2018, version 0.1); 0 for equal images, lower is better.

    Args:
        a: ``(B, 3, H, W)`` in [0, 1], H and W at least 64.
        b: the same shape.
        backbone: the network whose features are compared; papers mostly report AlexNet's or VGG's, and the two do not compare.

    Returns:
        ``(B,)``.

    Raises:
        UsageError: for other shapes.
        DataError: if the backbone's weights cannot be had.
    """
    _check_colour(a, b)
    return _one_by_one(_lpips_network(backbone).to(a.device), a, b)


def dists(a: Tensor, b: Tensor) -> Tensor:
    """DISTS of each image of a batch (Ding et al. 2020), which compares textures rather than pixels; 0 for equal images.

    Args:
        a: ``(B, 3, H, W)`` in [0, 1], H and W at least 64.
        b: the same shape.

    Returns:
        ``(B,)``.

    Raises:
        UsageError: for other shapes.
        DataError: if the weights of VGG-16 cannot be had.
    """
    from torchmetrics.functional.image import deep_image_structure_and_texture_similarity

    _check_colour(a, b)
    require_backbone("vgg")
    return _one_by_one(deep_image_structure_and_texture_similarity, a, b)


def _check_colour(a: Tensor, b: Tensor) -> None:
    check_pair(a, b, minimum=MINIMUM)
    if a.shape[1] != 3:
        raise UsageError(f"{a.shape[1]} channels are not RGB", "Repeat grey three times")


@torch.no_grad()
def _one_by_one(metric: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    a, b = (x.float().clamp(0, 1) for x in (a, b))
    return torch.cat([metric(x[None], y[None]).reshape(1) for x, y in zip(a, b, strict=True)])


@cache
def _lpips_network(backbone: Backbone) -> nn.Module:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    require_backbone(backbone)
    return LearnedPerceptualImagePatchSimilarity(backbone, normalize=True)


@cache
def _digest(path: Path) -> str:
    state = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            state.update(block)
    return state.hexdigest()
