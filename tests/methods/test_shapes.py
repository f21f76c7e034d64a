"""What several methods have in common when they read a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.errors import CheckpointError
from restorekit.methods.shapes import count_numbered, require_fit, require_keys


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))


def problem_of(state: dict[str, Tensor], **options: bool | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        require_fit("toy", network, state, **options)  # type: ignore[arg-type]
    assert caught.value.remedy == "Check which method the file belongs to"
    return caught.value.problem


class TestRequireFit:
    def test_what_fits(self) -> None:
        state = network().state_dict()
        require_fit("toy", network, state, closed=True)
        require_fit("toy", network, {**state, "more": torch.zeros(1)})
        require_fit("toy", network, {key: value for key, value in state.items() if key[0] == "0"}, optional="1.")

    def test_missing_keys_come_before_shapes(self) -> None:
        state = {"0.weight": torch.zeros(7, 2), "1.weight": torch.zeros(1, 3), "1.bias": torch.zeros(1)}
        assert problem_of(state) == "this is no toy checkpoint: 0.bias is missing"
        assert problem_of({}).endswith(": 0.weight, 0.bias, 1.weight, 1.bias are missing")

    def test_other_shapes(self) -> None:
        state = network().state_dict() | {"0.weight": torch.zeros(7, 2)}
        assert problem_of(state) == "this is no toy checkpoint: of another shape is 0.weight (7, 2) instead of (3, 2)"
        both = problem_of(state | {"1.bias": torch.zeros(1, 1)}, optional="1.")
        assert both.endswith(": of another shape are 0.weight (7, 2) instead of (3, 2), 1.bias (1, 1) instead of (1,)")

    def test_other_keys(self) -> None:
        state = network().state_dict() | {"more": torch.zeros(1)}
        assert problem_of(state, closed=True) == "this is no toy checkpoint: more is in no such network"

    def test_the_network_is_given_no_memory(self) -> None:
        built = []

        def build() -> nn.Module:
            built.append(network())
            return built[0]

        require_fit("toy", build, network().state_dict())
        assert all(parameter.is_meta for parameter in built[0].parameters())


def test_of_many_missing_keys_ten_are_named() -> None:
    with pytest.raises(CheckpointError, match=r": k0, k1, .*, k9 and 2 more are missing"):
        require_keys("toy", [f"k{i}" for i in range(12)], {})


def test_count_numbered() -> None:
    state = dict.fromkeys(("a.0", "a.1", "a.3", "b.6"), torch.zeros(1))
    assert [count_numbered(state, "a.{}"), count_numbered(state, "a.{}", first=3), count_numbered(state, "b.{}")] == [2, 1, 0]
    assert count_numbered(state, "b.{}", first=6) == 1
