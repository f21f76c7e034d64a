"""RRFormer: reflections taken off photographs of any size, made for those of 8 and 33 megapixels (2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from restorekit.methods.base import Maps, Method, Paper, Prediction, Tiling
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.rrformer.network import Rrformer as Network
    from restorekit.methods.rrformer.objective import ReflectionRemoval

LEVEL_CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five levels of VGG-19."""

POOLS = (4, 8, 16, 32)
"""Sides of the cells of the pyramid pooling."""


@dataclass(frozen=True)
class RrformerConfig:
    """The network's hyper-parameters; the names are the authors' where they have one.

    Attributes:
        n_feats: channels at full size, a multiple of 4.
        dim: channels of the body, at half size.
        depths: blocks of each group of the body.
        heads: attention heads of each group.
        window: side of an attention window, in tokens.
        mlp_ratio: hidden channels of the body's MLPs for each of its own.
        hyper_levels: levels of VGG-19 that the network sees besides the image, from the finest; 0 for the image alone.
        use_body: whether the body counts. The published code computes it and throws its result away. False leaves it out, as
            ``compact`` does, where it took four fifths of the time and learnt nothing; with an ``img_size`` its weights are kept.
        train_vgg: whether VGG-19 learns with the rest; False keeps the ImageNet weights that a network must then be given.
        fold: blocks of fold x fold pixels become channels on the way in and pixels again on the way out.
        residual: the network gives what to take away from the image; False gives the answer itself, through a last ReLU.
        whole_cells: images are reflected up to whole cells of the pooling, so that tiles see what the whole image does; False
            drops incomplete cells, as published.
        smooth_cells: what the cells say is blended from each to the next; False gives every pixel what its cell says, as
            published, and leaves steps of up to 32 folded pixels in flat parts of an image.
        calm_groups: the convolution of a group of blocks sees what they added to what entered, and gives little at first. False
            lets it see their sum, and starts it as any other, as published: in short trainings at a high learning rate groups
            then outshout one another, each up to ten times the one before, until attention counts for nothing.
        drop_path_rate: probability with which the body's last block is left out while training; rises to it from 0.
        img_size: nominal image side of the authors' constructor, of ``patch_size`` pixels a token. Their checkpoints hold
            attention masks for it, and a convolution that is never used; None leaves both out.
        patch_size: see ``img_size``.
    """

    n_feats: int = 64
    dim: int = 64
    depths: tuple[int, ...] = (4, 4, 4, 4)
    heads: tuple[int, ...] = (4, 4, 4, 4)
    window: int = 8
    mlp_ratio: float = 2.0
    hyper_levels: int = 3
    use_body: bool = True
    train_vgg: bool = True
    fold: int = 2
    residual: bool = True
    whole_cells: bool = True
    smooth_cells: bool = True
    calm_groups: bool = True
    drop_path_rate: float = 0.0
    img_size: int | None = None
    patch_size: int = 4

    def __post_init__(self) -> None:
        if self.n_feats < 4 or self.n_feats % 4:
            raise ValueError("n_feats must be a multiple of 4")
        if not self.depths or len(self.depths) != len(self.heads) or min(*self.depths, *self.heads, self.dim) < 1:
            raise ValueError("depths and heads must be as many, and they and dim at least 1")
        if any(self.dim % heads for heads in self.heads):
            raise ValueError(f"heads must divide the {self.dim} channels of dim")
        if self.window < 2 or self.window % 2 or self.hidden < 1:
            raise ValueError("window must be even and at least 2, mlp_ratio positive")
        if not 0 <= self.hyper_levels <= len(LEVEL_CHANNELS):
            raise ValueError(f"hyper_levels must be from 0 to {len(LEVEL_CHANNELS)}")
        if self.fold < 1 or (self.fold > 1 and not self.whole_cells):
            raise ValueError("fold must be at least 1, and needs whole_cells if it is more")
        if self.smooth_cells and not self.whole_cells:
            raise ValueError("smooth_cells needs whole_cells")
        if not 0 <= self.drop_path_rate < 1:
            raise ValueError("drop_path_rate must be at least 0 and less than 1")
        if self.grid is not None and (self.grid < 1 or max(self.grid, self.window) % min(self.grid, self.window)):
            raise ValueError("img_size / patch_size and window must divide one another")

    @property
    def hidden(self) -> int:
        """Hidden channels of the body's MLPs."""
        return int(self.dim * self.mlp_ratio)

    @property
    def grid(self) -> int | None:
        """Side of the authors' nominal grid of tokens."""
        return None if self.img_size is None else self.img_size // self.patch_size

    @property
    def reach(self) -> int:
        """Pixels on each side that can change an answer, when images are cut at multiples of :attr:`multiple`."""
        pixels, rows = 0, 0
        for level in range(self.hyper_levels):
            rows = -(-rows // 2) + 1  # of this level; bilinear enlargement mixes in half a row
            pixels = math.ceil((rows + 0.5) * 2**level)
            rows += _MORE_CONVOLUTIONS[level]
        tokens = (pixels + 1) // 2 + 1
        for depth in self.depths if self.use_body else ():
            for block in range(depth):
                start = self.window // 2 * (block % 2)
                tokens = self.window * -(-(tokens - start) // self.window) + start
            tokens += 1
        tokens += self.use_body
        cell = POOLS[-1]
        return cell * (math.ceil((2 * tokens + 2) / cell) + self.smooth_cells) * self.fold  # blended with the next cell

    @property
    def multiple(self) -> int:
        """Pixels that images are cut at multiples of, so that cells and windows lie as in the whole image."""
        return math.lcm(POOLS[-1], 2 * self.window) * self.fold


_MORE_CONVOLUTIONS = (1, 1, 3, 3, 3)
"""How many convolutions follow the one a level is taken from, before the next pooling."""


@dataclass(frozen=True)
class RrformerPrediction(Prediction):
    """The photograph, and what lay over it.

    Attributes:
        image: ``(B, 3, H, W)``, without reflections.
        reflection: ``(B, 3, H, W)``, what was taken away: negative where the answer is brighter than the input.
    """

    reflection: Tensor


@dataclass(frozen=True)
class RrformerObjectiveSettings:
    """Settings of the loss; see :class:`restorekit.methods.rrformer.objective.ReflectionRemoval`.

    The paper has ``lambda_vgg = 0.1``, ``lambda_gan = 0.01`` and ``gan_from`` 20 epochs. Both weights are 0 by default, because
    the one needs ImageNet weights and the other a training that alternates.

    Attributes:
        mse: weight of the mean square error.
        gradient: weight of the mean absolute error of the gradients.
        psnr: weight of each image's negative PSNR in dB, see :func:`restorekit.losses.decibels`: with ``mse`` a few strong
            reflections take nearly all the gradient.
        eps: where that scale ends: 1e-4 is 40 dB.
        fidelity: ``"pixel"`` for pairs that are aligned. For others, what takes the place of pixel and feature loss: features
            before ReLU 5_2 (``"vgg"``), contextual loss (``"ctx"``), both (``"ctx_vgg"``), or mean square error (``"mse"``).
        lambda_vgg: weight of the feature loss.
        lambda_unaligned: weight of what takes the place of pixel and feature loss.
        lambda_gan: weight of the adversarial loss, of generator and discriminator.
        gan_from: step from which the adversarial loss counts.
        gan: ``"rasgan"`` (relativistic average), ``"rsgan"`` (relativistic) or ``"sgan"`` (standard).
        discriminator: one verdict for an image (``"disc_vgg"``), or one for each patch of it (``"disc_patch"``).
        seed: fixes the discriminator's first weights.
    """

    mse: float = 0.2
    gradient: float = 0.4
    psnr: float = 0.0
    eps: float = 1e-4
    fidelity: Literal["pixel", "vgg", "ctx", "ctx_vgg", "mse"] = "pixel"
    lambda_vgg: float = 0.0
    lambda_unaligned: float = 0.1
    lambda_gan: float = 0.0
    gan_from: int = 0
    gan: Literal["rasgan", "rsgan", "sgan"] = "rasgan"
    discriminator: Literal["disc_vgg", "disc_patch"] = "disc_vgg"
    seed: int = 0

    def __post_init__(self) -> None:
        weights = self.mse, self.gradient, self.psnr, self.lambda_vgg, self.lambda_unaligned, self.lambda_gan
        if min(*weights, self.gan_from, self.seed) < 0:
            raise ValueError("weights, gan_from and seed must not be negative")
        if self.eps <= 0:
            raise ValueError("eps must be above 0")


_PUBLISHED: dict[str, Any] = {
    "n_feats": 256,
    "dim": 240,
    "depths": (6, 6, 6, 6, 6),
    "heads": (6, 6, 6, 6, 6),
    "hyper_levels": 5,
    "train_vgg": False,
    "fold": 1,
    "residual": False,
    "whole_cells": False,
    "smooth_cells": False,
    "calm_groups": False,
    "drop_path_rate": 0.1,
    "img_size": 256,
}


class Rrformer(Method[RrformerConfig]):
    """Features of a classifier tell reflection from scene; window attention and pooling tell where it lies."""

    name = "rrformer"
    tasks = ("dereflect",)
    paper = Paper(
        "Benchmarking Ultra-High-Definition Image Reflection Removal", "arXiv", 2023, "https://arxiv.org/abs/2308.00265"
    )
    config_type = RrformerConfig
    presets = {
        "compact": RrformerConfig(hyper_levels=4, use_body=False),
        "paper": RrformerConfig(**_PUBLISHED),
        "published": RrformerConfig(**_PUBLISHED, use_body=False),
    }

    def build(self, config: RrformerConfig) -> Network:
        """See :meth:`Method.build`. A VGG that does not learn has to be filled: with a checkpoint, or by ``load_imagenet``."""
        from restorekit.methods.rrformer.network import Rrformer as Network

        return Network(config)

    def tiling(self, config: RrformerConfig) -> Tiling:
        """Exact at the network's reach with whole cells; without them every index depends on the size of the image. Less overlap
        does in practice: see ``benchmarks/tiling.py``.
        """
        return Tiling(
            multiple=config.multiple,
            halo=config.reach if config.whole_cells else None,
            overlap=config.multiple * math.ceil(96 / config.fold / config.multiple),
            minimum=max(256, 2 * config.multiple),
            bytes_per_pixel=_bytes_per_pixel(config),
        )

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        answer = network(image)
        return {"image": answer, "reflection": image - answer}

    def finish(self, maps: Maps, config: RrformerConfig) -> RrformerPrediction:
        return RrformerPrediction(maps["image"], maps["reflection"])

    def objective(self, config: RrformerConfig, settings: Mapping[str, Any]) -> ReflectionRemoval:
        from restorekit.methods.rrformer.objective import ReflectionRemoval

        return ReflectionRemoval(from_table(RrformerObjectiveSettings, settings, "[objective]"))

    def convert_state_dict(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoint with the ImageNet weights of VGG-19, which it does not hold.

        Raises:
            CheckpointError: if torchvision cannot give them.
        """
        from restorekit.methods.rrformer.checkpoint import with_vgg

        return with_vgg(state)

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> RrformerConfig:
        """The hyper-parameters of the network whose state dict this is, the authors' or ours, with or without VGG-19.

        What no shape tells is the authors' where their constants are in it, else our own. Whether the authors' body counts is
        read off its weights: in a checkpoint of the published code they are as they were made, for no gradient ever reached them.

        Raises:
            CheckpointError: if it lacks keys that every RRFormer has, or its shapes do not go together.
        """
        from restorekit.methods.rrformer.checkpoint import read_config

        return read_config(state)


def _bytes_per_pixel(config: RrformerConfig) -> int:
    """As measured: the larger of VGG's first maps and the decoder's maps at full size, or of the body's tokens."""
    full = 4 * 4 * max(config.n_feats, 64 if config.hyper_levels else 0)
    tokens = 4 * (9 * config.dim + 2 * config.hidden) // 4 if config.use_body else 0
    return max(full, tokens) // config.fold**2 + 64


METHOD = Rrformer()
