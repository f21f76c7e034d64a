"""Multi-output deblurring: several sharp candidates for one blurred photograph ("Multi-Outputs Is All You Need For Deblur",
2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from restorekit.errors import CheckpointError
from restorekit.methods.base import Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.multi_output.network import NAFNet


@dataclass(frozen=True)
class MultiOutputConfig:
    """A NAFNet with one or several heads; the names are the authors'.

    Attributes:
        width: channels at full resolution.
        enc_blk_nums: blocks of each encoder level, finest first.
        middle_blk_num: blocks at the coarsest resolution.
        dec_blk_nums: blocks of each decoder level, coarsest first.
        n_heads: images the network gives; 1 is the plain NAFNet.
        combinate_heads: whether the averages of two heads count as candidates too (parameter multiplexing).
        train_size: rows and columns of the training crops, which fix the windows of TLC; None keeps channel attention global.
        answer: the image a user gets: ``"mean"`` of the heads, or the index of the head that validates best.
    """

    width: int = 16
    enc_blk_nums: tuple[int, ...] = (1, 1, 2, 8)
    middle_blk_num: int = 1
    dec_blk_nums: tuple[int, ...] = (1, 1, 1, 1)
    n_heads: int = 4
    combinate_heads: bool = True
    train_size: tuple[int, int] | None = (256, 256)
    answer: int | Literal["mean"] = "mean"

    def __post_init__(self) -> None:
        if len(self.enc_blk_nums) != len(self.dec_blk_nums):
            raise ValueError("enc_blk_nums and dec_blk_nums must have the same length")
        if self.width < 1 or self.n_heads < 1:
            raise ValueError("width and n_heads must be at least 1")
        if self.answer != "mean" and not 0 <= self.answer < self.n_heads:
            raise ValueError(f"answer must be 'mean' or a head from 0 to {self.n_heads - 1}")


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
class MultiOutputObjective:
    """Settings of the winner-takes-all loss; see :class:`restorekit.methods.multi_output.objective.WinnerTakesAll`."""

    kind: Literal["psnr", "psnr_y", "l1", "mprnet"] = "psnr"
    weight: float = 1.0
    eps: float = 1e-8


class MultiOutput(Method[MultiOutputConfig]):
    """NAFNet with several heads, taught by its best candidate only."""

    name = "multi-output"
    tasks = ("deblur",)
    paper = Paper("Multi-Outputs Is All You Need For Deblur", "arXiv", 2022, "https://arxiv.org/abs/2208.13029")
    config_type = MultiOutputConfig
    presets = {
        "compact": MultiOutputConfig(),
        "paper": MultiOutputConfig(width=32, enc_blk_nums=(1, 1, 1, 28)),
        "paper-w64": MultiOutputConfig(width=64, enc_blk_nums=(1, 1, 1, 28)),
    }

    def build(self, config: MultiOutputConfig) -> NAFNet:
        from restorekit.methods.multi_output.network import NAFNet

        return NAFNet(
            config.width,
            config.enc_blk_nums,
            config.middle_blk_num,
            config.dec_blk_nums,
            config.n_heads,
            config.train_size,
        )

    def tiling(self, config: MultiOutputConfig) -> Tiling:
        levels = len(config.enc_blk_nums)
        return Tiling(
            multiple=2**levels,
            halo=_reach(config),
            overlap=64,
            minimum=max(2 ** (levels + 1), 64),
            bytes_per_pixel=64 * config.width,
        )

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        return {"heads": network(image).flatten(1, 2)}

    def finish(self, maps: Maps, config: MultiOutputConfig) -> MultiOutputPrediction:
        merged = maps["heads"]
        heads = merged.view(merged.shape[0], config.n_heads, 3, *merged.shape[2:])
        image = heads.mean(1) if config.answer == "mean" else heads[:, config.answer]
        spread = heads.var(1, unbiased=False).mean(1, keepdim=True).sqrt()
        return MultiOutputPrediction(image, heads, spread)

    def objective(self, config: MultiOutputConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.multi_output.objective import WinnerTakesAll

        chosen = from_table(MultiOutputObjective, settings, "[objective]")
        return WinnerTakesAll(chosen.kind, config.combinate_heads, chosen.weight, chosen.eps)

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> MultiOutputConfig:
        """The NAFNet whose state dict this is. What no key tells is the authors': pairs compete, and crops were 256 x 256.

        Raises:
            CheckpointError: if keys are missing that every NAFNet has.
        """
        missing = [key for key in ("intro.weight", "ending.weight", "encoders.0.0.beta", "ups.0.0.weight") if key not in state]
        if missing:
            problem = f"this is no NAFNet checkpoint: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            raise CheckpointError(problem, "Check which method the file belongs to")
        blocks = Counter(key.rsplit(".", 2)[0] for key in state if key.endswith(".conv1.weight"))
        levels = Counter(block.rsplit(".", 1)[0] for block in blocks)
        depth = sum(level.startswith("encoders.") for level in levels)
        return MultiOutputConfig(
            width=state["intro.weight"].shape[0],
            enc_blk_nums=tuple(levels[f"encoders.{level}"] for level in range(depth)),
            middle_blk_num=levels["middle_blks"],
            dec_blk_nums=tuple(levels[f"decoders.{level}"] for level in range(depth)),
            n_heads=state["ending.weight"].shape[0] // 3,
        )


def _reach(config: MultiOutputConfig) -> int | None:
    """Pixels on each side that can change an answer: 3x3 convolutions and TLC windows of every level, chained; None if a mean
    is global.
    """
    if config.train_size is None:
        return None
    levels = len(config.enc_blk_nums)
    window = max(config.train_size) * 384 // 256
    blocks = [e + d for e, d in zip(config.enc_blk_nums, reversed(config.dec_blk_nums), strict=True)]
    reach = 2  # intro and ending
    for level, count in enumerate([*blocks, config.middle_blk_num]):
        reach += count * (2**level + window // 2 + 2**level)
    return -(-(reach + 2**levels) // 2**levels) * 2**levels


METHOD = MultiOutput()
