"""What tells real photographs from restored ones. Both see RGB in [0, 1] and give raw scores (logits).

Source: "Benchmarking Ultra-High-Definition Image Reflection Removal" (2023), after ERRNet (CVPR 2019), with the authors' keys
and shapes.
"""

from __future__ import annotations

from torch import Tensor, nn

SLOPE = 0.2


class VggDiscriminator(nn.Module):
    """One score for an image: ``(B, 3, H, W)`` to ``(B, 1, 1, 1)``, any size."""

    WIDTHS = (64, 128, 256, 512, 512)

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in self.WIDTHS:
            for stride in (1, 2):
                norm = [nn.GroupNorm(32, width)] if layers else []
                layers += [nn.Conv2d(channels, width, 3, stride, 1), *norm, nn.LeakyReLU(SLOPE, inplace=True)]
                channels = width
        self.body = nn.Sequential(*layers)
        self.tail = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, 1024, 1), nn.LeakyReLU(SLOPE, inplace=True), nn.Conv2d(1024, 1, 1)
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor) -> Tensor:
        score: Tensor = self.tail(self.body(image))
        return score


class PatchDiscriminator(nn.Module):
    """A score for each patch of 70 x 70 pixels: ``(B, 3, H, W)`` to ``(B, 1, h, w)``, about an eighth of the size."""

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width, stride in ((64, 2), (128, 2), (256, 2), (512, 1)):
            norm = [nn.InstanceNorm2d(width)] if layers else []
            layers += [nn.Conv2d(channels, width, 4, stride, 2), *norm, nn.LeakyReLU(SLOPE, inplace=True)]
            channels = width
        self.model = nn.Sequential(*layers, nn.Conv2d(channels, 1, 4, 1, 2))

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.model(image)
        return scores


DISCRIMINATORS = {"disc_vgg": VggDiscriminator, "disc_patch": PatchDiscriminator}
"""By the authors' names."""
