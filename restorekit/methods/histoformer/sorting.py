"""Sorting maps, and undoing it: what dynamic-range histogram attention does more than anything else.

A permutation of N positions is an int64 tensor ``order``: the value of rank n lies at position ``order[n]``. Sorting is
``x.gather(-1, order)``; :func:`unsort` undoes it. Orders carry no gradient; the values that they move do.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported

_WORTH_A_THREAD = 2**18  # values that sort in about a millisecond, ten times what starting a thread takes


def ascending_order(x: Tensor) -> Tensor:
    """The order that sorts the last dimension ascending, equal values by position; int64, the shape of ``x``.

    On a CPU each float32 becomes an integer that sorts alike; it and its position share one int64, so that no two are equal and
    NumPy's vectorised sort of plain values does what a stable sort with indices would, at a third of the time. Elsewhere, for
    float64, and where the call is traced, PyTorch sorts.
    """
    x = x.detach()
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    if x.device.type == "cpu" and x.dtype == torch.float32 and not is_traced():
        return _packed_order(x)
    if is_exported():  # ONNX knows no stable sort by name; TopK, which the plain one becomes there, is stable
        return torch.sort(x, dim=-1).indices
    return torch.sort(x, dim=-1, stable=True).indices


def is_traced() -> bool:
    """Whether operations are being recorded (compiled, exported), so that NumPy and conditions on sizes must stay out."""
    return torch.compiler.is_compiling() or is_exported()


def _packed_order(x: Tensor) -> Tensor:
    bits = (x + 0.0).contiguous().view(torch.int32)  # -0.0 + 0.0 is 0.0: the two zeros are equal
    keys = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # without this, negative numbers would sort the wrong way round
    packed = keys.to(torch.int64).bitwise_left_shift_(32)
    packed.bitwise_or_(torch.arange(x.shape[-1], device=x.device))
    _sort_rows(packed)
    return packed.bitwise_and_(0xFFFFFFFF)


def _sort_rows(x: Tensor) -> None:
    """Sort the last dimension of a contiguous tensor in place, on as many threads as PyTorch may use.

    NumPy holds no lock while it sorts. Threads are not kept: a process that forks later must not miss them.
    """
    rows = x.view(-1, x.shape[-1]).numpy()
    threads = min(torch.get_num_threads(), x.numel() // _WORTH_A_THREAD, len(rows))
    if threads <= 1:
        rows.sort(axis=-1)
        return
    bounds = [i * len(rows) // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda first, last: rows[first:last].sort(axis=-1), bounds[:-1], bounds[1:]))


def dynamic_range_order(x: Tensor) -> Tensor:
    """The order of the dynamic-range convolution: every column of ``(B, C, H, W)`` sorted, then every row of the result.

    Gives the two sorts as one permutation of the H*W positions, ``(B, C, H*W)``, so that values move once, and once to undo it.
    """
    rows = ascending_order(x.transpose(2, 3).contiguous()).transpose(2, 3).contiguous()
    columns = ascending_order(x.gather(2, rows))
    return (rows.gather(3, columns) * x.shape[-1] + columns).flatten(2)


def unsort(x: Tensor, order: Tensor) -> Tensor:
    """The values of ``x``, sorted along the last dimension by ``order``, back at their positions."""
    return x.new_empty(x.shape).scatter_(-1, order, x)


def resize_end(x: Tensor, change: int) -> Tensor:
    """``x`` with ``change`` zeros after the last dimension or, where it is negative, so many values less; for none, itself."""
    return x if change == 0 and not is_traced() else F.pad(x, (0, change))


def extend(order: Tensor, count: int) -> Tensor:
    """``order`` of N positions with those from N to N + count after them: what :func:`resize_end` adds stays at the end."""
    if count == 0 and not is_traced():
        return order
    positions = torch.arange(order.shape[-1] + count, device=order.device)
    return torch.where(positions < order.shape[-1], F.pad(order, (0, count)), positions)
