"""Histoformer: rain, snow, fog and drops taken off a photograph by one network (ECCV 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from restorekit.methods.base import Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.histoformer.network import Histoformer as Network


@dataclass(frozen=True)
class HistoformerConfig:
    """The network's hyper-parameters; the names are the authors'.

    Attributes:
        dim: channels D at full resolution; levels 2 to 4 have 2D, 4D and 8D, the decoder's level 1 has 2D.
        num_blocks: blocks of levels 1 to 4, finest first; the decoder has as many as the encoder.
        num_refinement_blocks: blocks at full resolution after the decoder.
        heads: attention heads, which are also histogram bins, of levels 1 to 4.
        ffn_expansion_factor: hidden channels of the feed-forward part for each of its own, rounded down to a whole number.
        bias: whether the convolutions of blocks, reductions and output have one.
        LayerNorm_type: whether normalisation takes the mean away (``"WithBias"``) or only divides (``"BiasFree"``). It has no
            parameters either way.
        fold: blocks of fold x fold pixels become channels on the way in and pixels again on the way out; 1 as published.
    """

    dim: int = 24
    num_blocks: tuple[int, int, int, int] = (1, 2, 3, 3)
    num_refinement_blocks: int = 1
    heads: tuple[int, int, int, int] = (1, 2, 4, 8)
    ffn_expansion_factor: float = 2.667
    bias: bool = False
    LayerNorm_type: Literal["WithBias", "BiasFree"] = "WithBias"
    fold: int = 1

    def __post_init__(self) -> None:
        if self.dim < 2 or self.dim % 2:
            raise ValueError("dim must be even and at least 2")
        if min(self.num_blocks) < 1 or self.num_refinement_blocks < 0:
            raise ValueError("num_blocks must be at least 1, num_refinement_blocks at least 0")
        if self.fold < 1:
            raise ValueError("fold must be at least 1")
        for level, (heads, channels) in enumerate(zip(self.heads, self.channels, strict=True), start=1):
            if heads < 1 or channels % heads:
                raise ValueError(f"heads of level {level} must divide its {channels} channels")
        if min(self.hidden) < 4 or any(hidden % 4 for hidden in self.hidden):
            hidden = ", ".join(map(str, self.hidden))
            raise ValueError(f"dim x ffn_expansion_factor must give multiples of 4 at all levels, not {hidden}")

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of levels 1 to 4."""
        return (self.dim, 2 * self.dim, 4 * self.dim, 8 * self.dim)

    @property
    def hidden(self) -> tuple[int, int, int, int]:
        """Hidden channels of the feed-forward part for blocks as wide as levels 1 to 4."""
        one, two, three, four = (int(channels * self.ffn_expansion_factor) for channels in self.channels)
        return (one, two, three, four)


@dataclass(frozen=True)
class HistoformerObjectiveSettings:
    """Weights of the terms. The defaults are those of the paper's code.

    Attributes:
        l1: of the mean absolute error.
        correlation: of the loss by Pearson's correlation: 0 where both rise and fall together, 1 where one falls as the other
            rises.
        psnr: of each image's negative PSNR, in dB: little drops on a large photograph then count as much as haze all over it.
        eps: added to the mean square error there; ``-10 log10(eps)`` dB is where that scale ends.
    """

    l1: float = 1.0
    correlation: float = 1.0
    psnr: float = 0.0
    eps: float = 1e-4

    def __post_init__(self) -> None:
        weights = (self.l1, self.correlation, self.psnr)
        if min(weights) < 0 or not any(weights):
            raise ValueError("l1, correlation and psnr must not be negative, nor all 0")
        if self.eps <= 0:
            raise ValueError("eps must be positive")


class Histoformer(Method[HistoformerConfig]):
    """A U-Net whose attention groups pixels by brightness: weather veils what is alike alike, wherever it lies."""

    name = "histoformer"
    tasks = ("weather", "derain", "desnow", "dehaze", "deraindrop")
    paper = Paper(
        "Restoring Images in Adverse Weather Conditions via Histogram Transformer",
        "ECCV",
        2024,
        "https://arxiv.org/abs/2407.10172",
    )
    config_type = HistoformerConfig
    views = 2
    presets = {
        "compact": HistoformerConfig(fold=2),
        "compact-whole": HistoformerConfig(),
        "compact-s": HistoformerConfig(num_blocks=(2, 2, 3, 3), num_refinement_blocks=2),
        "compact-xxs": HistoformerConfig(dim=16, num_blocks=(1, 2, 4, 6), ffn_expansion_factor=2.5),
        "paper": HistoformerConfig(dim=36, num_blocks=(4, 4, 6, 8), num_refinement_blocks=4),
    }

    def build(self, config: HistoformerConfig) -> Network:
        from restorekit.methods.histoformer.network import Histoformer as Network

        return Network(
            config.dim,
            config.num_blocks,
            config.num_refinement_blocks,
            config.heads,
            config.hidden,
            config.bias,
            config.LayerNorm_type,
            config.fold,
        )

    def tiling(self, config: HistoformerConfig) -> Tiling:
        """Global: every sort and every score sees the whole image, so tiles are a compromise at any overlap, and without an
        anchor show as blocks of tone. Memory as measured: 130 to 210 bytes per folded pixel for each of ``dim``.
        """
        memory = 210 * config.dim // config.fold**2 + 48
        return Tiling(multiple=8 * config.fold, halo=None, overlap=32, minimum=128, bytes_per_pixel=memory, anchor=64)

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        return {"image": network(image)}

    def finish(self, maps: Maps, config: HistoformerConfig) -> Prediction:
        return Prediction(maps["image"])

    def objective(self, config: HistoformerConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.histoformer.objective import L1AndCorrelation

        return L1AndCorrelation(from_table(HistoformerObjectiveSettings, settings, "[objective]"))

    def convert_state_dict(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoint without ``skip_conv.weight``, which ``dual_pixel_task`` adds and their network never uses."""
        return {key: value for key, value in state.items() if key != "skip_conv.weight"}

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> HistoformerConfig:
        """The hyper-parameters of the network whose state dict this is.

        ``LayerNorm_type``, which no key tells, is the published one, and ``ffn_expansion_factor`` one that gives these shapes.

        Raises:
            CheckpointError: if it lacks keys that every Histoformer has, or its shapes do not go together.
        """
        from restorekit.methods.histoformer.checkpoint import read_config

        return read_config(state)


METHOD = Histoformer()
