"""What a run looks at now and then: scores on photographs it does not train on, and pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.utils import save_image

from restorekit.methods import Batch, Method, Objective, Prediction
from restorekit.metrics import best_overall, best_single, depth_scores, psnr, ssim
from restorekit.training.sources import ValidationSet

CEILING = 50.0
"""PSNR in dB that nothing is scored above: a photograph left sharp has infinitely many against itself, which no mean survives."""


@dataclass(frozen=True)
class Scores:
    """How good a network is.

    Attributes:
        values: everything measured, by name.
        metric: the name in ``values`` that a card quotes.
        input: what that metric is before the network did anything; NaN where there is no such thing.
        merit: what grows as the network gets better; the best weights have the most of it.
        summary: all that in words.
    """

    values: dict[str, float]
    metric: str
    input: float
    merit: float
    summary: str

    @property
    def output(self) -> float:
        """The metric that a card quotes."""
        return self.values[self.metric]


@dataclass(frozen=True)
class _Look:
    """One photograph of the validation: what went in, what came out."""

    name: str
    batch: Batch
    prediction: Prediction


@dataclass(frozen=True)
class _WithHeads(Prediction):
    heads: Tensor


@torch.no_grad()
def validate(
    fabric: Fabric,
    method: Method[Any],
    config: Any,
    network: nn.Module,
    objective: Objective,
    data: ValidationSet,
    pictures: Path | None = None,
    samples: int = 0,
    tile: int = 0,
    step: int = 0,
) -> Scores:
    """Score the network on every photograph of ``data``: what it restores, the depth it sees, or where nothing is known to be
    true, its losses as they are weighted at ``step``. Of the first ``samples`` input, result and target are saved side by side.
    Photographs go through the network whole, or in tiles of at most ``tile`` pixels.
    """
    if data.truth == "none":
        return _score_losses(fabric, network, objective, data, step)
    score = _score_depth if data.truth == "depth" else _score_images
    return score(_looks(fabric, method, config, network, data, tile), pictures, samples)


def _score_losses(fabric: Fabric, network: nn.Module, objective: Objective, data: ValidationSet, step: int) -> Scores:
    """Mean losses. The first decides: it is what a method that teaches itself cannot cheat in."""
    rows = []
    for index in range(len(data)):
        batch = data[index]
        extras = {name: value.to(fabric.device) for name, value in batch.extras.items()}
        extras |= {"step": torch.tensor(step), "draw": torch.tensor(index)}  # terms that have begun, and the same dice every time
        here = Batch(batch.input.to(fabric.device), batch.target.to(fabric.device), extras)
        losses = objective(_Autocast(fabric, network), here)
        rows.append({name: float(value) for name, value in losses.items()})
    values = {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}
    first = next(iter(values))
    summary = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
    return Scores(values, first, math.nan, -values[first], summary)


class _Autocast(nn.Module):
    """A network that computes in the training's precision and answers in float32, as losses are computed in; its parts are there
    by their names.
    """

    def __init__(self, fabric: Fabric, network: nn.Module) -> None:
        super().__init__()
        self._fabric = fabric
        self._network = network

    def forward(self, *arguments: Any, **options: Any) -> Any:
        with self._fabric.autocast():
            answer = self._network(*arguments, **options)
        return self._fabric.strategy.precision.convert_output(answer)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("_network"), name)


def _looks(
    fabric: Fabric, method: Method[Any], config: Any, network: nn.Module, data: ValidationSet, tile: int
) -> Iterator[_Look]:
    in_tiles = in_tiles_of(fabric, method, config, network, tile) if tile else None
    for index in range(len(data)):
        pair = data[index]
        image, target = pair.input.to(fabric.device), pair.target.to(fabric.device)
        extras = {name: value.to(fabric.device) for name, value in pair.extras.items()}
        batch = Batch(image, target, extras)
        if in_tiles is not None:
            yield _Look(data.names[index], batch, in_tiles(batch))
            continue
        with fabric.autocast():
            maps = method.predict(network, image, **extras)
        prediction = method.finish({name: value.float() for name, value in maps.items()}, config)
        yield _Look(data.names[index], batch, prediction)


def in_tiles_of(fabric: Fabric, method: Method[Any], config: Any, network: nn.Module, tile: int) -> Callable[[Batch], Prediction]:
    """What gives a batch's prediction through the engine, as users get it.

    Raises:
        SettingError: if the method's images cannot be cut like that.
    """
    from restorekit.inference import Restorer

    precision = "bf16" if fabric.strategy.precision.precision == "bf16-mixed" else "fp32"
    device = "mps" if fabric.device.type == "mps" else str(fabric.device)  # there is one, which Fabric numbers
    restorer = Restorer(method, config, network, device=device, precision=precision, tile=tile)

    def predict(batch: Batch) -> Prediction:
        picture = batch.input[0].permute(1, 2, 0).cpu().numpy()
        taken = (*method.extra_inputs, *method.optional_inputs)
        inputs: dict[str, Any] = {name: batch.extras[name].cpu().numpy() for name in taken if name in batch.extras}
        result = restorer(picture, candidates="heads" in restorer.extras, **inputs)
        image, *heads = (_as_tensor(image.pixels, fabric) for image in (result.image, *result.candidates))
        return _WithHeads(image, torch.stack(heads, 1)) if heads else Prediction(image)

    return predict


def _as_tensor(pixels: NDArray[Any], fabric: Fabric) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].to(fabric.device)


def _score_images(looks: Iterator[_Look], pictures: Path | None, samples: int) -> Scores:
    """PSNR in dB and SSIM over RGB, peak 1; a PSNR counts as :data:`CEILING` at most. Gains are over the degraded input.

    Of methods with several heads also what choosing the best of them for each photograph would give, and what the best one alone.
    """
    rows, heads = [], []
    for number, look in enumerate(looks):
        image, target, result = look.batch.input, look.batch.target, look.prediction.image.clamp(0, 1)
        rows.append([float(psnr(result, target)), float(ssim(result, target)), float(psnr(image, target))])
        if hasattr(look.prediction, "heads"):
            heads.append(_head_scores(look.prediction.heads, target))
        if pictures is not None and number < samples:
            _save([image, result, target], pictures / f"{look.name}.png")
    table = torch.tensor(rows, dtype=torch.float64)
    after, before = table[:, 0].clamp_max(CEILING), table[:, 2].clamp_max(CEILING)
    gain, worst = float((after - before).mean()), float((after - before).min())
    values = {"psnr": float(after.mean()), "ssim": float(table[:, 1].mean()), "gain": gain, "worst_gain": worst}
    summary = f"PSNR {values['psnr']:.2f} dB ({gain:+.2f} over the input, worst {worst:+.2f}), SSIM {values['ssim']:.4f}"
    if heads:
        table = torch.stack(heads)
        values |= {"best_overall": best_overall(table), "best_single": best_single(table).score}
        summary += f"; best of the heads {values['best_overall']:.2f}, best single head {values['best_single']:.2f} dB"
    return Scores(values, "psnr", float(before.mean()), values["psnr"], summary)


def _head_scores(heads: Tensor, target: Tensor) -> Tensor:
    """PSNR of each head of ``(1, n, 3, H, W)``, ``(n,)``."""
    return torch.stack([psnr(head.clamp(0, 1), target).squeeze() for head in heads.unbind(1)]).clamp_max(CEILING)


def _score_depth(looks: Iterator[_Look], pictures: Path | None, samples: int) -> Scores:
    """The scores of Eigen et al. after scaling by medians; frames without a depth that counts do not. What they are compared with
    is one depth for the whole image.
    """
    rows, flat = [], []
    for number, look in enumerate(looks):
        depth: Tensor = look.prediction.depth  # type: ignore[attr-defined]
        truth = look.batch.target
        rows.append(depth_scores(depth, truth).mean())
        flat.append(depth_scores(torch.ones_like(truth), truth).mean()["abs_rel"])
        if pictures is not None and number < samples:
            near = torch.where(truth > 0, truth.amax() / truth.clamp_min(1e-6) / 20, 0.0).clamp(0, 1)
            disparity = look.prediction.image / look.prediction.image.amax()
            _save([look.batch.input, disparity, near.expand(-1, 3, -1, -1)], pictures / f"{look.name}.png")
    values = {name: float(np.nanmean([row[name] for row in rows])) for name in rows[0]}
    constant = float(np.nanmean(flat))
    summary = f"abs_rel {values['abs_rel']:.4f} (one depth for all: {constant:.4f}), a1 {values['a1']:.4f}"
    return Scores(values, "abs_rel", constant, -values["abs_rel"], summary)


def _save(parts: list[Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(torch.cat(parts, 3), path)
