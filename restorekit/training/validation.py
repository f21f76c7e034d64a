"""What a run looks at now and then: scores on photographs it does not train on, and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torchvision.utils import save_image

from restorekit.methods import Method
from restorekit.metrics import psnr, ssim
from restorekit.training.sources import ValidationSet

CEILING = 50.0
"""PSNR in dB that nothing is scored above: a photograph left sharp has infinitely many against itself, which no mean survives."""


@dataclass(frozen=True)
class Scores:
    """Means over the validation set; PSNR in dB, RGB, peak 1, at most :data:`CEILING`; gains are over the degraded input."""

    psnr: float
    ssim: float
    input_psnr: float
    worst_gain: float

    @property
    def gain(self) -> float:
        """Mean PSNR gain over the input, in dB."""
        return self.psnr - self.input_psnr


@torch.no_grad()
def validate(
    fabric: Fabric,
    method: Method[Any],
    config: Any,
    network: nn.Module,
    data: ValidationSet,
    pictures: Path | None = None,
    samples: int = 0,
) -> Scores:
    """Restore every photograph of ``data`` and score it; the first ``samples`` are saved as input, result and target side by
    side.
    """
    rows = []
    for index in range(len(data)):
        pair = data[index]
        image, target = pair.input.to(fabric.device), pair.target.to(fabric.device)
        extras = {name: value.to(fabric.device) for name, value in pair.extras.items()}
        with fabric.autocast():
            maps = method.predict(network, image, **extras)
        result = method.finish({k: v.float() for k, v in maps.items()}, config).image.clamp(0, 1)
        rows.append([float(psnr(result, target)), float(ssim(result, target)), float(psnr(image, target))])
        if pictures is not None and index < samples:
            pictures.mkdir(parents=True, exist_ok=True)
            save_image(torch.cat([image, result, target], 3), pictures / f"{data.names[index]}.png")
    table = torch.tensor(rows, dtype=torch.float64)
    after, before = table[:, 0].clamp_max(CEILING), table[:, 2].clamp_max(CEILING)
    return Scores(
        psnr=float(after.mean()),
        ssim=float(table[:, 1].mean()),
        input_psnr=float(before.mean()),
        worst_gain=float((after - before).min()),
    )
