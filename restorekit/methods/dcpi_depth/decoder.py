"""The depth decoder: three levels up, each with a disparity of its own.

Paper: "Lite-Mono" (see :mod:`restorekit.methods.dcpi_depth.encoder`). The key tree is the authors'. What differs, at equal
numbers: only the disparities that are asked for are made. Under autocast too, it runs in float32.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.dcpi_depth.encoder import Features
from restorekit.methods.dcpi_depth.precision import in_full_precision


class ReflectedConvolution(nn.Module):
    """A 3x3 convolution of a map mirrored outwards by one pixel."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, 3, padding=1, padding_mode="reflect")
        nn.init.trunc_normal_(self.conv.weight, std=0.02)
        nn.init.zeros_(cast(Tensor, self.conv.bias))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


class EluConvolution(nn.Module):
    """The same with an ELU after it."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = ReflectedConvolution(into, out)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv(x), inplace=True)


class DepthDecoder(nn.Module):
    """Disparities of features.

    Args:
        dims: channels of the features.
        scales: how many disparities it can make: 1 to 3, each half as large as the one before.
    """

    def __init__(self, dims: tuple[int, int, int], scales: int = 3) -> None:
        super().__init__()
        widths = [channels // 2 for channels in dims]
        layers: list[nn.Module] = []
        for level in (2, 1, 0):
            into, skip = (dims[2] if level == 2 else widths[level + 1]), (dims[level - 1] if level else 0)
            layers += [EluConvolution(into, widths[level]), EluConvolution(widths[level] + skip, widths[level])]
        self.decoder = nn.ModuleList(layers + [ReflectedConvolution(widths[scale], 1) for scale in range(scales)])
        self.scales = scales

    def forward(self, features: Features, scales: int | None = None) -> tuple[Tensor, ...]:
        """Disparities in (0, 1), finest first: ``(B, 1, H, W)``, ``(B, 1, H/2, W/2)``, ``(B, 1, H/4, W/4)``.

        Args:
            features: as the encoder gives them for ``(B, 3, H, W)``, H and W at least 32.
            scales: how many; None for all that the decoder can make.
        """
        wanted = self.scales if scales is None else scales
        return in_full_precision(lambda *maps: self._decode(maps, wanted), *features)

    def _decode(self, features: tuple[Tensor, ...], wanted: int) -> tuple[Tensor, ...]:
        x = features[2]
        disparities = []
        for level in (2, 1, 0):
            before, after = self.decoder[4 - 2 * level], self.decoder[5 - 2 * level]
            x = _double(before(x))
            x = after(torch.cat([x, features[level - 1]], 1) if level else x)
            if level < wanted:
                disparities.append(_double(self.decoder[6 + level](x)).sigmoid())
        return tuple(reversed(disparities))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
