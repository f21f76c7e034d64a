"""Dynamic-range histogram self-attention: pixels are grouped by how bright they are, not by where they are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.histoformer.planar import depthwise, pointwise
from restorekit.methods.histoformer.sorting import ascending_order, dynamic_range_order, extend, resize_end, unsort


class HistogramAttention(nn.Module):
    """Attention among the bins of the channels' histograms, over ``(B, C, H, W)``.

    1. Dynamic-range convolution: in the first half of the channels the columns, then the rows, are sorted; a 1x1 and a depthwise
       3x3 convolution of all channels give queries and keys ``q1, k1, q2, k2`` and values ``v``.
    2. Each channel of v is sorted; its queries and keys follow. With N ranks, f bins and M = N / f features, rank p is
       feature ``p % M`` of token ``p // M`` for q1, k1 (bin-wise: a token is M neighbours in rank) and
       feature ``p // f`` of token ``p % f`` for q2, k2 (frequency-wise: a token is every f-th rank). N is filled up with zeros.
    3. Both attend to v with cosine scores: ``S = temperature * cos(q, k)``, ``P = exp(S) / (1 + sum exp(S))``.
    4. The two answers are multiplied, put back in place and projected, and the first sorts are undone.

    Same numbers as the authors' formulation, for less: the two first sorts move values as one permutation; what fills up N is
    added before values move, so that each pair of maps is gathered straight into its tokens; the pairs are made one after the
    other, so that the five maps never exist at once; the lengths of q and k divide the C x C scores, not the maps; "softmax plus
    one" is a softmax with one more score, of zero, which cannot overflow. Under autocast the first sorts and both attentions stay
    in float32.

    Args:
        channels: C, a multiple of ``heads``.
        heads: attention heads, and bins f of a histogram.
        bias: whether the convolutions have one.
    """

    def __init__(self, channels: int, heads: int, bias: bool = False) -> None:
        super().__init__()
        c = channels
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(c, 5 * c, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(5 * c, 5 * c, 3, padding=1, groups=5 * c, bias=bias)
        self.project_out = nn.Conv2d(c, c, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        c, height, width = x.shape[1:]
        bins, pad = self.heads, -(height * width) % self.heads
        x = x.contiguous()

        place = dynamic_range_order(x[:, : c // 2])
        x = _in_first_half(x, lambda values: values.gather(-1, place))

        v = self._project(x, 4 * c, 5 * c)
        order = extend(ascending_order(v), pad)  # (B, C, N'), by token and feature of the bin-wise branch
        order2 = _transposed(order, -1, bins)  # by token and feature of the frequency-wise branch
        v = resize_end(v, pad).gather(-1, order)
        out1 = self._attend(self._project(x, 0, 2 * c), v, order, pad)
        out2 = self._attend(self._project(x, 2 * c, 4 * c), _transposed(v, -1, bins), order2, pad)
        out = resize_end(unsort(out1 * _transposed(out2, bins, -1), order), -pad)

        out = pointwise(out.view(-1, c, height, width), self.project_out.weight, self.project_out.bias)
        return _in_first_half(out, lambda values: unsort(values, place))

    def _project(self, x: Tensor, first: int, last: int) -> Tensor:
        """Channels ``first`` to ``last`` of the projection of ``x``, ``(B, last - first, N)``."""
        for convolve, conv in ((pointwise, self.qkv), (depthwise, self.qkv_dwconv)):
            x = convolve(x, conv.weight[first:last], None if conv.bias is None else conv.bias[first:last])
        return x.flatten(2)

    def _attend(self, qk: Tensor, v: Tensor, order: Tensor, pad: int) -> Tensor:
        """One branch: maps ``(B, 2C, N)`` in place and values ``(B, C, N')`` in order give an answer ``(B, C, N')`` in order."""
        q, k = (resize_end(m, pad).gather(-1, order) for m in qk.chunk(2, dim=1))
        with torch.autocast(v.device.type, enabled=False):
            q, k, values = (_as_tokens(m, self.heads) for m in (q, k, v))
            lengths = _lengths(q).unsqueeze(-1) * _lengths(k).unsqueeze(-2)
            scores = q @ k.transpose(-1, -2) / lengths * self.temperature
            return (softmax_plus_one(scores) @ values).view(v.shape)


def softmax_plus_one(scores: Tensor) -> Tensor:
    """``exp(S) / (1 + sum exp(S))`` over the last dimension: attention that may look at nothing."""
    return F.pad(scores, (0, 1)).softmax(-1)[..., :-1]


def _as_tokens(x: Tensor, heads: int) -> Tensor:
    """``(B, C, f*M)`` as C tokens of M features for each head, ``(B, heads, C, M)``, in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32)).view(len(x), heads, x.shape[1], -1)


def _lengths(tokens: Tensor) -> Tensor:
    return torch.linalg.vector_norm(tokens, dim=-1).clamp_min(1e-12)


def _transposed(x: Tensor, rows: int, columns: int) -> Tensor:
    """The last dimension read as a matrix (one of its sides may be -1), transposed and flattened again."""
    return x.view(*x.shape[:-1], rows, columns).transpose(-1, -2).flatten(-2)


def _in_first_half(x: Tensor, move: Callable[[Tensor], Tensor]) -> Tensor:
    """``x`` of shape ``(B, C, H, W)`` with ``move`` applied to the first half of its channels, given as ``(B, C/2, H*W)``."""
    moved, kept = x.flatten(2).tensor_split([x.shape[1] // 2], dim=1)
    return torch.cat([move(moved), kept], 1).view(x.shape)
