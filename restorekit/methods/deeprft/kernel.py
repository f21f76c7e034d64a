"""The Fourier kernel estimator: a deblurring kernel for each feature channel, found and applied in Fourier space.

What differs from the published code, at equal numbers: both 1x1 convolutions of the features are linear, so the features are
transformed once and the convolutions follow in Fourier space, where the first folds with the one after it. Transforms run in
float32 where autocast lowers the precision of the rest, for a spectrum spans more than half precision holds.

What is ours is the choice to estimate kernels in windows, as blur differs over a photograph, and spectra of a size never taught
differ from those that were.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from restorekit.layers import LayerNorm2d
from restorekit.layers.fourier import FourierProducts
from restorekit.layers.tracing import is_exported
from restorekit.layers.windows import Windows
from restorekit.methods.deeprft.columns import States, kernel_column

KERNEL = 65
"""Side of a kernel as it is shown."""


class _Response(nn.Module):
    """Normalisation, then a 1x1 convolution to the real and the imaginary parts of the response."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = LayerNorm2d(channels)
        self.ending = nn.Sequential(nn.Conv2d(channels, out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        response: Tensor = self.ending(self.norm(x))
        return response


def _conv1x1(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out_channels, 1, bias=False))


class KernelEstimator(nn.Module):
    """From features the frequency response K of each channel, and from that the features deblurred by it.

    With S the spectrum of the features F: a plane of real and imaginary parts of S, refined by a column of blocks, gives K, one
    complex number a channel and frequency; ``g = irfft2(Y K)``, where Y is a 1x1 convolution of S; the answer is a 1x1
    convolution of ``[g, F]``, and an image is a 3x3 convolution of that. A new, calm estimator's K is nearly 1: it leaves
    features nearly as they are.

    Args:
        channels: of the features.
        width: of the plane.
        counts, kinds: blocks of the column's levels; see :class:`restorekit.methods.deeprft.DeepRftConfig`.
        first: whether this is the first stage's.
        colours: channels of the image part.
        window: side of the windows kernels are estimated in, and their overlap; None for the whole map.
        reversible: see :class:`~restorekit.methods.deeprft.columns.Column`.
        calm: whether its K is nearly 1 at first.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        counts: Sequence[int],
        kinds: Sequence[str],
        first: bool,
        colours: int = 3,
        window: tuple[int, int] | None = None,
        reversible: bool = False,
        calm: bool = True,
    ) -> None:
        super().__init__()
        self.window = window
        self.feature_extract = nn.ModuleDict(
            {"intro_inp": _conv1x1(channels, width), "intro_deconv": _conv1x1(channels, channels)}
        )
        self.intro = nn.ModuleDict({"ending": _conv1x1(2 * width, width)})
        self.subnets_ker = kernel_column(counts, kinds, width, first, reversible)
        self.end_ker1 = _Response(width, 2 * channels)
        self.deblur_feature1 = _conv1x1(2 * channels, channels)
        self.end_feature1 = nn.Sequential(nn.Conv2d(channels, colours, 3, padding=1))
        if calm:
            with torch.no_grad():
                weight, bias = self.end_ker1.ending[0].parameters()
                weight.mul_(0.1)
                bias.copy_(torch.arange(2 * channels) < channels)

    def forward(self, features: Tensor, old: States) -> tuple[Tensor, Tensor, States]:
        """Deblurred features ``(B, C, H, W)``, the response, and the column's states.

        Args:
            features: ``(B, C, H, W)``, W even.
            old: states of the stage before.

        Returns:
            The response is ``(B n, 2C, h, w // 2 + 1)``, real parts first, for the n windows ``h x w`` of each map.
        """
        windows = Windows(features.shape[-2], features.shape[-1], self.window)
        plane, real, imaginary = self._transform(windows.cut(features))
        if not features.is_contiguous():
            plane = plane.contiguous(memory_format=torch.channels_last)
        states = self.subnets_ker(plane, old)
        response = self.end_ker1(states[-1].value).to(real.dtype)
        r, m = response.chunk(2, 1)
        with torch.autocast(features.device.type, enabled=False):
            deblurred = windows.merge(_inverse(real * r - imaginary * m, real * m + imaginary * r, windows.size))
        both = torch.cat([deblurred.to(features.dtype), features], 1)
        return self.deblur_feature1(both), response, states

    def _transform(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The plane that kernels are estimated from, and Y's real and imaginary parts."""
        with torch.autocast(features.device.type, enabled=False):
            precise = features if features.dtype == torch.float64 else features.float()
            if is_exported():
                parts = torch.stack(FourierProducts(precise.shape[-2], precise.shape[-1], precise).forward(precise), 1)
            else:
                parts = torch.stack(torch.view_as_real(torch.fft.rfft2(precise)).unbind(-1), 1)
            count = parts.shape[0]
            plane = nn.functional.conv2d(parts.flatten(1, 2), self._into_plane())
            real, imaginary = self.feature_extract["intro_deconv"](parts.flatten(0, 1)).unflatten(0, (count, 2)).unbind(1)
        return plane, real, imaginary

    def _into_plane(self) -> Tensor:
        """``intro.ending`` after ``intro_inp`` of real and of imaginary parts: ``(Wk, 2C, 1, 1)``."""
        (first,), (then,) = self.feature_extract["intro_inp"].parameters(), self.intro["ending"].parameters()
        folded = [part[:, :, 0, 0] @ first[:, :, 0, 0] for part in then.chunk(2, 1)]
        return torch.cat(folded, 1)[:, :, None, None]


def _inverse(real: Tensor, imaginary: Tensor, size: tuple[int, int]) -> Tensor:
    """The maps ``(..., h, w)`` of a spectrum's real and imaginary parts."""
    if is_exported():
        return FourierProducts(*size, real).inverse(real, imaginary)
    return torch.fft.irfft2(torch.complex(real, imaginary), s=size)


def spatial_kernels(response: Tensor, size: tuple[int, int], side: int = KERNEL) -> Tensor:
    """The middle ``(N, C, side, side)`` of the kernels that a response is of, centre at ``side // 2``; zeros around small ones.

    Args:
        response: ``(N, 2C, h, w // 2 + 1)``, real parts first.
        size: (h, w).
        side: rows and columns to give, odd.
    """
    real, imaginary = response.chunk(2, 1)
    kernels = _inverse(real, imaginary, size)
    if is_exported():  # where windows hold more than is given, and neither shifts nor margins may depend on their size
        for dim in (-2, -1):
            after, before = kernels.narrow(dim, 0, side // 2 + 1), kernels.narrow(dim, kernels.shape[dim] - side // 2, side // 2)
            kernels = torch.cat([before, after], dim)
        return kernels
    kernels = torch.fft.fftshift(kernels, dim=(-2, -1))
    (height, width), reach = size, side // 2
    top, left = reach - height // 2, reach - width // 2
    return nn.functional.pad(kernels, (left, side - left - width, top, side - top - height))


def kernel_picture(response: Tensor, windows: Windows, batch: int, patch: int) -> Tensor:
    """The mean kernel of the channels, drawn in the middle of each window: ``(B, 1, H, W)``, zero elsewhere.

    Args:
        response: of the windows, see :meth:`KernelEstimator.forward`.
        windows: where they lie on the features.
        batch: B.
        patch: pixels of the picture for each of the features. A kernel is drawn with one pixel for each of its values.
    """
    real, imaginary = response.chunk(2, 1)
    mean = torch.cat([part.mean(1, keepdim=True) for part in (real, imaginary)], 1)
    reach = min(KERNEL // 2, (windows.spacing * patch - 1) // 2)
    kernels = torch.unflatten(spatial_kernels(mean, windows.size, 2 * reach + 1), 0, (batch, -1))
    height, width = windows.plane
    if is_exported():
        row, column = ((side // 2) * patch - reach for side in windows.size)
        below, right = height * patch - row - 2 * reach - 1, width * patch - column - 2 * reach - 1
        return nn.functional.pad(kernels[:, 0], (column, right, row, below))
    picture = kernels.new_zeros(batch, 1, height * patch, width * patch)
    for number, (top, left) in enumerate(windows.corners):
        row, column = (top + windows.size[0] // 2) * patch - reach, (left + windows.size[1] // 2) * patch - reach
        picture[..., row : row + 2 * reach + 1, column : column + 2 * reach + 1] = kernels[:, number]
    return picture
