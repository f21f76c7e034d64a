"""The hyper-parameters of the backbones; the names are the authors'. What is said nowhere is as published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from restorekit.methods.multi_output.caution import DOUBT

Backbone = Literal["nafnet", "restormer", "hinet", "mprnet"]

_OF_NAFNET = {"backbone": "nafnet"}
"""Metadata of a field that says nothing of other backbones; others ask for another field's value likewise."""


@dataclass(frozen=True)
class RestormerConfig:
    """A Restormer.

    Attributes:
        dim: channels D at full resolution; levels 2 to 4 have 2D, 4D and 8D, the decoder's level 1 has 2D.
        num_blocks: blocks of levels 1 to 4, finest first; the decoder has as many as the encoder.
        num_refinement_blocks: blocks at full resolution after the decoder.
        heads: attention heads of levels 1 to 4; not to be confused with ``n_heads``, the images given.
        ffn_expansion_factor: hidden channels of the feed-forward part for each of its own, rounded down to a whole number.
        bias: whether the convolutions of blocks, reductions and output have one.
        LayerNorm_type: whether normalisation takes the mean away (``"WithBias"``) or only divides (``"BiasFree"``).
    """

    dim: int = 48
    num_blocks: tuple[int, int, int, int] = (4, 6, 6, 8)
    num_refinement_blocks: int = 4
    heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    ffn_expansion_factor: float = 2.66
    bias: bool = False
    LayerNorm_type: Literal["WithBias", "BiasFree"] = "WithBias"

    def __post_init__(self) -> None:
        if self.dim < 2 or self.dim % 2:
            raise ValueError("dim must be even and at least 2")
        if min(self.num_blocks) < 1 or self.num_refinement_blocks < 0:
            raise ValueError("num_blocks must be at least 1, num_refinement_blocks at least 0")
        for level, heads in enumerate(self.heads):
            if heads < 1 or self.dim * 2**level % heads:
                raise ValueError(f"heads of level {level + 1} must divide its {self.dim * 2**level} channels")
        if self.hidden[0] < 1:
            raise ValueError("dim x ffn_expansion_factor must be at least 1")

    @property
    def hidden(self) -> tuple[int, int, int, int]:
        """Hidden channels of the feed-forward part for blocks as wide as levels 1 to 4."""
        one, two, three, four = (int(self.dim * 2**level * self.ffn_expansion_factor) for level in range(4))
        return (one, two, three, four)


@dataclass(frozen=True)
class HINetConfig:
    """A HINet.

    Attributes:
        wf: channels at full resolution; they double at each level.
        depth: levels of each of the two U-Nets.
        relu_slope: slope of the leaky ReLUs below zero.
        hin_position_left: the first level, from 0, whose block of the way down normalises half of its channels.
        hin_position_right: the last one; less than the first for none.
    """

    wf: int = 64
    depth: int = 5
    relu_slope: float = 0.2
    hin_position_left: int = 3
    hin_position_right: int = 4

    def __post_init__(self) -> None:
        if self.wf < 2 or self.wf % 2:
            raise ValueError("wf must be even and at least 2")
        if self.depth < 2:
            raise ValueError("depth must be at least 2")
        if not 0 <= self.relu_slope < 1:
            raise ValueError("relu_slope must lie from 0 to 1")


@dataclass(frozen=True)
class MPRNetConfig:
    """An MPRNet, with convolutions of 3x3 pixels without bias.

    Attributes:
        n_feat: channels of level 1.
        scale_unetfeats: channels more at each of the two lower levels.
        scale_orsnetfeats: channels more in the third stage, which has full resolution only.
        num_cab: blocks in a row there.
        reduction: how many times fewer channels the inside of channel attention has.
    """

    n_feat: int = 96
    scale_unetfeats: int = 48
    scale_orsnetfeats: int = 32
    num_cab: int = 8
    reduction: int = 4

    def __post_init__(self) -> None:
        if min(self.scale_unetfeats, self.scale_orsnetfeats) < 0 or min(self.num_cab, self.reduction) < 1:
            raise ValueError("scale_unetfeats and scale_orsnetfeats must not be negative, num_cab and reduction at least 1")
        if self.n_feat < self.reduction:
            raise ValueError("n_feat must be at least reduction")


@dataclass(frozen=True)
class DeconvolutionConfig:
    """A second stage, which estimates blur kernels and deconvolves by them (``deconvolution.py``).

    Attributes:
        window: about how many pixels a side the windows have that get a kernel each; they overlap by a quarter.
        support: side of kernels, in pixels, odd.
        width: channels of the networks that read kernels off planes of them.
        edge_width: channels of the network that sharpens edges.
        edge_versions: how many versions of the edges it gives.
        refinements: how often a kernel is improved.
        scales_width: channels of the network that weighs what they put back.
        surroundings: channels of what that network is told of the wider surroundings of each pixel.
        passes: how often all this is done, each time on what the time before gave.
    """

    window: int = 256
    support: int = 33
    width: int = 48
    edge_width: int = 16
    edge_versions: int = 3
    refinements: int = 2
    scales_width: int = 16
    surroundings: int = 8
    passes: int = 2

    def __post_init__(self) -> None:
        if self.support < 3 or self.support % 2 == 0:
            raise ValueError("support must be odd and at least 3")
        if self.window < 4 * self.support:
            raise ValueError("window must be at least four times support")
        if self.window % 8:
            raise ValueError("window must be a multiple of 8")
        at_least_1 = ("width", "edge_width", "edge_versions", "scales_width", "surroundings", "passes")
        if min(getattr(self, name) for name in at_least_1) < 1 or self.refinements < 0:
            raise ValueError(f"{', '.join(at_least_1)} must be at least 1, refinements at least 0")


@dataclass(frozen=True)
class MultiOutputConfig:
    """A network with one or several heads. The backbone is a NAFNet unless something else is said.

    Attributes:
        width: NAFNet's channels at full resolution.
        enc_blk_nums: NAFNet's blocks of each encoder level, finest first.
        middle_blk_num: NAFNet's blocks at the coarsest resolution.
        dec_blk_nums: NAFNet's blocks of each decoder level, coarsest first.
        n_heads: images the network gives; 1 is the plain backbone.
        combinate_heads: whether the averages of two heads count as candidates too (parameter multiplexing).
        train_size: rows and columns of the training crops, which fix the windows of TLC; None keeps channel attention global.
            Other backbones than NAFNet have no windows.
        answer: the image a user gets: the ``"mean"`` of the heads; ``"cautious"``, the mean, moved back to the input where the
            heads disagree (:mod:`restorekit.methods.multi_output.caution`); or the index of the head that validates best.
        doubt: how much their disagreement counts in a cautious answer.
        doubt_region: over how many pixels a side disagreement and correction are averaged before they are compared; 0 compares
            them pixel by pixel.
        doubt_power: how steeply an answer turns from the input to the mean where the one exceeds the other.
        backbone: the network that is given heads.
        deconvolution: a second stage after NAFNet; None for none.
        restormer: the shape of that backbone, the published one if nothing is said; likewise ``hinet`` and ``mprnet``.
    """

    width: int = field(default=16, metadata=_OF_NAFNET)
    enc_blk_nums: tuple[int, ...] = field(default=(1, 1, 2, 8), metadata=_OF_NAFNET)
    middle_blk_num: int = field(default=1, metadata=_OF_NAFNET)
    dec_blk_nums: tuple[int, ...] = field(default=(1, 1, 1, 1), metadata=_OF_NAFNET)
    n_heads: int = 4
    combinate_heads: bool = True
    train_size: tuple[int, int] | None = field(default=(256, 256), metadata=_OF_NAFNET)
    answer: int | Literal["mean", "cautious"] = "mean"
    doubt: float = field(default=DOUBT, metadata={"answer": "cautious"})
    doubt_region: int = field(default=0, metadata={"answer": "cautious"})
    doubt_power: float = field(default=1.0, metadata={"answer": "cautious"})
    backbone: Backbone = "nafnet"
    deconvolution: DeconvolutionConfig | None = field(default=None, metadata=_OF_NAFNET)
    restormer: RestormerConfig | None = None
    hinet: HINetConfig | None = None
    mprnet: MPRNetConfig | None = None

    def __post_init__(self) -> None:
        if len(self.enc_blk_nums) != len(self.dec_blk_nums):
            raise ValueError("enc_blk_nums and dec_blk_nums must have the same length")
        if self.width < 1 or self.n_heads < 1:
            raise ValueError("width and n_heads must be at least 1")
        if isinstance(self.answer, int) and not 0 <= self.answer < self.n_heads:
            raise ValueError(f"answer must be 'mean', 'cautious' or a head from 0 to {self.n_heads - 1}")
        if min(self.doubt, self.doubt_region) < 0:
            raise ValueError("doubt and doubt_region must not be negative")
        if not 1 <= self.doubt_power <= 4:  # below, gradients have no end at 0; above, float32 does not hold the least squares
            raise ValueError("doubt_power must be between 1 and 4")
        if self.answer == "cautious" and self.n_heads < 2:
            raise ValueError("answer = 'cautious' needs two heads or more, for it goes by their disagreement")
        if self.deconvolution is not None and self.backbone != "nafnet":
            raise ValueError("deconvolution is a second stage after NAFNet alone")
        for name, published in (("restormer", RestormerConfig), ("hinet", HINetConfig), ("mprnet", MPRNetConfig)):
            shape = getattr(self, name)
            if name == self.backbone:
                object.__setattr__(self, name, shape or published())  # so that equal networks have equal configurations
            elif shape is not None:
                raise ValueError(f"{name} says the shape of another backbone than {self.backbone}")
