"""``rrformer``: the network with and without its body, VGG-19's maps, the discriminators, the losses, and two syntheses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.degradations.reflection import ceil_synthesis, perceptual_synthesis
from restorekit.methods.rrformer import METHOD, RrformerConfig
from restorekit.methods.rrformer.discriminators import DISCRIMINATORS
from restorekit.methods.rrformer.objective import discriminator_loss, generator_loss, gradient_loss
from restorekit.methods.rrformer.perceptual import (
    CONTEXT,
    CONV5_2,
    context_loss,
    contextual,
    deep_feature_loss,
    feature_loss,
)
from restorekit.methods.rrformer.vgg import LEVELS, Vgg19
from restorekit.metrics import psnr, ssim
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.golden import Golden

MODELS = ("rrformer", "rrformer-vgg", "rrformer-disc", "rrformer-loss", "rrformer-synthesis")

Inputs = Mapping[str, Tensor]


def adapt(golden: Golden) -> Case:
    if golden.model == "rrformer-vgg":
        return _vgg(golden)
    if golden.model == "rrformer-disc":
        return _discriminator(golden.config)
    if golden.model == "rrformer-loss":
        return _losses(golden)
    if golden.model == "rrformer-synthesis":
        return Case("syntheses", lambda inputs: _syntheses(inputs, golden.config))
    return _network(golden.config)


def _network(config: Mapping[str, Any]) -> Case:
    network = METHOD.build(
        RrformerConfig(
            n_feats=config["n_feats"],
            dim=config["dim"],
            depths=tuple(config["depths"]),
            heads=tuple(config["heads"]),
            window=config["window"],
            mlp_ratio=config["mlp_ratio"],
            hyper_levels=len(LEVELS) if config["hyper"] else 0,
            train_vgg=False,
            fold=1,
            residual=False,
            whole_cells=False,
            smooth_cells=False,
            calm_groups=False,
            img_size=config["img_size"],
            patch_size=config["patch_size"],
        )
    )

    def run(inputs: Inputs) -> dict[str, Value]:
        (image,) = inputs.values()
        encoded = network.encode(image)
        body = network.swinir_block(encoded)
        answers: dict[str, Value] = {"conv3": encoded, "body": body}
        for ending, entering in (("", encoded), ("_with_body", body)):
            features = network.decode(entering)
            preact = network.deconv3(features)
            output = preact.relu()
            answers |= {f"features{ending}": features, f"preact{ending}": preact, f"output{ending}": output}
        height, width = image.shape[-2:]
        assert torch.equal(network(image), output[..., :height, :width]), "the network is not the sum of its parts"
        return answers

    return Case("network RRFormer", run, (("", network),), constant=("attn_mask",))


def _vgg(golden: Golden) -> Case:
    vgg = Vgg19(_depth(golden.state_dict))

    def run(inputs: Inputs) -> dict[str, Value]:
        (image,) = inputs.values()
        levels = list(vgg.maps(image, golden.config["levels"]))
        resized = [F.interpolate(level, image.shape[-2:], mode="bilinear") for level in levels]
        answers: dict[str, Value] = {f"level{i}": level for i, level in enumerate(levels, start=1)}
        answers["hypercolumn"] = torch.cat([image, *resized], 1)
        for name in golden.outputs:
            if name.startswith("idx_"):
                *counts, which = map(int, name.split("_")[1:])
                answers[name] = list(vgg.maps(image, _overwritten(vgg, counts)))[which]
        return answers

    return Case("VGG-19", run, (("", nn.ModuleDict({"features": vgg})),))


def _overwritten(vgg: Vgg19, counts: list[int]) -> list[int]:
    """What the authors' indices stand for: the ReLU after a convolution overwrites its map, unless it is the last."""
    return [*(count + isinstance(vgg[count - 1], nn.Conv2d) for count in counts[:-1]), counts[-1]]


def _depth(keys: Iterable[str]) -> int:
    """The layers up to the last convolution in a state dict."""
    return 1 + max(int(key.split(".")[1]) for key in keys if key.startswith("features."))


def _discriminator(config: Mapping[str, Any]) -> Case:
    kind = DISCRIMINATORS.get(config["kind"])
    if kind is None:
        raise NotBuiltError(f"discriminator {config['kind']}")
    network = kind(config["in_channels"])
    return Case(f"discriminator {config['kind']}", lambda inputs: {"logits": network(inputs["x"])}, (("", network),))


def _losses(golden: Golden) -> Case:
    weights = golden.config["weights"]
    vgg, discriminator = Vgg19(CONV5_2), DISCRIMINATORS["disc_vgg"]()

    def run(inputs: Inputs) -> dict[str, Value]:
        prediction, target = inputs["pred"], inputs["target"]
        mse, gradient = F.mse_loss(prediction, target), gradient_loss(prediction, target)
        pixel = weights["mse"] * mse + weights["gradient"] * gradient
        features = feature_loss(vgg, prediction, target)
        deep = deep_feature_loss(vgg, prediction, target)
        answers: dict[str, Value] = {
            "mse": mse,
            "gradient": gradient,
            "pixel": pixel,
            "vgg": features,
            "total_epoch0": pixel + weights["lambda_vgg"] * features,
            "unaligned_vgg31_x1000": 1000 * 0.1 * deep,
            "cx_features": contextual(inputs["feat_i"], inputs["feat_t"]),
            "unaligned_ctx": 0.1 * context_loss(vgg, prediction, target, CONTEXT["ctx"])[0],
            "unaligned_ctx_vgg": 0.1 * (context_loss(vgg, prediction, target, CONTEXT["ctx_vgg"])[0] + deep),
        }
        scores = discriminator(inputs["dimg_real"]), discriminator(inputs["dimg_fake"])
        for kind in ("sgan", "rsgan", "rasgan"):
            answers[f"gan_{kind}_G"] = generator_loss(inputs["d_real"], inputs["d_fake"], kind)
            answers[f"gan_{kind}_D"] = discriminator_loss(inputs["d_real"], inputs["d_fake"], kind)
            answers[f"{kind}_disc_vgg_G"] = generator_loss(*scores, kind)
            answers[f"{kind}_disc_vgg_D"] = discriminator_loss(*scores, kind)
        a, b = _eight_bits(inputs["img_a"], inputs["img_n"])
        return {**answers, "psnr": psnr(a, b, 255), "ssim": ssim(a, b, 255)}

    return Case("losses", run, (("", nn.ModuleDict({"features": vgg})), ("", discriminator)))


def _eight_bits(image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The two 8-bit images ``(1, 3, H, W)`` that the metrics compare."""
    a = (256 * image.double()).floor()
    b = (a + (41 * noise.double()).floor() - 20).clamp(0, 255)
    return a.permute(2, 0, 1)[None], b.permute(2, 0, 1)[None]


def _syntheses(inputs: Inputs, config: Mapping[str, Any]) -> dict[str, Value]:
    images = {name: ((256 * value).floor() / 255).permute(2, 0, 1)[None] for name, value in inputs.items()}
    ceil, perceptual = config["ceil"], config["perceptual"]
    sigma, attenuation, alpha = (torch.tensor([perceptual[name]]) for name in ("sigma", "att", "alpha2"))
    corner = torch.tensor([[perceptual["mask_x"], perceptual["mask_y"]]])
    answers: dict[str, Value] = {}
    for ending, layers in (("", (images["B"], images["R"])), ("_dark", (images["B2"], images["R2"]))):
        mixtures = {
            "ceil": ceil_synthesis(*layers, torch.tensor([ceil["sigma"]]), ceil["gamma"], ceil["kernel"]),
            "perc": perceptual_synthesis(*layers, sigma, attenuation, corner, alpha),
        }
        for name, mixture in mixtures.items():
            for letter, layer in zip("TRM", mixture, strict=True):
                answers[f"{name}_{letter}{ending}"] = layer[0].permute(1, 2, 0)
    return answers
