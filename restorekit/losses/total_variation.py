"""Total variation, squared."""

from __future__ import annotations

from torch import Tensor


def squared_variation(x: Tensor) -> Tensor:
    """Twice the sum of the mean squared differences of vertical and of horizontal neighbours in ``(B, C, H, W)``, H, W > 1.

    A smoothness prior: unlike the absolute total variation of kornia it also rounds edges off.
    """
    return 2 * (x.diff(dim=-2).square().mean() + x.diff(dim=-1).square().mean())
