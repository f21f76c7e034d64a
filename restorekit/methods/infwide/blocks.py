"""What the refinement and fusion networks are made of. Attribute names are the authors': they make up the state dict's keys."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Conv(nn.Module):
    """A 5x5 convolution with bias that keeps the size, or halves it (upwards) with stride 2; ReLU if asked for."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1, relu: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(n_in, n_out, 5, stride, padding=2))
        if relu:
            self.body.append(nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Deconv(nn.Module):
    """A 3x3 transposed convolution with bias that exactly doubles the size, then ReLU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Res(nn.Module):
    """``x + conv(relu(conv(x)))``, added in place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels), nn.ReLU(inplace=True), Conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).add_(x)


def entry(n_in: int, n_out: int, stride: int = 1) -> nn.Sequential:
    """A convolution with ReLU, then three residual blocks: how features are first made, and how each encoder level starts."""
    return nn.Sequential(Conv(n_in, n_out, stride, relu=True), Res(n_out), Res(n_out), Res(n_out))


class InBlock(nn.Module):
    """From an image or features to a working width."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.inBlock = entry(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.inBlock(x)


class OutBlockA(nn.Module):
    """``n_resblock`` residual blocks."""

    def __init__(self, channels: int, n_resblock: int) -> None:
        super().__init__()
        self.outLayers = nn.Sequential(*(Res(channels) for _ in range(n_resblock)))

    def forward(self, x: Tensor) -> Tensor:
        return self.outLayers(x)


class OutBlockB(nn.Module):
    """From features to an image: a residual block and two convolutions without activation between them."""

    def __init__(self, channels: int, n_out: int) -> None:
        super().__init__()
        self.outLayers = nn.Sequential(Res(channels), Conv(channels, channels), Conv(channels, n_out))

    def forward(self, x: Tensor) -> Tensor:
        return self.outLayers(x)


def pad_like(x: Tensor, other: Tensor) -> Tensor:
    """``x`` with zeros at the bottom and on the right, up to the size of ``other``."""
    return F.pad(x, (0, other.shape[-1] - x.shape[-1], 0, other.shape[-2] - x.shape[-2]))


def crop_like(x: Tensor, other: Tensor) -> Tensor:
    """The middle of ``x`` of the size of ``other``. Of an odd surplus the larger part goes at the bottom and on the right.

    As the surplus of a U-Net lies at the bottom and on the right only, this shifts the decoder's map by one pixel against its
    skip where a size leaves 1 or 2 when divided by 4. The authors' weights expect it.
    """
    height, width = other.shape[-2:]
    top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
    return x[..., top : top + height, left : left + width]
