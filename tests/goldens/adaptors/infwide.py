"""``infwide``: the network with all its stages, the Wiener deconvolution, the losses, and the statistics of the camera model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from restorekit.degradations.base import seeded_generator
from restorekit.degradations.lowlight import Exposure, clip_highlights, low_light_noise
from restorekit.layers import convolve_circular, unit_sum
from restorekit.losses import dssim, squared_variation
from restorekit.methods.infwide import METHOD, ImageTerms, InfwideConfig
from restorekit.methods.infwide.objective import at_size_of, image_loss, reblur_loss
from restorekit.methods.infwide.wiener import Wiener, noise_level
from tests.goldens.adaptor import Case, Value
from tests.goldens.golden import Golden

MODELS = ("infwide", "infwide-wiener", "infwide-loss", "infwide-noise-stats")

ROWS, COLUMNS = 2048, 512


def adapt(golden: Golden) -> Case:
    config = golden.config
    if golden.model == "infwide":
        return _network(config)
    if golden.model == "infwide-wiener":
        return Case("Wiener deconvolution", _wiener)
    if golden.model == "infwide-loss":
        return Case("losses", lambda inputs: _losses(inputs, config))
    return Case("camera statistics", lambda inputs: {"stats": _statistics(config)})


def _network(config: Mapping[str, Any]) -> Case:
    network = METHOD.build(
        InfwideConfig(
            n_colors=config["n_colors"],
            feat=config["feat"],
            width=config["width"],
            n_resblock=config["n_resblock"],
            n_conv=config["n_conv"],
            denoise=tuple(config["denoise"]),
            input_denoise="ResUnet" if config["input_denoise"] == "ResUnet" else "none",
            square_count=True,
        )
    )

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
        image, kernel = inputs["img"], inputs["kernel"]
        features = network.FeatModule1(image)
        branches = network(image, kernel, with_half=True)
        assert branches.half is not None
        return {
            "nsr": noise_level(image),
            "feat": features,
            "feat_wd": Wiener(kernel, *image.shape[-2:])(features),
            "feat_out": branches.features,
            "img_denoise": branches.denoised,
            "img_wd": branches.deconvolved,
            "out_half": branches.half,
            "out": branches.out,
        }

    return Case("network INFWIDE", run, (("", network),))


def _wiener(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
    answers: dict[str, Value] = {}
    for name, x in inputs.items():
        if name.startswith("x_"):
            tag = name.removeprefix("x_")
            deconvolve = Wiener(inputs[f"k_{tag}"], *x.shape[-2:])
            answers[f"y_{tag}"] = deconvolve(x)
            answers[f"wiener_nsr_{tag}"] = deconvolve.noise_to_signal(deconvolve.surround(x))
            answers[f"denoiser_nsr_{tag}"] = noise_level(x)
    return answers


def _losses(inputs: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Value]:
    main, denoise, loss = _terms(config["main"]), _terms(config["denoise"]), config["loss"]
    target, blurred, kernel = inputs["target"], inputs["blurred"], unit_sum(inputs["kernel"])
    half, out, denoised = inputs["out_half"], inputs["out"], inputs["denoised"]
    losses = {
        "main_half": image_loss(half, at_size_of(target, half), main),
        "main_full": image_loss(out, target, main),
        "denoise": image_loss(denoised, blurred, denoise),
        "forward_conv": reblur_loss(out, kernel, blurred),
    }
    fidelity = losses["main_half"] + losses["main_full"]  # the authors' code does not use the weight of this one
    return {
        **losses,
        "total": fidelity + loss["input_denoise_loss"] * losses["denoise"] + loss["forward_conv_loss"] * losses["forward_conv"],
        "l1_full": image_loss(out, target, ImageTerms(l1=1)),
        "mse_full": image_loss(out, target, ImageTerms(mse=1)),
        "ssim_loss_full": dssim(out, target),
        "tv_full": squared_variation(out),
        "reblurred": convolve_circular(out, kernel),
    }


def _terms(weights: Mapping[str, float]) -> ImageTerms:
    return ImageTerms(**{name.removesuffix("_loss"): weight for name, weight in weights.items()})


def _statistics(config: Mapping[str, Any]) -> Tensor:
    """Mean and standard deviation of each colour of constant fields, ``(levels, 6)``."""
    exposure = Exposure(*(torch.tensor(float(config[name])) for name in ("kc", "sigma_r", "nd_factor", "sigma_beta")))
    generator = seeded_generator(2023)
    rows = []
    for level in config["levels"]:
        field = torch.full((1, 3, ROWS, COLUMNS), level / 255)
        taken = clip_highlights(low_light_noise(field, exposure, generator), 1.2).double()
        rows.append(torch.cat([taken.mean((0, 2, 3)), taken.std((0, 2, 3))]))
    return torch.stack(rows)
