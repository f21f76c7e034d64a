"""``histoformer``: the network, parts of it alone, and its losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from restorekit.methods.base import Batch
from restorekit.methods.histoformer import METHOD, HistoformerConfig, HistoformerObjectiveSettings
from restorekit.methods.histoformer.attention import HistogramAttention
from restorekit.methods.histoformer.blocks import DualScaleFeedForward, TransformerBlock
from restorekit.methods.histoformer.objective import L1AndCorrelation, correlation_loss, pearson
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.golden import Golden

MODELS = ("histoformer", "histoformer-loss")


def adapt(golden: Golden) -> Case:
    if {"pred", "gt"} <= golden.inputs.keys():
        return Case("losses", lambda inputs: _losses(inputs, golden.config["mix"]))
    network = _build(golden.config)

    def run(inputs: Mapping[str, Tensor]) -> dict[str, Value]:
        (x,) = inputs.values()
        answers: dict[str, Value] = {}
        for name, part in network.named_modules():
            if name in golden.outputs:
                part.register_forward_hook(lambda _, __, output, name=name: answers.update({name: output}))
        return {**answers, "output": network(x)}

    return Case(golden.config.get("module", "network"), run, (("", network),), convert=METHOD.convert_state_dict)


def _build(config: Mapping[str, Any]) -> nn.Module:
    module = config.get("module", "network")
    if module == "network":
        return METHOD.build(
            HistoformerConfig(
                dim=config["dim"],
                num_blocks=tuple(config["num_blocks"]),
                num_refinement_blocks=config["num_refinement_blocks"],
                heads=tuple(config["heads"]),
                ffn_expansion_factor=config["ffn_expansion_factor"],
                bias=config["bias"],
                LayerNorm_type=config["LayerNorm_type"],
            )
        )
    channels, bias = config["dim"], config["bias"]
    if module == "DHSA":
        return HistogramAttention(channels, config["num_heads"], bias)
    hidden = int(channels * config["ffn_expansion_factor"])
    if module == "DGFF":
        return DualScaleFeedForward(channels, hidden, bias)
    if module == "TransformerBlock":
        return TransformerBlock(channels, config["num_heads"], hidden, bias, config["LayerNorm_type"])
    raise NotBuiltError(f"module {module}")


def _losses(inputs: Mapping[str, Tensor], mix: float) -> dict[str, Value]:
    target = inputs["gt"]
    prediction = mix * target + (1 - mix) * inputs["pred"]
    terms = L1AndCorrelation(HistoformerObjectiveSettings())(nn.Identity(), Batch(prediction, target, {}))
    return {
        "pearson_r": pearson(prediction, target).unsqueeze(1),
        "pearson_loss": terms["correlation"],
        "l1": terms["l1"],
        "total": terms["l1"] + terms["correlation"],
        "pearson_loss_constant_target": correlation_loss(prediction, target.new_full(target.shape, 0.5)),
        "pearson_loss_inverted": correlation_loss(1 - target, target),
    }
