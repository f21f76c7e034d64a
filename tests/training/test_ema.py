from __future__ import annotations

import pytest
import torch
from torch import nn

from restorekit.training.ema import Ema


def test_ema_is_a_running_mean_that_starts_fast() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0)
        ema = Ema(network, 0.9)
        network.weight.fill_(1)
        ema.update(network, 0)
        assert ema.network.weight.item() == pytest.approx(0.9)  # decay (1 + 0) / (10 + 0)
        network.weight.fill_(2)
        ema.update(network, 1000)
        assert ema.network.weight.item() == pytest.approx(0.9 * 0.9 + 0.1 * 2)
