"""Cross residual fusion: a two-stream U-Net over two scales that merges the image branch and the feature branch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.infwide.blocks import Conv, Deconv, InBlock, OutBlockA, OutBlockB, crop_like, pad_like

Streams = tuple[Tensor, Tensor]


class _CrossStage(nn.Module):
    """Two chains of ``n_conv - 1`` convolutions, each of whose results is corrected by the mean of both streams.

    The mean is all that crosses: the tails that follow, "12" and "21" in the keys, stay each in its own stream.
    """

    def __init__(self, channels: int, n_conv: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _chain(channels, n_conv - 1), _chain(channels, n_conv - 1)

    def mix(self, p: Tensor, q: Tensor) -> Streams:
        mean = (p + q) / 2
        return self.conv1(p) + mean, self.conv2(q) + mean


class CrossDown(_CrossStage):
    """A stage that halves the size and doubles the channels of both streams."""

    def __init__(self, channels: int, n_conv: int) -> None:
        super().__init__(channels, n_conv)
        self.conv12, self.conv21 = (_tail(Conv(channels, 2 * channels, stride=2, relu=True)) for _ in range(2))

    def forward(self, p: Tensor, q: Tensor) -> Streams:
        p, q = self.mix(p, q)
        return self.conv12(p), self.conv21(q)


class CrossUp(_CrossStage):
    """A stage that doubles the size and halves the channels of both streams."""

    def __init__(self, channels: int, n_conv: int) -> None:
        super().__init__(channels, n_conv)
        self.deconv12, self.deconv21 = (_tail(Deconv(channels, channels // 2)) for _ in range(2))

    def forward(self, p: Tensor, q: Tensor) -> Streams:
        p, q = self.mix(p, q)
        return self.deconv12(p), self.deconv21(q)


class CrossUNet(nn.Module):
    """Two levels of cross stages down and up, with a skip around each level of each stream; any size."""

    def __init__(self, width: int, n_conv: int) -> None:
        super().__init__()
        self.XRD1, self.XRD2 = CrossDown(width, n_conv), CrossDown(2 * width, n_conv)
        self.XRU2, self.XRU1 = CrossUp(4 * width, n_conv), CrossUp(2 * width, n_conv)

    def forward(self, p: Tensor, q: Tensor) -> Streams:
        p1, q1 = self.XRD1(p, q)
        p2, q2 = self.XRU2(*self.XRD2(p1, q1))
        p3, q3 = self.XRU1(pad_like(p1, p2) + p2, pad_like(q1, q2) + q2)
        return p + crop_like(p3, p), q + crop_like(q3, q)


class Fusion(nn.Module):
    """One image from two, at half size and, with the features of that, at full size by the same U-Net.

    Args:
        width: channels at full size.
        n_colors: channels of the images.
        n_resblock: residual blocks after the U-Net.
        n_conv: convolutions of each stage and stream, the tail included.
    """

    def __init__(self, width: int, n_colors: int, n_resblock: int, n_conv: int) -> None:
        super().__init__()
        self.InBlock11, self.InBlock12 = InBlock(n_colors, width), InBlock(n_colors, width)
        self.InBlock21, self.InBlock22 = InBlock(n_colors + width, width), InBlock(n_colors + width, width)
        self.XRFUnet = CrossUNet(width, n_conv)
        self.OutBlock_a1, self.OutBlock_a2 = OutBlockA(width, n_resblock), OutBlockA(width, n_resblock)
        self.OutBlock_b = OutBlockB(2 * width, n_colors)

    def forward(self, x1: Tensor, x2: Tensor, with_half: bool) -> tuple[Tensor, Tensor | None]:
        """The image merged from two ``(B, C, H, W)``, and that of half size, which only a loss needs (None unless asked for)."""
        height, width = x1.shape[-2:]
        full, half = (height, width), (_half(height), _half(width))
        a1, a2 = self._merge(self.InBlock11(resize(x1, half)), self.InBlock12(resize(x2, half)))
        out_half = self._image(a1, a2) if with_half else None
        in1 = self.InBlock21(torch.cat([resize(a1, full), x1], 1))
        in2 = self.InBlock22(torch.cat([resize(a2, full), x2], 1))
        return self._image(*self._merge(in1, in2)), out_half

    def _merge(self, p: Tensor, q: Tensor) -> Streams:
        p, q = self.XRFUnet(p, q)
        return self.OutBlock_a1(p), self.OutBlock_a2(q)

    def _image(self, a1: Tensor, a2: Tensor) -> Tensor:
        return self.OutBlock_b(torch.cat([a1, a2], 1))


def _chain(channels: int, length: int) -> nn.Sequential:
    """Convolutions with ReLU between them, none after the last."""
    return nn.Sequential(*(Conv(channels, channels, relu=i < length - 1) for i in range(length)))


def _tail(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(inplace=True), layer)


def _half(size: int) -> int:
    """``size / 2`` rounded half to even, in whole numbers so that an exported graph follows the size."""
    return size // 2 + size % 4 // 3


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """``(B, C, H, W)`` at another size ``(h, w)``, bilinearly."""
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
