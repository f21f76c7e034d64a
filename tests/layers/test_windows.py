"""Maps in overlapping windows, and put together again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.layers.windows import Windows


@given(st.integers(1, 60), st.integers(1, 60), st.integers(2, 8), st.integers(0, 4))
def test_put_together_they_are_the_map(rows: int, columns: int, side: int, overlap: int) -> None:
    windows = Windows(4 * rows, 4 * columns, (4 * side, 4 * min(overlap, side // 2)))
    x = torch.arange(2 * rows * columns * 16, dtype=torch.float64).view(2, 1, 4 * rows, 4 * columns)
    parts = windows.cut(x)
    assert parts.shape == (2 * len(windows.corners), 1, *windows.size)
    assert all(size % 4 == 0 for size in windows.size)
    assert torch.allclose(windows.merge(parts), x)


@pytest.mark.parametrize(("length", "sizes"), [(64, [64]), (160, [160]), (184, [100] * 2), (512, [140] * 4)])
def test_sizes_are_near_what_is_asked_for(length: int, sizes: list[int]) -> None:
    windows = Windows(length, 64, (128, 16))
    assert [windows.size[0]] * len(windows.corners) == sizes


def test_without_a_size_the_map_is_the_window() -> None:
    windows, x = Windows(20, 12, None), torch.rand(2, 3, 20, 12)
    assert (windows.size, windows.corners, windows.spacing) == ((20, 12), [(0, 0)], 12)
    assert windows.cut(x) is x
    assert windows.merge(x) is x
