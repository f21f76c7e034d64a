"""RRFormer: what VGG-19 sees in a photograph, a transformer at half size, and pooling at four scales, to take reflections off.

Paper: "Benchmarking Ultra-High-Definition Image Reflection Removal" (2023, https://arxiv.org/abs/2308.00265). State dicts have
the authors' keys and shapes, and VGG-19's besides, under torchvision's names.

The published code computes its transformer body and then goes on with the body's input: the body does nothing. ``use_body=False``
is that network, without the work; ``use_body=True`` is the one the paper describes.

What differs from the published code, at equal numbers: neither the 1475 channels of image and hypercolumns nor the concatenation
of the pooled maps is ever made. A 1x1 convolution of a concatenation is a sum of 1x1 convolutions, and it commutes with resizing
channel by channel, so each map is convolved at its own size, to few channels, and its result is enlarged and added. For attention
see :mod:`~restorekit.methods.rrformer.body`. Any image size works, and answers have the size of the image.

What a configuration may change besides: fewer levels of VGG, which may learn with the rest; the answer as a difference from the
image; whole cells, and smooth ones (:class:`PyramidPooling`); blocks of pixels folded into channels, which makes all of it
cheaper.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple
from restorekit.methods.rrformer import LEVEL_CHANNELS, POOLS, RrformerConfig
from restorekit.methods.rrformer.body import SwinBody
from restorekit.methods.rrformer.vgg import LEVELS, Vgg19, imagenet_weights

SLOPE = 0.2


class PyramidPooling(nn.Module):
    """A map ``(B, n, H, W)`` and its means over cells of 4, 8, 16 and 32 pixels, merged: ``(B, n, H, W)``, no side under 32.

    ``LeakyReLU(bottleneck([nearest(LeakyReLU(W_s mean_s(x))) for s] + [x]))``; incomplete cells at the right and the bottom are
    dropped, and the means that are left are stretched over the whole. Smooth cells are enlarged bilinearly, each size to the next
    finer: nothing else would hide their edges, as only 1x1 convolutions follow.

    Args:
        channels: n, a multiple of 4.
        whole_cells: H and W are always multiples of 32. Then larger cells are made of smaller ones, and the four maps are added
            up from coarse to fine: the same numbers without four maps at full size.
        smooth: blend cells into their neighbours; only of whole cells.
    """

    def __init__(self, channels: int, whole_cells: bool = False, smooth: bool = False) -> None:
        super().__init__()
        self.whole_cells = whole_cells
        self.enlargement = "bilinear" if smooth else "nearest"
        branch = channels // len(POOLS)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AvgPool2d(size), nn.Conv2d(channels, branch, 1, bias=False), nn.LeakyReLU(SLOPE)) for size in POOLS
        )
        self.bottleneck = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        *pooled, own = torch.split(self.bottleneck.weight, [*(channels // len(POOLS) for _ in POOLS), channels], 1)
        y = F.conv2d(x, own, self.bottleneck.bias)
        for z in self._nested(x, pooled) if self.whole_cells else self._direct(x, pooled):
            y += F.interpolate(z, y.shape[-2:], mode=self.enlargement)
        return F.leaky_relu(y, SLOPE, inplace=True)

    def _direct(self, x: Tensor, weights: list[Tensor]) -> list[Tensor]:
        return [F.conv2d(stage(x), weight) for stage, weight in zip(self.stages, weights, strict=True)]

    def _nested(self, x: Tensor, weights: list[Tensor]) -> list[Tensor]:
        means = [F.avg_pool2d(x, POOLS[0])]
        for _ in POOLS[1:]:
            means.append(F.avg_pool2d(means[-1], 2))
        stages = zip(means, self.stages, weights, strict=True)
        *finer, total = (F.conv2d(stage[2](stage[1](mean)), weight) for mean, stage, weight in stages)  # type: ignore[index]
        for z in reversed(finer):
            total = z + F.interpolate(total, scale_factor=2.0, mode=self.enlargement)
        return [total]


class Rrformer(nn.Module):
    """The network of a :class:`~restorekit.methods.rrformer.RrformerConfig`. What takes no part in the answer does not learn."""

    def __init__(self, config: RrformerConfig) -> None:
        super().__init__()
        self.config = config
        n, dim = config.n_feats, config.dim
        if config.hyper_levels:
            self.features = Vgg19(LEVELS[config.hyper_levels - 1]).requires_grad_(config.train_vgg)
        self.conv1 = _named(nn.Conv2d(sum(self._inputs()), n, 1))
        self.conv2 = _named(nn.Conv2d(n, n, 3, padding=1))
        self.conv3 = _named(nn.Conv2d(n, dim, 3, stride=2, padding=1))
        if config.use_body or config.grid is not None:
            arguments = (config.depths, config.heads, config.window, config.hidden, config.drop_path_rate, config.grid)
            self.swinir_block = SwinBody(dim, *arguments, calm=config.calm_groups)
            if not config.use_body:
                self.swinir_block.requires_grad_(False)
        self.deconv1 = _named(nn.ConvTranspose2d(dim, n, 4, stride=2, padding=1))
        self.deconv2 = _named(nn.Conv2d(n, n, 3, padding=1))
        self.pyramid_module = PyramidPooling(n, config.whole_cells, config.smooth_cells)
        self.deconv3 = _named(nn.Conv2d(n, 3 * config.fold**2, 1))

    def forward(self, image: Tensor) -> Tensor:
        """The photograph without reflections for ``(B, 3, H, W)``, RGB in [0, 1], any H and W; not clipped.

        Where the answer is a difference from the image, that is taken in the image's own precision, so that under autocast only
        the difference is rounded.
        """
        height, width = image.shape[-2:]
        x = self.encode(self._pad(image))
        if self.config.use_body:
            x = self.swinir_block(x)
        answer = F.pixel_shuffle(self.deconv3(self.decode(x)), self.config.fold)
        answer = crop_to(answer, height, width)
        return image - answer if self.config.residual else F.relu(answer)

    def encode(self, image: Tensor) -> Tensor:
        """The features ``(B, dim, ceil(H / 2), ceil(W / 2))`` of ``(B, 3, H, W)``, in folded pixels: what enters the body."""
        fold = self.config.fold
        weight, bias = self.conv1.get_parameter("conv2d.weight"), self.conv1.get_parameter("conv2d.bias")
        own, *projections = torch.split(weight, self._inputs(), 1)
        x = F.conv2d(F.pixel_unshuffle(image, fold), own, bias)
        if projections:
            seen = F.avg_pool2d(image, fold) if fold > 1 else image
            if not self.config.train_vgg:
                seen = seen.detach()
            depths = LEVELS[: len(projections)]
            for i, (level, projection) in enumerate(zip(self.features.maps(seen, depths), projections, strict=True)):
                projected = F.conv2d(level, projection)
                x += F.interpolate(projected, x.shape[-2:], mode="bilinear") if i else projected
        x = self.conv2(F.relu(x, inplace=True))
        return F.relu(self.conv3(F.relu(x, inplace=True)), inplace=True)

    def decode(self, x: Tensor) -> Tensor:
        """Features ``(B, n_feats, 2h, 2w)`` of ``(B, dim, h, w)``: what enters the last convolution."""
        x = F.relu(self.deconv1(x), inplace=True)
        x = F.relu(self.deconv2(x), inplace=True)
        y: Tensor = self.pyramid_module(x)
        return y

    def load_imagenet(self) -> None:
        """Fill the VGG of a fresh network with the weights torchvision has for it; none to fill is fine.

        Raises:
            CheckpointError: if they cannot be had.
        """
        if self.config.hyper_levels:
            self.features.load_state_dict(imagenet_weights(len(self.features)))

    def _inputs(self) -> list[int]:
        """Channels that enter ``conv1``: the folded image, then the levels."""
        return [3 * self.config.fold**2, *LEVEL_CHANNELS[: self.config.hyper_levels]]

    def _pad(self, image: Tensor) -> Tensor:
        if self.config.whole_cells or min(image.shape[-2:]) < POOLS[-1] - 1:
            return reflect_to_multiple(image, POOLS[-1] * self.config.fold)
        return image


def _named(convolution: nn.Module) -> nn.Sequential:
    """A convolution under the name that the authors' keys have for it."""
    return nn.Sequential(OrderedDict(conv2d=convolution))
