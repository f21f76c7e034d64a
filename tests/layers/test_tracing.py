from __future__ import annotations

import torch
from torch import Tensor, nn

from restorekit.layers.tracing import exporting, is_exported


class Tells(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * (2 if is_exported() else 3)


def test_what_is_run_here_is_not_exported() -> None:
    x = torch.ones(1)
    assert not is_exported() and Tells()(x) == 3
    assert torch.compile(Tells(), backend="eager", fullgraph=True)(x) == 3


def test_what_is_written_down_is() -> None:
    x = torch.ones(1)
    with exporting():
        assert is_exported()
        assert torch.export.export(Tells(), (x,), strict=True).module()(x) == 2
    assert not is_exported()
    assert torch.export.export(Tells(), (x,), strict=False).module()(x) == 2
    assert torch.jit.trace(Tells(), (x,))(x) == 2
