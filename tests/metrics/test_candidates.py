from __future__ import annotations

import pytest
import torch

from restorekit.errors import UsageError
from restorekit.metrics import BestSingle, best_overall, best_single


def test_best_overall_and_best_single() -> None:
    scores = torch.tensor([[30.0, 32.0, 31.0], [28.0, 20.0, 27.5]])
    assert best_overall(scores) == 30.0  # 32 and 28
    assert best_single(scores) == BestSingle(2, 29.25)


def test_best_overall_is_never_below_best_single() -> None:
    scores = torch.rand(20, 10, generator=torch.Generator().manual_seed(0))
    assert best_overall(scores) > best_single(scores).score > scores.mean()


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2)])
def test_scores_must_be_a_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="Stack one row of scores an image"):
        best_single(torch.zeros(shape))
