"""DeepRFTv2: one blurred photograph in, the sharp one and the kernels that made it out.

Paper: "DeepRFTv2: Kernel-level Learning for Image Deblurring" (2025, https://arxiv.org/abs/2511.21132). State dicts have the
authors' keys and shapes.

What differs from the published code, at equal numbers: see :mod:`~restorekit.methods.deeprft.scan`,
:mod:`~restorekit.methods.deeprft.blocks`, :mod:`~restorekit.methods.deeprft.kernel` and
:class:`~restorekit.methods.deeprft.columns.Column`; smoothing and halving the image is one convolution; the third level of its
pyramid, which nothing uses, is not made; images that only the loss needs are made only when asked for; images of any size are
padded to the multiple that the levels need, and the answer is cropped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple
from restorekit.layers.pyramid import half_size
from restorekit.layers.windows import Windows
from restorekit.methods.deeprft import DeepRftConfig
from restorekit.methods.deeprft.blocks import Means
from restorekit.methods.deeprft.columns import Down, States, decoder, encoder
from restorekit.methods.deeprft.kernel import KernelEstimator, kernel_picture
from restorekit.methods.deeprft.reversible import State


class Answers(NamedTuple):
    """What the network says: images ``(B, 3, H, W)`` in the input's range, not clipped.

    Attributes:
        image: the answer, the last stage's.
        responses: the frequency response of each stage at full scale, then of each at half scale; see
            :meth:`~restorekit.methods.deeprft.kernel.KernelEstimator.forward`.
        images: before and after the kernels of the first stage, then of the next; the last is the answer. Empty unless asked for.
        halves: the same at half size, ``(B, 3, H // 2, W // 2)``.
    """

    image: Tensor
    responses: tuple[Tensor, ...]
    images: tuple[Tensor, ...] = ()
    halves: tuple[Tensor, ...] = ()


class Embedding(nn.Module):
    """An image as features: squares of pixels become channels, then a 3x3 convolution without bias."""

    def __init__(self, patch: int, channels: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(3 * patch**2, channels, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = self.proj(F.pixel_unshuffle(image, self.patch))
        return features


class GlobalModel(nn.Module):
    """The stages; sizes must be multiples of ``config.multiple``. See :class:`DeepRFT`."""

    def __init__(self, config: DeepRftConfig) -> None:
        super().__init__()
        c, stages, colours = config.dims, range(config.num_global_unet), 3 * config.patch**2
        self.patch = config.patch
        fine, coarse = (_means(config, scale) for scale in (1, 2))
        self.patch_embed_maxs = nn.ModuleList(Embedding(config.patch, c) for _ in stages)
        self.patch_embed_mids = nn.ModuleList(Embedding(config.patch, c) for _ in stages)
        self.patch_embed_maxs2 = nn.ModuleList(nn.Conv2d(2 * c, c, 1) if i else nn.Identity() for i in stages)
        self.patch_embed_mids2 = nn.ModuleList(nn.Conv2d(2 * c, c, 1) if i else nn.Identity() for i in stages)
        self.subnets_max = nn.ModuleList(
            encoder(counts, kinds, c, fine, False, config.reversible)
            for counts, kinds in zip(config.enc_max_layers, config.baseblock_enc_max, strict=True)
        )
        self.subnets_mid = nn.ModuleList(
            encoder(counts, kinds, c, coarse, True, config.reversible)
            for counts, kinds in zip(config.enc_mid_layers, config.baseblock_enc_mid, strict=True)
        )
        self.subdenets_max = nn.ModuleList(
            decoder(counts, kinds, c, fine, config.reversible)
            for counts, kinds in zip(config.dec_max_layers, config.baseblock_dec_max, strict=True)
        )
        self.subdenets_mid = nn.ModuleList(
            decoder(counts, kinds, c, coarse, config.reversible)
            for counts, kinds in zip(config.dec_mid_layers, config.baseblock_dec_mid, strict=True)
        )
        self.down_max1, self.down_max2, self.down_max3 = (
            nn.ModuleList(Down(c << level, c << level) for _ in stages) for level in range(3)
        )
        self.down_mid2max = nn.ModuleList(Down(c, 4 * c) for _ in stages)
        self.fusd_max_2 = nn.ModuleList(nn.Conv2d(8 * c, 4 * c, 1) for _ in stages)
        self.output_maxs = nn.ModuleList(nn.Conv2d(c, colours, 3, padding=1) for _ in stages)
        self.output_mids = nn.ModuleList(nn.Conv2d(c, colours, 3, padding=1) for _ in stages)
        self.kernel_estimator = nn.ModuleList(_estimator(config, 1, first=not i) for i in stages)
        self.mid_kernel_estimator = nn.ModuleList(_estimator(config, 2, first=not i) for i in stages)
        if config.calm:
            self._calm()

    @torch.no_grad()
    def _calm(self) -> None:
        """A new network's answers are near its input."""
        estimators = (*self.kernel_estimator, *self.mid_kernel_estimator)
        for head in (*self.output_maxs, *self.output_mids, *(e.get_submodule("end_feature1.0") for e in estimators)):
            weight, bias = head.parameters()
            weight.mul_(0.1)
            bias.zero_()

    def forward(self, image: Tensor, half: Tensor, everything: bool) -> Answers:
        fine: States = (None, None, None)
        coarse: States = (None, None, None)
        fine_end: State | None = None
        coarse_end: State | None = None
        fine_kernel: States = (None, None, None, None)
        coarse_kernel: States = (None, None, None, None)
        features: Tensor | None = None
        coarse_features: Tensor | None = None
        images: list[Tensor] = []
        halves: list[Tensor] = []
        responses: list[Tensor] = []
        coarse_responses: list[Tensor] = []
        for i in range(len(self.subnets_max)):
            wanted = everything or i == len(self.subnets_max) - 1
            x = _embedded(image, features, self.patch_embed_maxs[i], self.patch_embed_maxs2[i])
            e1, e2, e3 = self.subnets_max[i](x, fine)
            downs = (self.down_max1[i], self.down_max2[i], self.down_max3[i])
            below = [down(state.value) for down, state in zip(downs, (e1, e2, e3), strict=True)]

            x = _embedded(half, coarse_features, self.patch_embed_mids[i], self.patch_embed_mids2[i])
            f1, f2, f3 = self.subnets_mid[i](x, coarse, below)
            f2, f1, coarse_end = self.subdenets_mid[i](f3.value, (f2, f1, coarse_end))
            coarse = (f1, f2, f3)
            coarse_features, response, coarse_kernel = self.mid_kernel_estimator[i](coarse_end.value, coarse_kernel)
            coarse_responses.append(response)

            latent = self.fusd_max_2[i](torch.cat([self.down_mid2max[i](coarse_features), e3.value], 1))
            e2, e1, fine_end = self.subdenets_max[i](latent, (e2, e1, fine_end))
            fine = (e1, e2, State(latent))
            features, response, fine_kernel = self.kernel_estimator[i](fine_end.value, fine_kernel)
            responses.append(response)
            if everything:
                halves.append(self._image(coarse_end.value, self.output_mids[i], half))
                halves.append(self._image(coarse_features, self.mid_kernel_estimator[i].end_feature1, half))
                images.append(self._image(fine_end.value, self.output_maxs[i], image))
            if wanted:
                images.append(self._image(features, self.kernel_estimator[i].end_feature1, image))
        if not everything:
            return Answers(images[-1], (*responses, *coarse_responses))
        return Answers(images[-1], (*responses, *coarse_responses), tuple(images), tuple(halves))

    def _image(self, features: Tensor, head: Any, blurred: Tensor) -> Tensor:
        return F.pixel_shuffle(head(features), self.patch) + blurred


def _embedded(image: Tensor, deblurred: Tensor | None, embedding: nn.Module, merging: nn.Module) -> Tensor:
    """The image as features, with the deblurred features of the stage before where there is one."""
    features: Tensor = embedding(image)
    if deblurred is None:
        return features
    merged: Tensor = merging(torch.cat([features, deblurred.to(features.dtype)], 1))
    return merged


def _means(config: DeepRftConfig, scale: int) -> list[Means]:
    """The means of the three levels of the net at 1 / ``scale``, finest first: over 1.5 times a training crop's size there."""
    if config.train_size is None:
        return [Means()] * 3
    crop = [side // config.patch // scale for side in config.train_size]
    windows = [(int(1.5 * (crop[0] >> level)), int(1.5 * (crop[1] >> level))) for level in range(3)]
    return [Means(window, config.train_cells) for window in windows]


def _kernel_window(config: DeepRftConfig, scale: int) -> tuple[int, int] | None:
    if config.kernel_window is None:
        return None
    pixels = config.patch * scale
    return config.kernel_window // pixels, config.kernel_overlap // pixels


def _estimator(config: DeepRftConfig, scale: int, first: bool) -> KernelEstimator:
    return KernelEstimator(
        config.dims,
        config.dims_ker,
        config.enc_ker_layers,
        config.baseblock_enc_ker,
        first,
        3 * config.patch**2,
        _kernel_window(config, scale),
        config.reversible,
        config.calm,
    )


class DeepRFT(nn.Module):
    """Two nets that estimate kernels in Fourier space, stage after stage.

    ``image`` and ``half``, the image at half size, each run through an encoder, a decoder and a kernel estimator; the encoder of
    the half-size net takes the other's levels in, and the other's decoder its deblurred features. The next stage goes on from
    all states.

    Args:
        config: the hyper-parameters.
    """

    def __init__(self, config: DeepRftConfig) -> None:
        super().__init__()
        self.multiple = config.multiple
        self.patch = config.patch
        self.window = _kernel_window(config, 1)
        self.global_model = GlobalModel(config)

    def forward(self, image: Tensor, everything: bool = False, half: Tensor | None = None) -> Answers:
        """Deblur ``(B, 3, H, W)``, RGB in [0, 1], any size.

        Args:
            image: the photograph, or a tile of one.
            everything: whether to give what the loss needs, too.
            half: the image at half size, if this is a tile and its border shall know what lies beyond; sizes must be multiples
                of the network's then.
        """
        height, width = image.shape[-2:]
        padded = reflect_to_multiple(image, self.multiple)
        if self.training:
            padded = padded + 0 * self._idle()
        answers: Answers = self.global_model(padded, half_size(padded) if half is None else half, everything)
        return Answers(
            crop_to(answers.image, height, width),
            answers.responses,
            tuple(crop_to(x, height, width) for x in answers.images),
            tuple(crop_to(x, height // 2, width // 2) for x in answers.halves),
        )

    def kernels(self, answers: Answers) -> Tensor:
        """The kernels of the last stage at full scale as a picture ``(B, 1, H, W)``, see
        :func:`~restorekit.methods.deeprft.kernel.kernel_picture`.
        """
        batch, _, height, width = answers.image.shape
        # not -(-side // multiple): in a graph that would round towards zero
        blocks = ((side + self.multiple - 1) // self.multiple for side in (height, width))
        rows, columns = (count * (self.multiple // self.patch) for count in blocks)
        response = answers.responses[len(answers.responses) // 2 - 1]
        picture = kernel_picture(response, Windows(rows, columns, self.window), batch, self.patch)
        return crop_to(picture, height, width)

    def _idle(self) -> Tensor:
        """The sum of what the first stage does not use, as it has no old states: a gradient of 0, which several processes that
        train together must agree on.
        """
        model = self.global_model
        names = [f"{net}.0.alpha{level}" for net in ("subnets_max", "subnets_mid") for level in range(3)]
        names += [f"{net}.0.alpha2" for net in ("subdenets_max", "subdenets_mid")]  # the others' states are the encoders'
        estimators = ("kernel_estimator", "mid_kernel_estimator")
        names += [f"{estimator}.0.subnets_ker.alpha{level}" for estimator in estimators for level in range(4)]
        return torch.cat([model.get_parameter(name).flatten() for name in names]).sum()
