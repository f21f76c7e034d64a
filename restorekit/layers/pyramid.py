"""One step of the Gaussian pyramid."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

_BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_TWO_APART = (1 / 32, 5 / 32, 10 / 32, 10 / 32, 5 / 32, 1 / 32)  # the binomial, then the mean of two


def half_size(image: Tensor) -> Tensor:
    """``(B, C, H, W)``, H and W at least 3, smoothed and halved: ``(B, C, H // 2, W // 2)``.

    A 5x5 binomial filter over a reflected border, then bilinear interpolation between pixel centres: kornia's ``pyrdown``. Of
    even sizes that is the mean of 2x2 pixels, so that both are one separable convolution with stride 2.
    """
    height, width = image.shape[-2:]
    padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
    if height % 2 or width % 2:
        smooth = _convolve(padded, _BINOMIAL, 1)
        return F.interpolate(smooth, size=(height // 2, width // 2), mode="bilinear", align_corners=False)
    return _convolve(padded, _TWO_APART, 2)


def _convolve(x: Tensor, taps: tuple[float, ...], stride: int) -> Tensor:
    channels = x.shape[1]
    row = x.new_tensor(taps).expand(channels, 1, 1, len(taps))
    x = F.conv2d(x, row.mT, stride=(stride, 1), groups=channels)
    return F.conv2d(x, row, stride=(1, stride), groups=channels)
