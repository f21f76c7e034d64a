"""A network that takes what its method declares, or its card measured, stays within the memory it is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.inference import Restorer, Run
from restorekit.methods import Tiling
from tests.inference.networks import Mean3, picture

MIB = 2**20


class Hungry(Mean3):
    """Takes ``config`` bytes for every pixel, and remembers the most it took."""

    name = "hungry"

    def __init__(self, declared: int) -> None:
        self.declared = declared
        self.most = 0

    def tiling(self, config: int) -> Tiling:
        return Tiling(multiple=8, halo=1, overlap=8, minimum=32, bytes_per_pixel=self.declared)

    def predict(self, network: nn.Module, image: Tensor, **extras: Tensor) -> dict[str, Tensor]:
        taken = torch.empty(image.shape[2] * image.shape[3] * self.config, dtype=torch.uint8)
        self.most = max(self.most, taken.nbytes)
        return super().predict(network, image)

    config = 0


def taken(declared: int, really: int, memory: int, measured: dict[str, int] | None = None, **options: Any) -> tuple[int, Run]:
    method = Hungry(declared)
    method.config = really
    restorer = Restorer(method, 0, method.build(0), device="cpu", precision="fp32", memory=memory, measured=measured, **options)
    result = restorer(picture(611, 487))
    assert result.image.size == (487, 611)
    return method.most, result.run


@pytest.mark.parametrize("memory", [2 * MIB, 8 * MIB, 50 * MIB])
def test_tiles_stay_within_the_memory_and_use_it(memory: int) -> None:
    most, run = taken(200, 200, memory)
    assert run.tiles > 1
    assert memory / 3 < most <= memory
    assert most <= run.memory <= 1.01 * most  # tiles are cropped at the image's edge


def test_an_image_that_fits_runs_whole() -> None:
    most, run = taken(200, 200, 616 * 488 * 200)
    assert run.tiles == 1 and most == 611 * 487 * 200


def test_what_was_measured_counts_more_than_what_is_declared() -> None:
    most, run = taken(200, 1000, 8 * MIB, {"fp32": 1000})
    assert run.tiles > 1 and 8 * MIB / 3 < most <= 8 * MIB == pytest.approx(run.memory, rel=0.7)
    most, _ = taken(200, 1000, 8 * MIB, {"bf16": 1000})  # another precision's figure tells nothing
    assert most > 8 * MIB


def test_the_plan_is_told() -> None:
    run = Run("cpu", "bf16", (512, 640), 64, 6, 1.26, memory=640 * 512 * 1024)
    assert str(run) == "cpu, bf16, 6 tiles of 640x512 with 64 of context on each side in 320 MiB, 1.3 s"
    assert str(Run("cpu", "fp32", None, 0, 1, 0.3, memory=3 * 2**29)) == "cpu, fp32, whole in 1.5 GiB, 0.3 s"
    _, run = taken(200, 200, 2 * MIB)
    assert f"with 8 of context on each side in {max(1, round(run.memory / MIB))} MiB" in str(run)
    assert np.prod(run.tile or 0) * 200 == run.memory <= 2 * MIB == run.budget
