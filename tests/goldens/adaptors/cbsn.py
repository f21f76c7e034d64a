"""``cbsn``: the network blind and seeing, the whole denoising of a photograph, and the losses with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from restorekit.methods.cbsn import METHOD, CbsnConfig, CbsnObjectiveSettings
from restorekit.methods.cbsn.denoise import denoise, measure
from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork
from restorekit.methods.cbsn.objective import DownsampledInvariance, blind_images, compute_terms, subsample
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.golden import Golden

MODELS = ("cbsn",)
GRADIENT = "grad100:"

Network = ConditionalBlindSpotNetwork
Inputs = Mapping[str, Tensor]


def adapt(golden: Golden) -> Case:
    for name, (title, answer) in PARTS.items():
        if name in golden.inputs:
            network = _build(golden.config)
            return Case(title, partial(answer, network, golden), (("", network),))
    raise NotBuiltError(f"part with inputs {', '.join(golden.inputs)}")


def _build(config: Mapping[str, Any]) -> Network:
    if config.get("in_channels", 3) != 3 or config.get("out_channels", 3) != 3:
        raise NotBuiltError("network C-BSN for other images than RGB")
    names = ("filters", "num_module", "tail_channels")
    return METHOD.build(CbsnConfig(**{name: config[name] for name in names if name in config}))


def _both_ways(network: Network, golden: Golden, inputs: Inputs) -> dict[str, Value]:
    return {"blind": network(inputs["x"], blind=True), "unblind": network(inputs["x"])}


def _denoised(network: Network, golden: Golden, inputs: Inputs) -> dict[str, Value]:
    image = inputs["image"]
    mean, std = measure(image)
    answers: dict[str, Value] = {"denoised": denoise(network, image, pad=golden.config.get("pad"))}
    for name, value in (("mean", mean), ("std", std)):
        if name in golden.outputs:
            answers[name] = value.reshape(golden.outputs[name].shape)
    return answers


def _losses(network: Network, golden: Golden, inputs: Inputs) -> dict[str, Value]:
    config, x = golden.config, inputs["patch"]
    stride_b, stride_i = config["stride_b"], config["stride_i"]
    objective = DownsampledInvariance(CbsnObjectiveSettings(ramp=config["ramp"]))
    choice = inputs["patch-mask"].floor().long().reshape(len(x), *(side // stride_i for side in x.shape[-2:]))
    ramp = objective.ramp_at(config["step"])
    with torch.enable_grad():
        terms = compute_terms(network, x, choice, stride_b, stride_i)
        total = terms.blind + ramp * (terms.own + config["lambda"] * terms.invariance)
        parameters = dict(network.named_parameters())
        gradients = dict(zip(parameters, torch.autograd.grad(total, list(parameters.values())), strict=True))
    return {
        "loss_blind": terms.blind,
        "loss_inv": terms.invariance,
        "loss_self": terms.own,
        "schedule": ramp,
        "total": total,
        "subimage": subsample(x, choice, stride_i),
        "blind_full": blind_images(network, x, stride_b),
        **{GRADIENT + key: 100 * gradient for key, gradient in gradients.items()},
    }


PARTS: Mapping[str, tuple[str, Callable[[Network, Golden, Inputs], dict[str, Value]]]] = {
    "x": ("network C-BSN", _both_ways),
    "image": ("denoising", _denoised),
    "patch": ("losses", _losses),
}
"""What is asked for, by the input that only it has."""
