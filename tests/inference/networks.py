"""Small networks for the engine's tests: one with heads, and one whose halo can be counted on fingers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.devices import Precision
from restorekit.inference import Restorer
from restorekit.inference.backend import TorchBackend
from restorekit.methods import Method, Objective, Paper, Prediction, Tiling
from restorekit.methods.multi_output import METHOD, MultiOutputConfig
from tests.goldens.recipe import fill

SHORT = MultiOutputConfig(width=4, enc_blk_nums=(1, 1), dec_blk_nums=(1, 1), n_heads=3, train_size=(8, 8))
"""A network whose local means reach so little that tiles can be exact."""

LONG = MultiOutputConfig(width=4, enc_blk_nums=(1, 2), dec_blk_nums=(1, 1), n_heads=2, train_size=(128, 128))
"""A network whose local means reach farther than tiles overlap."""


def network_of(config: MultiOutputConfig, correction: float = 0.05) -> nn.Module:
    """A network filled by the recipe of the goldens, so no factor is zero; ``correction`` scales what it adds to an image."""
    network = METHOD.build(config)
    state = {key: torch.from_numpy(fill(key, tuple(value.shape))) for key, value in network.state_dict().items()}
    for key in ("ending.weight", "ending.bias"):
        state[key] *= correction
    network.load_state_dict(state)
    return network


def restorer_of(config: MultiOutputConfig, **options: Any) -> Restorer:
    return Restorer(METHOD, config, network_of(config), **{"device": "cpu", "precision": "fp32", **options})


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.float32]:
    """Soft shapes on a slope with fine grain, ``(H, W, C)`` in [0.2, 0.8], so that nothing a small network adds is clipped."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, channels, 4 + height // 24, 4 + width // 24, generator=generator)
    soft = F.interpolate(noise, (height, width), mode="bicubic", align_corners=True).clamp(0, 1)
    slope = torch.linspace(0, 1, width) * torch.linspace(1, 0.3, height)[:, None]
    grain = torch.rand(1, channels, height, width, generator=generator)
    return (0.2 + 0.6 * (0.5 * soft + 0.4 * slope + 0.1 * grain))[0].permute(1, 2, 0).contiguous().numpy()


class Mean3(Method[int]):
    """The mean of 3x3 pixels, zeros outside: a method with one map, one answer and a halo of one pixel."""

    name = "mean-3"
    tasks = ("soften",)
    paper = Paper("None", "none", 2000, "https://example.org")
    config_type = int
    presets = {}

    def build(self, config: int) -> nn.Module:
        return nn.AvgPool2d(3, stride=1, padding=1)

    def tiling(self, config: int) -> Tiling:
        return Tiling(multiple=4, halo=1, overlap=8, minimum=16, bytes_per_pixel=64)

    def predict(self, network: nn.Module, image: Tensor, **extras: Tensor) -> dict[str, Tensor]:
        return {"image": network(image)}

    def finish(self, maps: Mapping[str, Tensor], config: int) -> Prediction:
        return Prediction(maps["image"])

    def objective(self, config: int, settings: Mapping[str, Any]) -> Objective:
        raise AssertionError("is not taught")

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> int:
        return 0


class Tight(TorchBackend):
    """A device with room for tiles of a certain area only, which gives nonsense in low precision if told to.

    Attributes:
        tried: the sizes of all tiles it was given.
        released: how often it was told to release what it holds.
    """

    def __init__(
        self, method: Method[Any], network: nn.Module, room: int, precision: Precision = "fp32", fails_in: str = ""
    ) -> None:
        super().__init__(method, network, torch.device("cpu"), precision)
        self.room = room
        self.fails_in = fails_in
        self.tried: list[tuple[int, int]] = []
        self.released = 0

    def run(self, tile: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        height, width = tile.shape[2:]
        self.tried.append((height, width))
        if height * width > self.room:
            raise MemoryError("simulated")
        maps = super().run(tile)
        if self.precision in self.fails_in.split() and len(self.tried) % 3 == 0:
            for values in maps.values():
                values[:, :, -1, -1] = np.nan
        return maps

    def in_float32(self) -> Tight:
        return Tight(self.method, self.network, self.room, "fp32", self.fails_in)

    def release(self) -> None:
        self.released += 1
