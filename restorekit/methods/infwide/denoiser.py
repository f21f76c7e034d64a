"""The denoiser of the image branch: the residual U-Net of USRNet ("Deep Unfolding Network for Image Super-Resolution", 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.layers import crop_to, pad_to_multiple

MULTIPLE = 8


class ResBlock(nn.Module):
    """``x + conv(relu(conv(x)))`` with 3x3 convolutions without bias, added in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.res = nn.Sequential(_conv3x3(channels, channels), nn.ReLU(inplace=True), _conv3x3(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.res(x).add_(x)


class ResUNet(nn.Module):
    """A clean image from a noisy one and the noise level of each of its channels. Gives the image itself, not a correction.

    Args:
        n_colors: channels of the image.
        widths: channels of the four levels, finest first.
    """

    def __init__(self, n_colors: int, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        n0, n1, n2, n3 = widths
        self.m_head = _conv3x3(2 * n_colors, n0)
        self.m_down1, self.m_down2, self.m_down3 = _down(n0, n1), _down(n1, n2), _down(n2, n3)
        self.m_body = nn.Sequential(ResBlock(n3), ResBlock(n3))
        self.m_up3, self.m_up2, self.m_up1 = _up(n3, n2), _up(n2, n1), _up(n1, n0)
        self.m_tail = _conv3x3(n0, n_colors)

    def forward(self, image: Tensor, level: Tensor) -> Tensor:
        """``(B, C, H, W)`` of any size, and its noise levels ``(B, C)``, to ``(B, C, H, W)``; not clipped."""
        levels = level[..., None, None].expand_as(image)
        x1 = self.m_head(pad_to_multiple(torch.cat([image, levels], 1), MULTIPLE, "replicate"))
        x2 = self.m_down1(x1)
        x3 = self.m_down2(x2)
        x4 = self.m_down3(x3)
        x = self.m_body(x4)
        x = self.m_up3(x + x4)
        x = self.m_up2(x + x3)
        x = self.m_up1(x + x2)
        return crop_to(self.m_tail(x + x1), *image.shape[-2:])


def _conv3x3(n_in: int, n_out: int) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)


def _down(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(ResBlock(n_in), ResBlock(n_in), nn.Conv2d(n_in, n_out, 2, stride=2, bias=False))


def _up(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose2d(n_in, n_out, 2, stride=2, bias=False), ResBlock(n_out), ResBlock(n_out))
