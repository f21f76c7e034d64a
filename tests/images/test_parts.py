from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from restorekit.images.parts import starts


@given(side=st.integers(1, 5000), window=st.integers(1, 600), most=st.integers(1, 5))
def test_windows_lie_inside_and_are_evenly_spread(side: int, window: int, most: int) -> None:
    found = starts(side, window, most)
    length = min(window, side)
    assert len(found) == min(most, max(1, side // window))
    assert all(0 <= start <= side - length for start in found)
    gaps = [after - before for before, after in pairwise(found)]
    assert all(gap >= length for gap in gaps) and (not gaps or max(gaps) - min(gaps) <= 1)
    assert abs(found[0] - (side - length - found[-1])) <= 1
