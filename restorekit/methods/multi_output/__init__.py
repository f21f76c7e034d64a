"""Multi-output deblurring: several sharp candidates for one blurred photograph ("Multi-Outputs Is All You Need For Deblur",
2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from restorekit.errors import SettingError
from restorekit.methods.base import Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.methods.multi_output.caution import cautious
from restorekit.methods.multi_output.config import (
    DeconvolutionConfig,
    HINetConfig,
    MPRNetConfig,
    MultiOutputConfig,
    RestormerConfig,
)
from restorekit.methods.multi_output.tiling import tiling_for
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.multi_output.heads import ManyHeaded

__all__ = [
    "METHOD",
    "DeconvolutionConfig",
    "HINetConfig",
    "MPRNetConfig",
    "MultiOutput",
    "MultiOutputConfig",
    "MultiOutputObjectiveSettings",
    "MultiOutputPrediction",
    "RestormerConfig",
]

Kind = Literal["psnr", "psnr_y", "l1", "mprnet"]


@dataclass(frozen=True)
class MultiOutputPrediction(Prediction):
    """The answer, and what else the heads say.

    Attributes:
        image: ``(B, 3, H, W)``, the answer the configuration names.
        heads: ``(B, n, 3, H, W)``, the candidates.
        spread: ``(B, 1, H, W)``, standard deviation over the heads, root mean square over colours: where the answers differ. Not
            a calibrated error.
    """

    heads: Tensor
    spread: Tensor


@dataclass(frozen=True)
class MultiOutputObjectiveSettings:
    """Settings of the winner-takes-all loss; see :class:`restorekit.methods.multi_output.objective.WinnerTakesAll`.

    Attributes:
        kind: what a candidate's error is; the one the backbone's authors took if nothing is said.
        weight: factor of the loss, of each stage where there are several; likewise.
        eps: what keeps a perfect image from taking all the gradient, for the kinds ``"psnr"`` and ``"psnr_y"``.
        mean_weight: factor of the loss of the mean of the heads; 0 in the paper.
        cautious_weight: factor of the loss of the cautious answer; 0 in the paper.
        kernel_weight: factor of the loss of each kernel that a second stage finds.
        inverted_weight: factor of the loss of the mean with all that these kernels put back.
    """

    kind: Kind | None = None
    weight: float | None = None
    eps: float = 1e-8
    mean_weight: float = 0.0
    cautious_weight: float = 0.0
    kernel_weight: float = 0.0
    inverted_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.eps <= 0:
            raise ValueError("eps must be positive")
        named = ("mean_weight", "cautious_weight", "kernel_weight", "inverted_weight")
        if min(self.weight or 0.0, *(getattr(self, name) for name in named)) < 0:
            raise ValueError(f"weight, {', '.join(named)} must not be negative")

    @property
    def of_stage(self) -> bool:
        """Whether a second stage is taught by what it finds on its way."""
        return bool(self.kernel_weight or self.inverted_weight)


class MultiOutput(Method[MultiOutputConfig]):
    """A known network with several heads, taught by its best candidate only."""

    name = "multi-output"
    tasks = ("deblur",)
    paper = Paper("Multi-Outputs Is All You Need For Deblur", "arXiv", 2022, "https://arxiv.org/abs/2208.13029")
    config_type = MultiOutputConfig
    presets = {
        "compact": MultiOutputConfig(),
        "paper": MultiOutputConfig(width=32, enc_blk_nums=(1, 1, 1, 28)),
        "paper-w64": MultiOutputConfig(width=64, enc_blk_nums=(1, 1, 1, 28)),
        "paper-restormer": MultiOutputConfig(backbone="restormer"),
        "paper-hinet": MultiOutputConfig(backbone="hinet"),
        "paper-mprnet": MultiOutputConfig(backbone="mprnet"),
    }

    def build(self, config: MultiOutputConfig) -> ManyHeaded:
        from restorekit.methods.multi_output.network import build_network

        return build_network(config)

    def tiling(self, config: MultiOutputConfig) -> Tiling:
        return tiling_for(config)

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        heads = network(image)
        maps = {"heads": heads.flatten(1, 2)}
        if network.gives_image:
            maps["given"] = image
        if network.region:
            from restorekit.methods.multi_output.heads import evidence

            maps["evidence"] = evidence(heads, image, network.region).sqrt()  # amplitudes, which half precision holds too
        return maps

    def longest_exported_side(self, config: MultiOutputConfig) -> int | None:
        """A graph with a second stage is for one window, which has one kernel."""
        if config.deconvolution is None:
            return None
        block = 2 ** len(config.enc_blk_nums)
        return (11 * config.deconvolution.window // 8 - 1) // block * block

    def finish(self, maps: Maps, config: MultiOutputConfig) -> MultiOutputPrediction:
        merged = maps["heads"]
        heads = merged.reshape(merged.shape[0], config.n_heads, 3, *merged.shape[2:])
        mean = heads.mean(1)
        variance = ((heads - mean[:, None]) ** 2).mean(1).mean(1)[:, None]
        image = mean
        if config.answer == "cautious":
            square, doubted = None, variance * (config.n_heads / (config.n_heads - 1))
            if config.doubt_region:
                square, doubted = maps["evidence"][:, :1] ** 2, maps["evidence"][:, 1:] ** 2
            image = cautious(maps["given"], mean, doubted, config.doubt, square=square, power=config.doubt_power)
        elif config.answer != "mean":
            image = heads[:, config.answer]
        return MultiOutputPrediction(image, heads, variance**0.5)

    def objective(self, config: MultiOutputConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.multi_output.objective import WinnerTakesAll

        chosen = from_table(MultiOutputObjectiveSettings, settings, "[objective]")
        if chosen.cautious_weight and config.n_heads == 1:
            raise SettingError("cautious_weight teaches heads to disagree, and this network has one", "Leave it out")
        if chosen.of_stage and config.deconvolution is None:
            said = "kernel_weight and inverted_weight teach a second stage, and this network has none"
            raise SettingError(said, "Set config.deconvolution")
        return WinnerTakesAll(chosen, config)

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> MultiOutputConfig:
        """The network whose state dict this is. What no key tells is the authors': pairs compete, NAFNet's crops were 256 x 256,
        HINet's ``relu_slope`` is 0.2; Restormer's ``ffn_expansion_factor`` and MPRNet's ``reduction`` are some that give these
        shapes.

        Raises:
            CheckpointError: if the keys are of none of the backbones, or some are missing, or shapes do not go together.
        """
        from restorekit.methods.multi_output.checkpoint import read_config

        return read_config(state)


METHOD = MultiOutput()
