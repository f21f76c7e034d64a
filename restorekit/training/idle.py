"""Which parts of a network have stopped learning: dead ReLUs, branches that another drowns, losses too small for Adam to see."""

from __future__ import annotations

from collections import defaultdict

from torch import Tensor, nn
from torch.optim import Optimizer

EPS = 1e-8
"""Adam's: it takes gradients well below this for none."""
EARLIEST = 100
"""Steps after which there is something to tell: branches that begin as zero need some to wake up."""
WORTH_TELLING = 0.05
"""Share of all weights."""
NAMED = 3
"""How many parts are named, the largest first."""


def idle_weights(network: nn.Module, optimiser: Optimizer) -> dict[str, int]:
    """How many weights stand still, by the first two parts of their names, the most first; those that are frozen do not count.

    A tensor stands still if the root mean square of its gradient, averaged by Adam over its last steps, is below :data:`EPS`.

    Args:
        network: what is trained.
        optimiser: Adam or AdamW itself, not a wrapper.
    """
    counts: dict[str, int] = defaultdict(int)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad and not _learns(optimiser.state.get(parameter, {}).get("exp_avg_sq")):
            counts[".".join(name.split(".")[:2])] += parameter.numel()
    return dict(sorted(counts.items(), key=lambda part: -part[1]))


def _learns(squares: Tensor | None) -> bool:
    return squares is not None and bool(squares.mean() > EPS**2)


def idle_note(network: nn.Module, optimiser: Optimizer) -> str:
    """A sentence on the weights that stand still, if it is worth telling; else nothing."""
    idle = idle_weights(network, optimiser)
    every = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    if sum(idle.values()) < WORTH_TELLING * every:
        return ""
    parts = ", ".join(list(idle)[:NAMED]) + (", ..." if len(idle) > NAMED else "")
    share = sum(idle.values()) / every
    return f"{share:.0%} of the weights stand still, for hardly any gradient reaches them: {parts}. Lower train.learning_rate?"
