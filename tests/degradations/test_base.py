"""What all degradations share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from restorekit.degradations.base import require_ranges


@dataclass
class Ranges:
    free: tuple[float, float] = (-2.0, -3.0)
    rim: tuple[float, float] = (0.0, 0.5)
    sky: tuple[float, float] = (0.0, 0.0)


def test_ranges_hold_that_begin_with_the_smaller_and_are_not_negative() -> None:
    require_ranges(Ranges(), "rim", "sky")


@pytest.mark.parametrize("rim", [(0.5, 0.2), (-0.1, 0.5), (float("nan"), 1.0)])
def test_the_first_range_that_does_not_hold_is_named(rim: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"^rim must be two numbers, not negative, the smaller first$"):
        require_ranges(Ranges(rim=rim, sky=(2, 1)), "rim", "sky")
