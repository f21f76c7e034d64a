"""``multi-output``: the backbones with one or several heads, the winner-takes-all losses, and the metrics of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar, get_args

import torch
from torch import Tensor

from restorekit.methods.multi_output import METHOD, HINetConfig, Kind, MPRNetConfig, MultiOutputConfig, RestormerConfig
from restorekit.methods.multi_output.heads import pair_means
from restorekit.methods.multi_output.objective import candidate_errors, winner_loss
from restorekit.metrics import best_overall, best_single, psnr, ssim, ssim3d
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.golden import Golden

MODELS = ("multi-output",)
GRADIENT = "_grad_per_candidate"
STAGES = {"HINet": (1, 2), "MPRNet": (3, 2, 1)}
"""The stages whose answers are ``out1``, ``out2``..."""
T = TypeVar("T")


def adapt(golden: Golden) -> Case:
    if "network" in golden.config:
        return _network(golden.config)
    if {"pred", "target"} <= golden.inputs.keys():
        return Case("losses", lambda inputs: _losses(inputs, list(golden.outputs)))
    if {"clean", "error"} <= golden.inputs.keys():
        return Case("metrics", _metrics)
    raise NotBuiltError(f"part with inputs {', '.join(golden.inputs)}")


def _network(config: Mapping[str, Any]) -> Case:
    name = config["network"]
    many = "n_heads" in config
    pairs = many and config.get("combinate_heads", True)
    network = METHOD.build(replace(_backbone(config), n_heads=config.get("n_heads", 1)))
    stages = STAGES.get(_plain(name), ())

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
        (image,) = inputs.values()

        def shown(heads: Tensor) -> Tensor:
            return (pair_means(heads) if pairs else heads) if many else heads[:, 0]

        def beyond(answer: Tensor) -> Tensor:
            return answer - (image.unsqueeze(1) if many else image)

        out = shown(network(image))
        answers: dict[str, Value] = {"out": out, "residual": beyond(out)}
        by_stage = [shown(heads) for heads in network(image, every_stage=True).unbind(1)] if stages else []
        for i, stage in enumerate(stages, start=1):
            answers[f"out{i}"] = by_stage[stage - 1]
            answers[f"out{i}_minus_input"] = beyond(by_stage[stage - 1])
        return answers

    return Case(f"network {name}", run, (("", network),))


def _plain(name: str) -> str:
    return name.removeprefix("MH").removesuffix("Local")


def _backbone(config: Mapping[str, Any]) -> MultiOutputConfig:
    """The configuration in a golden, but for its heads. HINet's "local" class is the plain one."""
    name = config["network"]
    if _plain(name) == "NAFNet":
        train_size = tuple(config.get("train_size", (1, 3, 256, 256))[-2:]) if name.endswith("Local") else None
        return MultiOutputConfig(
            width=config["width"],
            enc_blk_nums=tuple(config["enc_blk_nums"]),
            middle_blk_num=config["middle_blk_num"],
            dec_blk_nums=tuple(config["dec_blk_nums"]),
            train_size=train_size,
        )
    if name in ("Restormer", "MHRestormer"):
        return MultiOutputConfig(backbone="restormer", restormer=_read(RestormerConfig, config))
    if _plain(name) == "HINet":
        return MultiOutputConfig(backbone="hinet", hinet=_read(HINetConfig, config))
    if name in ("MPRNet", "MHMPRNet") and config.get("kernel_size", 3) == 3 and not config.get("bias", False):
        return MultiOutputConfig(backbone="mprnet", mprnet=_read(MPRNetConfig, config))
    raise NotBuiltError(f"network {name}")


def _read(kind: type[T], config: Mapping[str, Any]) -> T:
    """The shape of a backbone from those entries of a golden's ``config`` that it has."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key in names})


def _losses(inputs: Mapping[str, Tensor], wanted: list[str]) -> dict[str, Value]:
    pred, target = inputs["pred"], inputs["target"]

    def two_stage(last: Tensor) -> Tensor:
        return winner_loss(inputs["pred_early"], target, weight=0.5) + winner_loss(last, target, weight=0.5)

    kinds: tuple[Kind, ...] = get_args(Kind)
    losses: dict[str, Callable[[Tensor], Tensor]] = {kind: _loss(target, kind) for kind in kinds}
    losses["psnr_two_stage"] = two_stage
    losses["psnr_single"] = lambda candidates: winner_loss(candidates[:, :1], target)
    winners: dict[str, Kind] = {"winner_mse": "psnr", **{f"winner_{kind}": kind for kind in kinds}}
    answers: dict[str, Value] = {}
    for name in wanted:
        if name in losses:
            answers[name] = losses[name](pred)
        elif name in winners:
            answers[name] = candidate_errors(pred, target, winners[name]).argmin(1)
        elif name.endswith(GRADIENT) and name.removesuffix(GRADIENT) in losses:
            answers[name] = _gradient_mass(losses[name.removesuffix(GRADIENT)], pred)
    return answers


def _loss(target: Tensor, kind: Kind) -> Callable[[Tensor], Tensor]:
    return lambda candidates: winner_loss(candidates, target, kind)


def _gradient_mass(loss: Callable[[Tensor], Tensor], candidates: Tensor) -> Tensor:
    """The sum of ``|d loss / d candidates|`` over channels and pixels, ``(B, K)``."""
    with torch.enable_grad():
        leaf = candidates.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    return gradient.abs().sum((2, 3, 4))


def _metrics(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
    truth = inputs["clean"].round()
    count = len(inputs["error"])
    factors = (torch.arange(count) + 2).view(-1, 1, 1, 1) / (count + 2)
    candidates = (truth + inputs["error"] * factors).round().clamp(0, 255).permute(0, 3, 1, 2)
    truths = truth.permute(2, 0, 1).expand_as(candidates)
    scores = {
        "psnr": psnr(candidates, truths, 255),
        "ssim3d": ssim3d(candidates, truths, 255),
        "ssim_per_channel": ssim(candidates.double(), truths.double(), 255),
    }
    answers: dict[str, Value] = dict(scores)
    for name, score in scores.items():
        answers[f"{name}_best"], answers[f"{name}_worst"] = score.max(), score.min()
        answers[f"set_{name}_per_candidate"] = torch.stack([score, score.flip(0)]).mean(0)
    both = torch.stack([scores["psnr"], scores["psnr"].flip(0)])
    answers["set_best_overall"], answers["set_best_single"] = best_overall(both), best_single(both).score
    return answers
