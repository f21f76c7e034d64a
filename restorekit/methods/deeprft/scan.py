"""The selective scan: a recurrence along the pixels whose coefficients depend on the pixels.

Source: "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (2023, arXiv 2312.00752), as DeepRFTv2 uses it.

The published code calls a CUDA kernel. Here the recurrence ``h_t = d_t h_(t-1) + x_t`` is solved by a work-efficient parallel
scan: ``(d, x)`` of neighbouring spans merge to ``(d_left d_right, d_right x_left + x_right)``, up a tree and down again (Brent
and Kung). That is the same sum in another order; as every ``d`` is at most 1, nothing can overflow. Coefficients are made for one
piece of the sequence at a time, as long as a cache (on a CPU) or a launch (on a GPU) likes, and the state is handed from piece to
piece: memory does not grow with the number of states, and no Python loop runs over pixels. To ``torch.compile`` the whole is one
operator, without a break in the graph; to other runtimes it is loops (:mod:`restorekit.methods.deeprft.traced_scan`).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, library

from restorekit.layers.tracing import is_exported

_PIECE = {"cpu": 2**19, "cuda": 2**26}
"""Coefficients that are held at a time."""


def selective_scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``y_t = sum_n c_t[n] h_t[:, n]`` with ``h_t = exp(dt_t a) h_(t-1) + dt_t u_t b_t``, starting from zero.

    Args:
        u: input, ``(batch, L, I)``.
        dt: step of each channel, not negative, ``(batch, L, I)``.
        a: decay of each channel's N states, negative, ``(I, N)``.
        b: what each state takes in, ``(batch, L, N)``.
        c: what each state gives, ``(batch, L, N)``.

    Returns:
        ``(batch, L, I)``. All are of one precision, float32 or float64.
    """
    if is_exported():
        from restorekit.methods.deeprft.traced_scan import traced_scan

        return traced_scan(u, dt, a, b, c)
    y: Tensor = _scan(u, dt, a, b, c)[0]
    return y


@library.custom_op("restorekit::selective_scan", mutates_args=())
def _scan(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """The answer, and the state at the start of each piece, ``(pieces, batch, N, I)``."""
    rates = a.t().contiguous()
    state = u.new_zeros(u.shape[0], *rates.shape)
    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    starts = []
    for piece in _pieces(u, rates.shape[0]):
        starts.append(state)
        decay, states = _coefficients(u[:, piece], dt[:, piece], rates, b[:, piece])
        states[:, 0].addcmul_(decay[:, 0], state)
        _solve(decay, states)
        y[:, piece] = torch.matmul(c[:, piece, None], states).squeeze(2)
        state = states[:, -1].clone()
    return y, torch.stack(starts)


@library.custom_op("restorekit::selective_scan_backward", mutates_args=())
def _scan_backward(
    grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of u, dt, a, b and c.

    The gradient of the states obeys the recurrence backwards, ``g_t = d_(t+1) g_(t+1) + c_t grad_t``, so it is solved the same
    way, from the last piece to the first; the states themselves are made again from the ones kept.
    """
    rates = a.t().contiguous()
    grad_u, grad_dt = torch.empty_like(u), torch.empty_like(dt)
    grad_b, grad_c, grad_rates = torch.empty_like(b), torch.empty_like(c), torch.zeros_like(rates)
    handed = u.new_zeros(u.shape[0], *rates.shape)
    for start, piece in reversed(list(zip(starts, _pieces(u, rates.shape[0]), strict=True))):
        steps, inputs = dt[:, piece], u[:, piece]
        decay, states = _coefficients(inputs, steps, rates, b[:, piece])
        states[:, 0].addcmul_(decay[:, 0], start)
        _solve(decay.clone(), states)
        grads = c[:, piece, :, None] * grad[:, piece, None]
        grads[:, -1] += handed
        grads = _solve_backwards(decay, grads)
        handed = decay[:, 0] * grads[:, 0]

        grad_c[:, piece] = torch.matmul(states, grad[:, piece, :, None]).squeeze(3)
        taken = torch.matmul(b[:, piece, None], grads).squeeze(2)
        grad_b[:, piece] = torch.matmul(grads, (steps * inputs).unsqueeze(3)).squeeze(3)
        before = torch.cat([start.unsqueeze(1), states[:, :-1]], 1)
        exponents = grads.mul_(decay).mul_(before)
        grad_rates += (exponents * steps.unsqueeze(2)).sum((0, 1))
        grad_dt[:, piece] = (exponents * rates).sum(2) + taken * inputs
        grad_u[:, piece] = taken * steps
    return grad_u, grad_dt, grad_rates.t().contiguous(), grad_b, grad_c


def _pieces(u: Tensor, states: int) -> Iterator[slice]:
    batch, length, channels = u.shape
    step = max(1, _PIECE.get(u.device.type, 2**22) // (batch * channels * states))
    return (slice(first, min(first + step, length)) for first in range(0, length, step))


def _coefficients(u: Tensor, dt: Tensor, rates: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """``exp(dt_t a)`` and ``dt_t u_t b_t`` for all t, ``(batch, L, N, I)``."""
    return (dt.unsqueeze(2) * rates).exp_(), (dt * u).unsqueeze(2) * b.unsqueeze(3)


def _solve(decay: Tensor, states: Tensor) -> None:
    """Turn ``x`` into ``h_t = d_t h_(t-1) + x_t`` along the second axis, in place; ``decay`` is used up."""
    length = states.shape[1]
    span = 1
    while span < length:  # up: spans of 2, 4, 8... end with their own sum and product
        right = slice(2 * span - 1, None, 2 * span)
        left = slice(span - 1, length - span, 2 * span)
        states[:, right].addcmul_(decay[:, right], states[:, left])
        decay[:, right] *= decay[:, left]
        span *= 2
    while span > 1:  # down: what lies between gets what came before it
        span //= 2
        right, left = slice(3 * span - 1, None, 2 * span), slice(2 * span - 1, length - span, 2 * span)
        states[:, right].addcmul_(decay[:, right], states[:, left])


def _solve_backwards(decay: Tensor, grads: Tensor) -> Tensor:
    """``g_t = d_(t+1) g_(t+1) + x_t`` along the second axis."""
    turned = grads.flip(1)
    _solve(decay.roll(-1, 1).flip(1), turned)
    return turned.flip(1)


@_scan.register_fake
def _(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    pieces = len(list(_pieces(u, a.shape[1])))
    return torch.empty_like(u, memory_format=torch.contiguous_format), u.new_empty(pieces, u.shape[0], *a.t().shape)


@_scan_backward.register_fake
def _(
    grad: Tensor, u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(dt), torch.empty_like(a), torch.empty_like(b), torch.empty_like(c)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx, grad, _):  # type: ignore[no-untyped-def]
    return _scan_backward(grad, *ctx.saved_tensors)


_scan.register_autograd(_differentiate, setup_context=_keep)
