"""The selective scan in a form that graphs for other runtimes hold: loops whose length need not be known beforehand.

The sequence is cut into rows of :data:`STEPS` pixels, and one step of the recurrence is taken in all rows at once: first from
zero, to see where each row ends; then from row to row, to see where each starts; then from there. No state is kept but the last,
and a loop has few turns with much to do in each.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops.scan import scan
from torch.nn import functional as F

STEPS = 256
"""Pixels of a row: at this many, a tile of 256 x 256 pixels has as many rows as steps."""


def traced_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """See :func:`restorekit.methods.deeprft.scan.selective_scan`."""
    batch, length, inner = u.shape
    rates = a.t().contiguous()
    states = rates.shape[0]
    count = (length + STEPS - 1) // STEPS

    def step_by_step(x: Tensor) -> Tensor:
        """``(B, L, C)`` as ``(STEPS, B count, C)``; where a row goes on beyond the end, steps of zero leave states alone."""
        padded = F.pad(x, (0, 0, 0, count * STEPS - length))
        return padded.view(batch * count, STEPS, x.shape[2]).transpose(0, 1).contiguous()

    def advanced(state: Tensor, dt: Tensor, x: Tensor, b: Tensor) -> Tensor:
        return torch.exp(dt.unsqueeze(1) * rates) * state + x.unsqueeze(1) * b.unsqueeze(2)

    def to_the_end(state: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        return advanced(state, *given), given[0][:1, :1].clone()  # a loop must give something

    def to_the_next(state: Tensor, given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        decay, end = given
        return decay * state + end, state.clone()

    def with_answers(state: Tensor, given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        *taken, gives = given
        state = advanced(state, *taken)
        return state, torch.matmul(gives.unsqueeze(1), state).squeeze(1)

    def row_by_row(x: Tensor) -> Tensor:
        return x.view(batch, count, states, inner).transpose(0, 1).contiguous()

    steps, taken = step_by_step(dt), (step_by_step(dt * u), step_by_step(b))
    ends, _ = scan(to_the_end, u.new_zeros(batch * count, states, inner), (steps, *taken))
    decay = torch.exp(steps.sum(0).unsqueeze(1) * rates)
    _, starts = scan(to_the_next, u.new_zeros(batch, states, inner), (row_by_row(decay), row_by_row(ends)))
    first = starts.transpose(0, 1).reshape(batch * count, states, inner)
    _, y = scan(with_answers, first, (steps, *taken, step_by_step(c)))
    return y.transpose(0, 1).reshape(batch, count * STEPS, inner)[:, :length]
