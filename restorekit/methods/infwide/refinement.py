"""The feature branch after its deconvolution: a U-Net that turns restored features into an image."""

from __future__ import annotations

from torch import Tensor, nn

from restorekit.methods.infwide.blocks import Deconv, InBlock, OutBlockA, OutBlockB, Res, crop_like, entry, pad_like


class RefineUNet(nn.Module):
    """Two levels down and up around ``width`` channels; any size.

    Args:
        width: channels at full size; they double at each level.
        n_resblock: residual blocks of each decoder level. Encoder levels have three.
    """

    def __init__(self, width: int, n_resblock: int) -> None:
        super().__init__()
        self.encoder_first = entry(width, 2 * width, stride=2)
        self.encoder_second = entry(2 * width, 4 * width, stride=2)
        self.decoder_second = _decoder(4 * width, n_resblock)
        self.decoder_first = _decoder(2 * width, n_resblock)

    def forward(self, x: Tensor) -> Tensor:
        first = self.encoder_first(x)
        second = self.decoder_second(self.encoder_second(first))
        return x + crop_like(self.decoder_first(pad_like(first, second) + second), x)


def _decoder(channels: int, n_resblock: int) -> nn.Sequential:
    return nn.Sequential(*(Res(channels) for _ in range(n_resblock)), Deconv(channels, channels // 2))


class FeatureRefinement(nn.Module):
    """Deconvolved features ``(B, feat, H, W)`` to an image ``(B, n_colors, H, W)``."""

    def __init__(self, feat: int, width: int, n_colors: int, n_resblock: int) -> None:
        super().__init__()
        self.InBlock2 = InBlock(feat, width)
        self.RefineUnet = RefineUNet(width, n_resblock)
        self.OutBlock_a = OutBlockA(width, n_resblock)
        self.OutBlock_b = OutBlockB(width, n_colors)

    def forward(self, x: Tensor) -> Tensor:
        return self.OutBlock_b(self.OutBlock_a(self.RefineUnet(self.InBlock2(x))))
