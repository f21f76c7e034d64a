"""C-BSN: photographs denoised by a network that never saw a clean one (ICCV 2023)."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restorekit.methods.base import Lesson, Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.methods.shapes import count_numbered, require_fit, require_keys
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork


@dataclass(frozen=True)
class CbsnConfig:
    """A conditional blind-spot network; the first two names are the authors'.

    Attributes:
        filters: channels of both branches.
        num_module: dilated modules of each branch, 3 pixels of reach apiece.
        tail_channels: channels of the last two hidden layers; always 64 in the published code.
        skip: answer a correction of the pixels that may be seen, not the image. Not the paper's: so taught with clean pictures, a
            network learns in far fewer steps, and leaves photographs with little noise alone.
    """

    filters: int = 48
    num_module: int = 6
    tail_channels: int = 64
    skip: bool = False

    def __post_init__(self) -> None:
        for name in ("filters", "num_module", "tail_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def reach(self) -> int:
        """Pixels on each side of a pixel that its answer depends on, once the image is normalised."""
        return 2 + 3 * self.num_module


@dataclass(frozen=True)
class CbsnObjectiveSettings:
    """Settings of the loss, by default the paper's; see :class:`restorekit.methods.cbsn.objective.DownsampledInvariance`.

    Attributes:
        stride_b: stride of the sub-images of L_blind; see :func:`restorekit.methods.cbsn.objective.compute_terms`.
        stride_i: stride of the random subsampler of L_inv.
        lambda_inv: weight of L_inv against L_self, which alone would be solved by leaving the noise in.
        ramp: steps in which r rises from 0 to 1; 0 for a network that is trained already. A fresh network needs it: its blind
            images are no teachers yet.
        seed: fixes the random subsampler.
        supervised: compare both networks' images with ``batch.target`` instead, ``|f(x) - c| + |B2S(f_M(S2B(x))) - c|``: not the
            paper's, but where clean photographs are at hand it teaches in a tenth of the steps what the network can then be
            taught further on noisy ones alone.
        blind_share: share of the patches that the blind network is shown when ``supervised``; it costs as much as the other.
        blind_weight: weight of its error then. A blind image is ten times as far off, and would be all that is learnt.
    """

    stride_b: int = 5
    stride_i: int = 2
    lambda_inv: float = 2.0
    ramp: int = 200_000
    seed: int = 0
    supervised: bool = False
    blind_share: float = 1.0
    blind_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.blind_share <= 1:
            raise ValueError("blind_share must be from 0 to 1")
        if self.stride_b < 1 or self.stride_i < 1:
            raise ValueError("stride_b and stride_i must be at least 1")
        if min(self.ramp, self.seed, self.lambda_inv, self.blind_weight) < 0:
            raise ValueError("ramp, seed, lambda_inv and blind_weight must not be negative")


class Cbsn(Method[CbsnConfig]):
    """Denoising taught by noisy photographs alone."""

    name = "cbsn"
    tasks = ("denoise",)
    paper = Paper(
        "Self-supervised Image Denoising with Downsampled Invariance Loss and Conditional Blind-Spot Network",
        "ICCV",
        2023,
        "https://arxiv.org/abs/2304.09507",
    )
    config_type = CbsnConfig
    presets = {
        "compact": CbsnConfig(filters=24, num_module=5, tail_channels=32, skip=True),
        "compact-l": CbsnConfig(),
        "paper": CbsnConfig(filters=128, num_module=9),
    }

    alone = ("denoise",)
    with_truth = {"supervised": True, "blind_share": 0.0}

    def build(self, config: CbsnConfig) -> ConditionalBlindSpotNetwork:
        from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork

        return ConditionalBlindSpotNetwork(config.filters, config.num_module, config.tail_channels, config.skip)

    def tiling(self, config: CbsnConfig) -> Tiling:
        """What is global, mean and standard deviation, is measured: tiles given those of the whole are exact at this overlap."""
        return Tiling(
            multiple=1,
            halo=config.reach,
            overlap=config.reach,
            minimum=max(4 * config.reach, 64),
            bytes_per_pixel=24 * max(config.filters, config.tail_channels),
        )

    def measure(self, image: Any) -> dict[str, Any]:
        """What :meth:`predict` must know of a whole image ``(B, 3, H, W)`` to give for tiles what it gives for the whole.

        ``mean`` and ``std``, each ``(B, 3, 1, 1)``.
        """
        import numpy as np

        if isinstance(image, np.ndarray):  # the same, where there is no PyTorch
            least = 1 / math.sqrt(image.shape[2] * image.shape[3])
            exact = image.mean((2, 3), np.float64, keepdims=True), image.std((2, 3), np.float64, keepdims=True).clip(least)
            return {name: values.astype(image.dtype) for name, values in zip(("mean", "std"), exact, strict=True)}
        from restorekit.methods.cbsn.denoise import measure

        mean, std = measure(image)
        return {"mean": mean, "std": std}

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        """Denoise ``(B, 3, H, W)``, RGB in [0, 1], any size.

        Two extras, ``mean`` and ``std``, may say what :meth:`measure` gave for the image this is a tile of; else its own serve.
        """
        from restorekit.methods.cbsn.denoise import denoise

        return {"image": denoise(network, image, extras.get("mean"), extras.get("std"))}

    def finish(self, maps: Maps, config: CbsnConfig) -> Prediction:
        return Prediction(maps["image"])

    def objective(self, config: CbsnConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.cbsn.objective import DownsampledInvariance

        return DownsampledInvariance(from_table(CbsnObjectiveSettings, settings, "[objective]"))

    def lesson(self, config: CbsnConfig, steps: int, *, fresh: bool, frame: tuple[int, int] = (0, 0)) -> Lesson | None:
        """The paper's loss. From taught weights on all terms count at once and the rate is low; a fresh network needs the ramp,
        and a high rate. Crops are multiples of both strides, 5 and 2, and their sub-images hold what a network sees.

        None for taught networks with ``skip``: they learnt on clean pictures, and would forget what those taught them.
        """
        if config.skip and not fresh:
            return None
        return Lesson(1e-3 if fresh else 1e-4, {"ramp": round(0.4 * steps) if fresh else 0}, crop=240, multiple=10)

    def convert_state_dict(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' TensorFlow variables, tensors or arrays by name, under our keys; our own keys stay.

        Raises:
            CheckpointError: for a variable this network does not have.
        """
        from restorekit.methods.cbsn.convert import from_tensorflow, is_tensorflow

        return from_tensorflow(state) if is_tensorflow(state) else dict(state)

    def read_checkpoint(self, path: Path) -> Mapping[str, Any] | None:
        """The variables in an ``.npz`` file or a TensorFlow checkpoint, which is named by its prefix or one of its files.

        Raises:
            CheckpointError: see :func:`restorekit.methods.cbsn.convert.read_variables`.
        """
        if part := re.fullmatch(r"(.+)\.(?:meta|data-\d+-of-\d+)", path.name):
            prefix = path.with_name(part[1])
            path = prefix if os.path.isfile(f"{prefix}.index") else path
        if path.suffix not in (".npz", ".index") and not os.path.isfile(f"{path}.index"):
            return None
        from restorekit.methods.cbsn.convert import read_variables

        return read_variables(path)

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> CbsnConfig:
        """The hyper-parameters of the network whose state dict this is, under our keys.

        Raises:
            CheckpointError: if it lacks keys, has others, or shapes that do not go together.
        """
        module = "branch1.dcm.{}.conv1.weight"
        require_keys("C-BSN", ["conv0.weight", "conv2.weight", module.format(0)], state)
        filters, tail = state["conv0.weight"].shape[0], state["conv2.weight"].shape[0]
        config = CbsnConfig(filters, count_numbered(state, module), tail, "seeing.weight" in state)
        require_fit("C-BSN", partial(self.build, config), state, closed=True)
        return config


METHOD = Cbsn()
