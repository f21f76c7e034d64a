"""Gradients of dilated convolutions in bfloat16, which oneDNN gets wrong on some CPUs when maps lie pixel by pixel."""

from __future__ import annotations

import copy

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from restorekit.methods import Batch, get_method
from restorekit.settings import from_table
from restorekit.training import Recipe
from restorekit.training.dilated import keep_dilated_planar
from restorekit.training.learner import Learner


def gradients(network: nn.Module, image: Tensor, upstream: Tensor, precision: str) -> list[Tensor]:
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        answer = network(image)
    answer.backward(upstream.to(answer.dtype))
    return [parameter.grad.float() for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("groups", [1, 24])
@pytest.mark.parametrize("dilation", [2, 3])
def test_they_are_those_of_float32(groups: int, dilation: int) -> None:
    generator = torch.Generator().manual_seed(0)
    network: nn.Module = nn.Sequential(nn.Conv2d(24, 24, 3, padding=dilation, dilation=dilation, groups=groups, bias=False))
    network = network.to(memory_format=torch.channels_last)
    image, upstream = (torch.rand(4, 24, 40, 40, generator=generator).to(memory_format=torch.channels_last) for _ in range(2))
    exact = gradients(network, image, upstream, "fp32")
    keep_dilated_planar(network)
    for found, true in zip(gradients(network, image, upstream, "bf16"), exact, strict=True):
        assert float((found - true).norm() / true.norm()) < 0.01


def test_other_convolutions_stay_as_they_are() -> None:
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, dilation=2), nn.Conv2d(4, 1, 1)).to(
        memory_format=torch.channels_last
    )
    keep_dilated_planar(network)
    assert [bool(module._forward_pre_hooks) for module in network] == [False, True, False]
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last) and not network[0].weight.is_contiguous()
    assert network[1].weight.is_contiguous()
    assert copy.deepcopy(network)(torch.rand(1, 4, 9, 9)).shape == (1, 1, 3, 3)  # as the average of a training is made


@pytest.mark.parametrize("method", ["cbsn", "histoformer"])
def test_learning_in_bfloat16_goes_where_float32_goes(method: str) -> None:
    config = {
        "cbsn": {"filters": 24, "num_module": 1, "tail_channels": 8},
        "histoformer": {
            "dim": 8,
            "num_blocks": [1, 1, 1, 1],
            "num_refinement_blocks": 1,
            "heads": [1, 1, 2, 2],
            "ffn_expansion_factor": 2.0,
        },
    }[method]
    recipe = from_table(
        Recipe,
        {
            "name": "tiny",
            "method": method,
            "config": config,
            "objective": {"supervised": True} if method == "cbsn" else {},
            "data": {"clean": ["nowhere"]},
            "train": {"steps": 1, "batch": 2, "patch": 40},
        },
        "test",
    )
    target = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    batch = Batch(
        (target + 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(2))), target, {"step": torch.tensor(0)}
    )
    found = {}
    for precision in ("32-true", "bf16-mixed"):
        learner = Learner(
            recipe, get_method(method), recipe.method_config(), Fabric(accelerator="cpu", devices=1, precision=precision)
        )
        torch.manual_seed(0)
        losses = learner._losses(batch)
        learner.fabric.backward(torch.stack(list(losses.values())).sum())
        dilated = [module for module in learner.network.modules() if isinstance(module, nn.Conv2d) and max(module.dilation) > 1]
        found[precision] = torch.cat([module.weight.grad.flatten() for module in dilated])
        assert dilated
    exact, rounded = found.values()
    assert float((rounded - exact).norm() / exact.norm()) < 0.1
