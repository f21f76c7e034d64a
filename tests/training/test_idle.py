"""Weights that stand still are found and told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restorekit.training.idle import idle_note, idle_weights


class Branches(nn.Module):
    """Two branches, of which one is behind a ReLU that can be dead, and a part that is never asked."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.living = nn.Sequential(nn.Linear(4, 4))
        self.dying = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        nn.init.constant_(self.dying[0].bias, bias)
        self.frozen = nn.Linear(4, 100).requires_grad_(False)
        self.unasked = nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.living(x) + self.dying(x)


def taught(bias: float, scale: float = 1.0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = Branches(bias)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(20):
        optimiser.zero_grad()
        (scale * (network(torch.rand(8, 4)) - 1).square().mean()).backward()
        optimiser.step()
    return network, optimiser


def test_a_living_network_has_nothing_to_tell() -> None:
    network, optimiser = taught(bias=1.0)
    assert idle_weights(network, optimiser) == {"unasked.weight": 2, "unasked.bias": 1}
    network.unasked.requires_grad_(False)
    assert idle_note(network, optimiser) == ""


def test_a_dead_branch_is_named_with_its_share() -> None:
    network, optimiser = taught(bias=-100.0)
    assert idle_weights(network, optimiser) == {"dying.0": 20, "unasked.weight": 2, "unasked.bias": 1}
    note = idle_note(network, optimiser)
    assert note.startswith("53% of the weights stand still") and "dying.0, unasked.weight, unasked.bias." in note


@pytest.mark.parametrize(("scale", "told"), [(1e-4, False), (1e-10, True)])
def test_gradients_below_adams_eps_are_none(scale: float, told: bool) -> None:
    network, optimiser = taught(bias=1.0, scale=scale)
    network.unasked.requires_grad_(False)
    assert bool(idle_note(network, optimiser)) is told
