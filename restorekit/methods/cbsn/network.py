"""The conditional blind-spot network: one set of weights that can, or cannot, see the pixel it answers for.

Paper: "Self-supervised Image Denoising with Downsampled Invariance Loss and Conditional Blind-Spot Network" (C-BSN, ICCV 2023),
https://arxiv.org/abs/2304.09507. State dicts hold the variables of the authors' TensorFlow checkpoint under names and in the
layout of PyTorch; :mod:`restorekit.methods.cbsn.convert` maps one to the other.

What differs from the published code, at equal numbers:

* the two branches are not concatenated: each meets its half of the next 1x1 convolution, and the halves are added;
* rectifiers, and without gradients the sums after them, work in place;
* photographs are padded by what the network reaches, not more (:func:`restorekit.methods.cbsn.denoise.denoise`).

The dilated chains would split exactly into 2x2 and 3x3 images without dilation. That was measured not to pay on a CPU, where
dilated convolutions are as fast as dense ones.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

_SHRINKAGE = 0.87962566103423978
"""Standard deviation of a standard normal variable that was cut off at two."""


class BlindSpotConv2d(nn.Conv2d):
    """A ``kernel`` x ``kernel`` convolution, ``(B, C, H, W)`` to the same shape, without its centre tap where it is told so.

    The mask is a constant: it is not in the state dict, and stored weights keep their centre.
    """

    mask: Tensor

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2)
        mask = torch.ones(1, 1, kernel, kernel)
        mask[..., kernel // 2, kernel // 2] = 0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, blind: bool = False) -> Tensor:
        weight = self.weight * self.mask if blind else self.weight
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class DilatedConvModule(nn.Module):
    """DCM: ``x + relu(conv2(relu(conv1(x))))``, a dilated 3x3 convolution and a 1x1 one; the sum is not rectified."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        correction: Tensor = self.conv2(self.conv1(x).relu_()).relu_()
        if torch.is_grad_enabled():  # the gradient of a rectifier is taken from its result
            return x + correction
        return correction.add_(x)


class Branch(nn.Module):
    """A convolution that can be blind, then convolutions that cannot lead back to the pixel it left out.

    The first moves by an offset of at most ``kernel // 2``, the others by multiples of ``dilation``. As long as ``dilation`` is
    the larger, the two add up to zero only if the first offset is zero, and that tap is masked.
    """

    def __init__(self, channels: int, kernel: int, dilation: int, num_module: int) -> None:
        super().__init__()
        self.conv1 = BlindSpotConv2d(channels, kernel)
        self.conv2 = nn.Conv2d(channels, channels, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)
        self.dcm = nn.Sequential(*(DilatedConvModule(channels, dilation) for _ in range(num_module)))
        self.conv4 = nn.Conv2d(channels, channels, 1)

    def calm(self, factor: float = 0.1) -> None:
        """Let the corrections of fresh modules be smaller by ``factor``."""
        with torch.no_grad():
            for module in self.dcm:
                assert isinstance(module, DilatedConvModule)
                module.conv2.weight *= factor

    def forward(self, x: Tensor, blind: bool = False) -> Tensor:
        x = self.conv1(x, blind).relu_()
        x = self.conv3(self.conv2(x).relu_()).relu_()
        rectified: Tensor = self.conv4(self.dcm(x)).relu_()
        return rectified


class ConditionalBlindSpotNetwork(nn.Module):
    """C-BSN on normalised images. There is no skip from input to output in the paper: the image itself is what it writes.

    Args:
        filters: channels of both branches, F in the paper's tables.
        num_module: dilated modules of each branch, N.
        tail_channels: channels of the last two hidden layers; 64 in the published code, whatever F is.
        skip: where it may see the pixel, answer a correction of it, by a last layer ``seeing`` of its own that begins with zero.
            Its modules begin small too: with nothing to normalise them, sums of rectified corrections grow from one to the next,
            and a fresh network learns several times as fast from small ones. Not the paper's. Blind images are written as ever:
            they must not hold the pixel.

    Attributes:
        reach: pixels on each side of a pixel that its answer depends on, ``2 + 3 N``.
    """

    def __init__(self, filters: int, num_module: int, tail_channels: int, skip: bool) -> None:
        super().__init__()
        self.reach = 2 + 3 * num_module
        self.conv0 = nn.Conv2d(3, filters, 1)
        self.branch1 = Branch(filters, kernel=3, dilation=2, num_module=num_module)
        self.branch2 = Branch(filters, kernel=5, dilation=3, num_module=num_module)
        self.conv1 = nn.Conv2d(2 * filters, filters, 1)
        self.conv2 = nn.Conv2d(filters, tail_channels, 1)
        self.conv3 = nn.Conv2d(tail_channels, tail_channels, 1)
        self.conv4 = nn.Conv2d(tail_channels, 3, 1)
        self.seeing = nn.Conv2d(tail_channels, 3, 1) if skip else None
        self.apply(_initialise)
        if self.seeing is not None:
            nn.init.zeros_(self.seeing.weight)
            for branch in (self.branch1, self.branch2):
                branch.calm()

    def forward(self, x: Tensor, blind: bool = False) -> Tensor:
        """The denoised image ``(B, 3, H, W)`` of ``(B, 3, H, W)``, any H and W.

        Args:
            x: images of mean 0 and standard deviation 1; see :func:`restorekit.methods.cbsn.denoise.measure`.
            blind: f_M instead of f: no pixel of the answer depends on the same pixel of ``x``.
        """
        image = x
        x = self.conv0(x).relu_()
        for_first, for_second = self.conv1.weight.chunk(2, dim=1)
        y = F.conv2d(self.branch1(x, blind), for_first, self.conv1.bias)
        y += F.conv2d(self.branch2(x, blind), for_second)
        y = self.conv3(self.conv2(y.relu_()).relu_()).relu_()
        if self.seeing is None:
            return cast(Tensor, self.conv4(y))
        if blind:
            return _with(self.seeing, self.conv4(y))
        return _with(self.conv4, image + self.seeing(y))


def _with(idle: nn.Conv2d, answer: Tensor) -> Tensor:
    """The answer, with a layer that had no part in it: of a step with several passes, processes that share it out must not take
    for unused in one what the next uses.
    """
    if not (torch.is_grad_enabled() and distributed.is_available() and distributed.is_initialized()):
        return answer
    return answer + 0 * sum(parameter.sum() for parameter in idle.parameters())


def pass_through(network: ConditionalBlindSpotNetwork, noise: float = 0.005) -> None:
    """Make a fresh network that answers an image with about itself, so that a training has only to find what to change.

    Without a skip, which does the same, twice as many maps as the image has channels, its positive and its negative part, pass
    every rectifier unharmed: those are led through all layers as they are. What the other maps add to them begins small.

    Args:
        network: without a skip and with at least as many filters as that; others are left as they are.
        noise: factor of the weights by which other maps reach these.
    """
    channels = network.conv0.in_channels
    kept = 2 * channels
    first = network.branch1
    same = [first.conv1, first.conv2, first.conv3, first.conv4, network.conv1, network.conv2, network.conv3]
    if network.seeing is not None or min(layer.out_channels for layer in same) < kept:
        return
    parts = torch.cat([torch.eye(channels), -torch.eye(channels)])  # positive and negative part
    with torch.no_grad():
        for branch in (network.branch1, network.branch2):
            for module in branch.dcm:
                assert isinstance(module, DilatedConvModule)
                module.conv2.weight[:kept] *= noise
        _lead(network.conv0, parts, noise)
        for layer in same:
            _lead(layer, torch.eye(kept), noise)
        _lead(network.conv4, parts.T, noise)


def _lead(layer: nn.Conv2d, centre: Tensor, noise: float) -> None:
    """Give the first maps of a layer the weights ``(O, I)`` at its centre, and little of all else."""
    outputs, inputs = centre.shape
    layer.weight[:outputs] *= noise
    middle = layer.kernel_size[0] // 2
    layer.weight[:outputs, :inputs, middle, middle] += centre


def _initialise(module: nn.Module) -> None:
    """He's normal distribution, cut off at two standard deviations but for the convolutions that can be blind; biases zero."""
    if not isinstance(module, nn.Conv2d):
        return
    if module.weight.is_meta:  # to draw numbers nobody sees would import half of PyTorch's compiler
        return
    std = math.sqrt(2 / module.weight[0].numel())
    if isinstance(module, BlindSpotConv2d):
        nn.init.normal_(module.weight, std=std)
    else:
        std /= _SHRINKAGE
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    assert module.bias is not None
    nn.init.zeros_(module.bias)
