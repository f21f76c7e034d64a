"""Training a column without keeping its activations: they are made again, and the old states had back from the new ones.

Of ``c_l = alpha_l * c_l(old) + level_l(c_(l-1))`` the backward pass makes ``level_l(c_(l-1))`` again, with gradients, from the
last level to the first, and has the old state as ``(c_l - level_l(c_(l-1))) / alpha_l``, which is what the column before
answered. So of any number of columns the states of the last are enough, and each is given up as soon as the next column has used
it. What rounding adds grows by 1 / |alpha|: states stay in float32 where autocast lowers the precision of the rest.

Source: "Reversible Column Networks" (2022, arXiv 2212.11696), as DeepRFTv2 trains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from restorekit.methods.deeprft.columns import Column, States


@dataclass
class Slot:
    """Where a column finds a state of its own again: given up by the column after it, and brought back in backward."""

    value: Tensor | None = None


@dataclass(frozen=True)
class State:
    """What one level of a column hands to the next column.

    Attributes:
        value: ``(B, C, H, W)``.
        slot: where it must be brought back to; None where it is kept anyway.
    """

    value: Tensor
    slot: Slot | None = None


@dataclass
class _Call:
    """What a backward pass must know of its forward pass, besides tensors."""

    column: Column
    others: int
    old_slots: list[Slot | None]
    old_types: list[torch.dtype | None]
    new_slots: list[Slot] = field(default_factory=list)
    autocast: tuple[bool, torch.dtype] = (False, torch.float32)


@torch.compiler.disable  # type: ignore[untyped-decorator]
def run_reversibly(column: Column, x: Tensor, old: States, others: Sequence[Tensor]) -> States:
    """The new states of ``column``; see :meth:`restorekit.methods.deeprft.columns.Column.forward`. Backward works once."""
    call = _Call(
        column,
        len(others),
        [None if state is None else state.slot for state in old],
        [None if state is None else state.value.dtype for state in old],
    )
    kind = x.device.type
    call.autocast = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
    for slot in call.old_slots:
        if slot is not None:
            slot.value = None
    values = _Reversible.apply(call, x, *others, *(None if s is None else s.value for s in old), *_parameters(column))
    return tuple(State(value, slot) for value, slot in zip(values, call.new_slots, strict=True))


def _parameters(column: Column) -> list[Tensor]:
    """The levels' parameters, level by level, then the shortcuts' factors."""
    levels = [p for number in range(column.depth) for p in column.get_submodule(f"level{number}").parameters()]
    return [*levels, *(column.alpha(number) for number in range(column.depth))]


class _Reversible(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, x: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        column = call.column
        others, old = tensors[: call.others], tensors[call.others : call.others + column.depth]
        alphas = tensors[-column.depth :]
        new: list[Tensor] = []
        below = x
        for number in range(column.depth):
            answer = column.level(number, below, _other(column, number, old, others))
            before, alpha = old[number], alphas[number]
            below = answer if before is None or alpha is None else alpha * before + answer
            new.append(below)
        ctx.call = call
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, *others, *alphas)
        call.new_slots = [Slot(value.detach()) for value in new]
        return tuple(new)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        call: _Call = ctx.call
        column, depth = call.column, call.column.depth
        x, *saved = ctx.saved_tensors
        others, alphas = saved[: call.others], saved[-depth:]
        new = _taken(call.new_slots)
        enabled, dtype = call.autocast

        old: list[Tensor | None] = [None] * depth
        grad_below: Tensor | None = None
        grad_others: list[Tensor | None] = [None] * call.others
        grad_old: list[Tensor | None] = [None] * depth
        grad_alphas: list[Tensor | None] = [None] * depth
        grad_levels: list[list[Tensor | None]] = [[] for _ in range(depth)]
        for number in reversed(range(depth)):
            level = column.get_submodule(f"level{number}")
            below = (new[number - 1] if number else x).detach().requires_grad_()
            other = _other(column, number, old, others)
            other = None if other is None else other.detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(x.device.type, dtype, enabled, cache_enabled=False):
                answer = column.level(number, below, other)
            grad = _sum(grads[number], grad_below)
            wanted = [below, *([] if other is None else [other]), *level.parameters()]
            found: list[Tensor | None] = [None] * len(wanted)
            if grad is not None:
                found = list(torch.autograd.grad(answer, wanted, grad.to(answer.dtype), allow_unused=True))
            grad_below = found.pop(0)
            if other is not None:
                if column.looks_ahead:
                    grad_old[number + 1] = _sum(grad_old[number + 1], found.pop(0))
                else:
                    grad_others[number] = found.pop(0)
            grad_levels[number] = found
            kind = call.old_types[number]
            if kind is not None:
                before = ((new[number] - answer.detach()) / alphas[number]).to(kind)
                old[number] = before
                if grad is not None:
                    grad_alphas[number] = (grad * before).sum((0, 2, 3), keepdim=True)
                    grad_old[number] = grad * alphas[number]
        for slot, value in zip(call.old_slots, old, strict=True):
            if slot is not None:
                slot.value = value
        flat = [grad for level in grad_levels for grad in level]
        return None, grad_below, *grad_others, *grad_old, *flat, *grad_alphas


def _other(column: Column, number: int, old: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> Tensor | None:
    if column.looks_ahead:
        return old[number + 1] if number + 1 < column.depth else None
    return others[number] if others else None


def _taken(slots: Sequence[Slot]) -> list[Tensor]:
    """The values of the slots, which are empty then."""
    values = [slot.value for slot in slots]
    for slot in slots:
        slot.value = None
    if any(value is None for value in values):
        raise RuntimeError("a reversible column's states were given up: run backward once, from a loss of all that was answered")
    return [value for value in values if value is not None]


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return a if b is None else b if a is None else a + b
