"""The body of ``rrformer`` against the plain formula: a mask for every window, scores that are stored, a softmax."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.methods.rrformer.body import Group, SwinBlock, SwinBody, WindowAttention, grid_masks


def regions(height: int, width: int, window: int) -> Tensor:
    """The number of the region of each token of a rolled grid, as the paper marks them."""
    marks = []
    for size in (height, width):
        i = torch.arange(size)
        marks.append((i >= size - window).long() + (i >= size - window // 2))
    return 3 * marks[0][:, None] + marks[1]


def cut(x: Tensor, window: int) -> Tensor:
    """The windows of ``(B, h, w, C)``: ``(B, windows, n, C)``."""
    b, h, w, c = x.shape
    cells = x.view(b, h // window, window, w // window, window, c).permute(0, 1, 3, 2, 4, 5)
    return cells.reshape(b, -1, window**2, c)


def plain_attention(attention: WindowAttention, x: Tensor) -> Tensor:
    s, heads = attention.window, attention.heads
    b, h, w, channels = x.shape
    qkv = cut(attention.qkv(x), s).unflatten(-1, (3, heads, channels // heads)).permute(3, 0, 1, 4, 2, 5)
    q, k, v = qkv
    scores = (channels // heads) ** -0.5 * q @ k.transpose(-2, -1)
    for i in range(s**2):
        for j in range(s**2):
            offset = (i // s - j // s + s - 1) * (2 * s - 1) + i % s - j % s + s - 1
            scores[..., i, j] += attention.relative_position_bias_table[offset]
    if attention.shift:
        own = cut(regions(h, w, s)[None, :, :, None], s)[0]
        scores = scores + torch.where(own == own.transpose(1, 2), 0.0, -100.0)[:, None].to(x)
    y = (scores.softmax(-1) @ v).transpose(2, 3).reshape(b, h // s, w // s, s, s, channels)
    return attention.proj(y.permute(0, 1, 3, 2, 4, 5).reshape(x.shape))


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(4, 4), (4, 12), (12, 4), (8, 12)])
def test_attention_is_the_plain_formula(shift: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    attention = WindowAttention(6, 3, 4, shift).double()
    torch.nn.init.normal_(attention.relative_position_bias_table)
    x = torch.randn(2, *size, 6, dtype=torch.float64)
    assert torch.allclose(attention(x), plain_attention(attention, x), atol=1e-12)


def test_masks_of_a_grid_are_those_of_its_regions() -> None:
    own = cut(regions(12, 12, 4)[None, :, :, None], 4)[0]
    expected = torch.where(own == own.transpose(1, 2), 0.0, -100.0)
    assert torch.equal(grid_masks(4, 2, 12), expected)
    assert torch.equal(SwinBlock(4, 2, 4, 2, 8, 0.0, grid=12).state_dict()["attn_mask"], expected)


def test_shifted_blocks_look_into_neighbouring_windows_and_not_around_the_grid() -> None:
    torch.manual_seed(0)
    leaf = torch.randn(1, 12, 12, 4, requires_grad=True)
    for shift, seen in ((0, (0, 4)), (2, (0, 2))):
        block = SwinBlock(4, 1, 4, shift, 8, 0.0, None)
        (gradient,) = torch.autograd.grad(block(leaf)[0, 0, 0].sum(), leaf)
        rows = (gradient[0].abs().sum((1, 2)) > 1e-20).nonzero().flatten()  # exp(-100) is not quite nothing
        assert (int(rows.min()), int(rows.max()) + 1) == seen


def test_a_grid_no_larger_than_the_window_shrinks_it() -> None:
    body = SwinBody(4, (2,), (1,), window=8, hidden=8, grid=4)
    attention = [block.attn for block in body.layers[0].residual_group.blocks]
    assert [(a.window, a.shift) for a in attention] == [(4, 0), (4, 0)]
    assert body(torch.randn(1, 4, 10, 9)).shape == (1, 4, 10, 9)
    assert not [key for key in body.state_dict() if key.endswith("attn_mask")]


def test_paths_are_dropped_while_training_only() -> None:
    torch.manual_seed(0)
    body, x = SwinBody(4, (3,), (1,), 4, 8, drop_path=0.9), torch.randn(4, 4, 8, 8)
    assert [getattr(b.drop_path, "p", 0) for b in body.layers[0].residual_group.blocks] == pytest.approx([0, 0.45, 0.9])
    assert not torch.equal(body(x), body(x))
    body.eval()
    assert torch.equal(body(x), body(x))


def test_a_calm_group_convolves_what_its_blocks_added() -> None:
    torch.manual_seed(0)
    blocks = [SwinBlock(8, 2, 4, shift, 16, 0.0, None) for shift in (0, 2)]
    calm, published = Group(8, blocks, calm=True).double(), Group(8, blocks).double()
    published.load_state_dict(calm.state_dict())
    x = torch.rand(1, 8, 12, 8, dtype=torch.float64)
    added, gained = blocks[1](blocks[0](x)) - x, calm(x) - x

    def convolved(y: Tensor) -> Tensor:
        return calm.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    assert torch.allclose(gained, convolved(added), atol=1e-12)
    assert torch.allclose(published(x) - x, convolved(added + x), atol=1e-12)
    # So the size of what comes in does not decide the size of what is added.
    loud = (calm(100 * x) - 100 * x).norm() / gained.norm()
    assert loud < 3 and (published(100 * x) - 100 * x).norm() / (published(x) - x).norm() > 20
