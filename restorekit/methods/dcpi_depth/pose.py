"""Pose networks, needed in training only: two neighbouring frames in, the motion of the camera between them out.

The large one is that of "Digging into Self-Supervised Monocular Depth Estimation" (ICCV 2019, https://arxiv.org/abs/1806.01260),
on torchvision's ResNet-18, with the authors' keys. The light one is ours.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import resnet18

from restorekit.methods.dcpi_depth.encoder import MEAN, STD
from restorekit.methods.dcpi_depth.precision import in_full_precision

SCALE = 0.01
"""What a pose network's last layer is multiplied by: at first, cameras hardly move."""


class PoseEncoder(nn.Module):
    """ResNet-18 with six channels of input; its classifier ``fc`` stands in the authors' checkpoints, and is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = resnet18(weights=None)
        self.encoder.conv1 = nn.Conv2d(6, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(self.encoder.conv1.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The last features, ``(B, 512, H/32, W/32)``, of frames ``(B, 3, H, W)`` in the order of time, RGB in [0, 1]."""
        net = self.encoder
        x = net.maxpool(net.relu(net.bn1(net.conv1(_pair(first, second)))))
        return cast(Tensor, net.layer4(net.layer3(net.layer2(net.layer1(x)))))


class PoseDecoder(nn.Module):
    """Two motions of features, ``(B, 512, H, W)`` to ``(B, 2, 6)``. Only the first motion is used."""

    def __init__(self) -> None:
        super().__init__()
        middle = [nn.Conv2d(256, 256, 3, padding=1) for _ in range(2)]
        self.net = nn.ModuleList([nn.Conv2d(512, 256, 1), *middle, nn.Conv2d(256, 2 * 6, 1)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net[:-1]:
            x = F.relu(layer(x))
        return _mean(self.net[-1], x).view(len(x), -1, 6)


class ResNetPose(nn.Module):
    """The published pose network, 13.0 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = PoseEncoder()
        self.decoder = PoseDecoder()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """``(B, 6)`` for frames ``(B, 3, H, W)`` in the order of time, RGB in [0, 1]: axis and angle of a rotation, then a
        translation in units of the depth.
        """
        return cast(Tensor, self.decoder(self.encoder(first, second)))[:, 0]


class LightPose(nn.Module):
    """Seven convolutions, each of which halves the size, 1.6 M parameters: enough for short videos."""

    WIDTHS = (16, 32, 64, 128, 256, 256, 256)

    def __init__(self) -> None:
        super().__init__()
        into = (6, *self.WIDTHS)
        halving = [nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(into, self.WIDTHS, strict=False)]
        self.net = nn.ModuleList([*halving, nn.Conv2d(self.WIDTHS[-1], 6, 1)])

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """See :meth:`ResNetPose.forward`."""
        x = _pair(first, second)
        for layer in self.net[:-1]:
            x = F.relu(layer(x))
        return _mean(self.net[-1], x)


def _mean(last: nn.Module, x: Tensor) -> Tensor:
    return SCALE * in_full_precision(last, x).mean((2, 3))


def _pair(first: Tensor, second: Tensor) -> Tensor:
    return (torch.cat([first, second], 1) - MEAN) / STD
