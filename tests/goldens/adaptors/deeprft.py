"""``deeprft``: the network, whole or in the authors' tiles, its kernels, and its losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import torch
from torch import Tensor

from restorekit.layers.pyramid import half_size
from restorekit.methods.deeprft import METHOD, DeepRftConfig
from restorekit.methods.deeprft.kernel import spatial_kernels
from restorekit.methods.deeprft.network import Answers, DeepRFT
from restorekit.methods.deeprft.objective import TwoScales
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.golden import Golden

MODELS = ("deeprft",)
COLUMNS = ("enc_max", "dec_max", "enc_mid", "dec_mid")
GLOBAL = {"naf", "NAFEVSBlock"}


def adapt(golden: Golden) -> Case:
    if "gt" in golden.inputs:
        return Case("losses", _losses)
    config = golden.config
    network = METHOD.build(_config(config))

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
        if config.get("sub_image"):
            return {"image": _in_tiles(network, inputs["image"], config["sub_image_size"], config["overlap_size"])}
        answers = network(inputs["image"], everything=True)
        return _named(answers, inputs["image"])

    return Case("network DeepRFTv2", run, (("", network),))


def _config(config: Mapping[str, Any]) -> DeepRftConfig:
    names = {name for column in COLUMNS for level in config[f"baseblock_{column}"] for name in level}
    tables: dict[str, Any] = {f"{column}_layers": tuple(map(tuple, config[f"{column}_layers"])) for column in COLUMNS}
    for column in COLUMNS:
        tables[f"baseblock_{column}"] = tuple(tuple(map(_kind, level)) for level in config[f"baseblock_{column}"])
    return DeepRftConfig(
        dims=config["dims"][0],
        dims_ker=config["dims_ker"][0],
        baseblock_enc_ker=tuple(config["baseblock_enc_ker"]),
        enc_ker_layers=tuple(config["enc_ker_layers"]),
        train_size=None if names <= GLOBAL else tuple(config["train_size"][-2:]),
        patch=1,
        **tables,
    )


def _kind(name: str) -> str:
    """The block a name stands for. Those with local means have others, which start alike."""
    for kind in ("NAFEVS", "naf"):
        if name.lower().startswith(kind.lower()):
            return "NAFEVSBlock" if kind == "NAFEVS" else "naf"
    raise NotBuiltError(f"block {name}")


def _named(answers: Answers, image: Tensor) -> dict[str, Value]:
    names: dict[str, Value] = {"image": answers.image}
    for name, images in (("max", answers.images), ("mid", answers.halves)):
        names |= {f"{name}{number}": value for number, value in enumerate(images)}
    height, width = (-(-side // 8) * 8 for side in image.shape[-2:])
    stages = len(answers.responses) // 2
    for number, response in enumerate(answers.responses):
        scale = 1 if number < stages else 2
        name = "max" if number < stages else "mid"
        names[f"kernel_{name}{number % stages}"] = spatial_kernels(response, (height // scale, width // scale))
    return names


def _in_tiles(network: DeepRFT, image: Tensor, size: list[int], overlap: list[int]) -> Tensor:
    """As the authors tile: ramps that include their ends, and no division by their sum."""
    half, blended = half_size(image), torch.zeros_like(image)
    axes = [list(_tiles(*each)) for each in zip(image.shape[-2:], size, overlap, strict=True)]
    for (rows, down), (columns, across) in product(*axes):
        coarse = [slice(part.start // 2, part.stop // 2) for part in (rows, columns)]
        answers = network(image[..., rows, columns], half=half[..., coarse[0], coarse[1]])
        blended[..., rows, columns] += answers.image * down.to(image)[:, None] * across.to(image)
    return blended


def _tiles(length: int, size: int, overlap: int) -> Iterator[tuple[slice, Tensor]]:
    side = min(length, size)
    starts = [*range(0, length - side, side - overlap), length - side]
    for number, start in enumerate(starts):
        weights = torch.ones(side)
        if number:
            shared = starts[number - 1] + side - start
            weights[:shared] *= torch.linspace(0, 1, shared)
        if number + 1 < len(starts):
            shared = start + side - starts[number + 1]
            weights[side - shared :] *= torch.linspace(1, 0, shared)
        yield slice(start, start + side), weights


def _losses(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
    target = inputs["gt"]
    images, halves = ([value for name, value in sorted(inputs.items()) if name.startswith(kind)] for kind in ("max", "mid"))
    terms = TwoScales().terms(images, halves, target)
    return {
        "l_pix": terms["l1"],
        "l_fft": terms["fft"],
        "l_deblur": terms["half_l1"] + terms["half_fft"],
        "l_total": torch.stack(list(terms.values())).sum(),
        "gt_half": half_size(target),
    }
