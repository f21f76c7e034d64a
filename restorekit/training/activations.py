"""Activations that are computed twice rather than kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

_CONTAINERS = (nn.Sequential, nn.ModuleList)


def checkpoint_blocks(network: nn.Module) -> int:
    """Make the outermost blocks of ``network`` forget their activations and compute them again in the backward pass.

    A block is a member of a ``Sequential`` or ``ModuleList`` that has modules of its own. The numbers, running statistics and the
    state dict's keys stay as they are; a step takes about a third longer and much less memory.

    Returns:
        How many blocks there are.
    """
    blocks = list(_blocks(network))
    for block in blocks:
        _forget(block)
    return len(blocks)


def _blocks(module: nn.Module) -> Iterator[nn.Module]:
    is_container = isinstance(module, _CONTAINERS)
    for child in module.children():
        if is_container and not isinstance(child, _CONTAINERS) and any(child.children()):
            yield child
        else:
            yield from _blocks(child)


def _forget(block: nn.Module) -> None:
    inner = block.forward
    averaging = [module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    contexts: dict[str, Any] = {"context_fn": lambda: (nullcontext(), _statistics_kept(averaging))} if averaging else {}

    def forward(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(inner, *args, use_reentrant=False, **contexts, **kwargs)

    block.forward = forward


@contextmanager
def _statistics_kept(modules: Sequence[nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """What is computed again has been averaged already."""
    momenta = [module.momentum for module in modules]
    counts = [None if module.num_batches_tracked is None else module.num_batches_tracked.clone() for module in modules]
    try:
        for module in modules:
            module.momentum = 0.0
        yield
    finally:
        for module, momentum, count in zip(modules, momenta, counts, strict=True):
            module.momentum = momentum
            if count is not None:
                module.num_batches_tracked.copy_(count)  # type: ignore[union-attr]
