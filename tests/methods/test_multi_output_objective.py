from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from restorekit.errors import SettingError
from restorekit.methods import Batch, get_method
from restorekit.methods.multi_output import Kind, MultiOutputConfig, MultiOutputObjectiveSettings
from restorekit.methods.multi_output.caution import cautious
from restorekit.methods.multi_output.heads import evidence, pair_means
from restorekit.methods.multi_output.objective import WinnerTakesAll, candidate_errors, pair_errors, winner_loss

KINDS: tuple[Kind, ...] = get_args(Kind)


class Fixed(nn.Module):
    """A network whose answer is its parameter."""

    def __init__(self, heads: Tensor) -> None:
        super().__init__()
        self.heads = nn.Parameter(heads)

    def forward(self, image: Tensor) -> Tensor:
        return self.heads


def heads_and_target(n: int = 4, batch: int = 3, sigma: float = 0.1, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(batch, 3, 10, 12, generator=generator)
    return target.unsqueeze(1) + sigma * torch.randn(batch, n, 3, 10, 12, generator=generator), target


def taught(combinate_heads: bool = True, **settings: Any) -> WinnerTakesAll:
    return WinnerTakesAll(MultiOutputObjectiveSettings(**settings), MultiOutputConfig(combinate_heads=combinate_heads))


def loss_and_gradient(objective: WinnerTakesAll, heads: Tensor, target: Tensor) -> tuple[float, Tensor]:
    network = Fixed(heads)
    loss = torch.stack(list(objective(network, Batch(target, target, {})).values())).sum()
    loss.backward()
    assert network.heads.grad is not None
    return loss.item(), network.heads.grad


@given(st.integers(1, 6), st.integers(1, 3), st.floats(1e-3, 1.0), st.integers(0, 100))
@settings(max_examples=25)
def test_pair_errors_are_those_of_the_pair_means(n: int, batch: int, sigma: float, seed: int) -> None:
    heads, target = heads_and_target(n, batch, sigma, seed)
    direct = candidate_errors(pair_means(heads), target, "psnr")
    assert direct.shape == (batch, n * (n + 1) // 2)
    assert torch.allclose(pair_errors(heads, target), direct, rtol=1e-5, atol=1e-7 * sigma**2)


def test_pair_errors_in_float64_are_exact() -> None:
    heads, target = (x.double() for x in heads_and_target())
    direct = candidate_errors(pair_means(heads), target, "psnr")
    assert torch.allclose(pair_errors(heads, target), direct, rtol=1e-13, atol=0)


def test_pair_errors_are_never_negative() -> None:
    error = torch.randn(1, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    errors = pair_errors(torch.cat([error, -error], 1), torch.zeros(1, 3, 8, 8))
    assert errors[0, 1].item() == 0.0
    assert errors[0, 0] == errors[0, 2] > 0.5


def test_pair_errors_keep_their_precision_under_autocast() -> None:
    heads, target = heads_and_target()
    plain = pair_errors(heads, target)
    with torch.autocast("cpu", torch.bfloat16):
        assert pair_errors(heads, target).equal(plain)


@pytest.mark.parametrize("sigma", [0.02, 0.3])
def test_objective_has_the_gradient_of_the_direct_form(sigma: float) -> None:
    heads, target = heads_and_target(sigma=sigma)
    loss, gradient = loss_and_gradient(taught(), heads, target)
    leaf = heads.clone().requires_grad_()
    direct = winner_loss(pair_means(leaf), target)
    (expected,) = torch.autograd.grad(direct, leaf)
    assert loss == pytest.approx(direct.item(), abs=1e-4)
    assert (gradient - expected).abs().max() < 1e-5 * expected.abs().max()
    assert (gradient == 0).equal(expected == 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pairs", [True, False])
def test_only_the_winner_gets_gradient(kind: Kind, pairs: bool) -> None:
    heads, target = heads_and_target(batch=2, sigma=0.1)
    heads[0, 2] = target[0] + 0.01
    heads[1, 1], heads[1, 3] = target[1] + 0.2, target[1] - 0.19  # their mean is the best answer, alone they are the worst
    _, gradient = loss_and_gradient(taught(pairs, kind=kind), heads, target)
    mass = gradient.abs().sum((2, 3, 4))
    assert mass[0].nonzero().flatten().tolist() == [2]
    winners = mass[1].nonzero().flatten().tolist()
    if pairs:
        assert winners == [1, 3]
        assert gradient[1, 1].equal(gradient[1, 3])
    else:
        assert len(winners) == 1
        assert winners[0] in (0, 2)


def test_psnr_loss_is_the_negative_psnr_of_the_winner() -> None:
    target = torch.full((1, 3, 8, 8), 0.5)
    candidates = torch.stack([target + 0.1, target - 0.01, target + 1], 1)
    assert winner_loss(candidates, target, eps=0).item() == pytest.approx(-40, abs=1e-3)
    assert winner_loss(candidates, target, weight=0.5, eps=0).item() == pytest.approx(-20, abs=1e-3)
    assert winner_loss(target.unsqueeze(1), target).item() == pytest.approx(-80, abs=1e-3)  # eps
    span = 20 * math.log10(219 / 255)
    assert winner_loss(candidates, target, "psnr_y", eps=0).item() == pytest.approx(-40 + span, abs=1e-3)


def test_l1_of_a_constant_error() -> None:
    target = torch.full((2, 3, 9, 7), 0.5)
    candidates = torch.stack([target + 0.1, target - 0.02], 1)
    assert winner_loss(candidates, target, "l1").item() == pytest.approx(0.02, abs=1e-6)


def test_mprnet_adds_edges_to_charbonnier() -> None:
    heads, target = heads_and_target(n=2, sigma=0.1)
    difference = heads - target.unsqueeze(1)
    plain = (difference.square() + 1e-6).sqrt().mean((2, 3, 4))
    edges = candidate_errors(heads, target, "mprnet") - plain
    # white noise loses little of itself in the pyramid, so its edges weigh about 0.05 of its own mean magnitude
    assert ((edges > 0.8 * 0.05 * plain) & (edges < 1.1 * 0.05 * plain)).all()


def test_a_tie_has_one_winner() -> None:
    target = torch.zeros(1, 3, 4, 4)
    same = torch.full((1, 4, 3, 4, 4), 0.1)
    _, gradient = loss_and_gradient(taught(), same, target)
    assert gradient.abs().sum((0, 2, 3, 4)).nonzero().flatten().tolist() == [0]


def test_one_head_is_the_plain_loss() -> None:
    heads, target = heads_and_target(n=1)
    loss, _ = loss_and_gradient(taught(), heads, target)
    mse = (heads[:, 0] - target).square().mean((1, 2, 3))
    assert loss == pytest.approx((10 * torch.log10(mse)).mean().item(), abs=1e-4)


def test_the_mean_can_be_taught_too() -> None:
    heads, target = heads_and_target(n=4)
    plain, _ = loss_and_gradient(taught(), heads, target)
    both, gradient = loss_and_gradient(taught(mean_weight=0.5), heads, target)
    mse = (heads.mean(1) - target).square().mean((1, 2, 3))
    assert both - plain == pytest.approx((5 * torch.log10(mse + 1e-8)).mean().item(), abs=1e-4)
    assert gradient.abs().sum((0, 2, 3, 4)).count_nonzero() == 4  # losers learn as well


def test_the_cautious_answer_can_be_taught_too() -> None:
    """Its loss is that of what is given, and makes heads disagree more where their mean errs."""
    heads, target = heads_and_target(n=4)
    network, image = Fixed(heads), (target + 0.05).clamp(0, 1)
    losses = taught(cautious_weight=0.5)(network, Batch(image, target, {}))
    assert list(losses) == ["psnr", "cautious"]
    answer = cautious(image, heads.mean(1), heads.var(1).mean(1)[:, None])
    mse = (answer - target).square().mean((1, 2, 3))
    assert losses["cautious"].item() == pytest.approx((5 * torch.log10(mse + 1e-8)).mean().item(), abs=1e-4)
    losses["cautious"].backward()
    assert network.heads.grad is not None and network.heads.grad.isfinite().all()

    around = MultiOutputConfig(doubt_region=24, doubt_power=2.0, answer="cautious")
    asking = WinnerTakesAll(MultiOutputObjectiveSettings(cautious_weight=0.5), around)
    network = Fixed(heads)
    loss = asking(network, Batch(image, target, {}))["cautious"]
    square, variance = evidence(heads, image, 24).chunk(2, 1)
    answer = cautious(image, heads.mean(1), variance, square=square, power=2.0)
    mse = (answer - target).square().mean((1, 2, 3))
    assert loss.item() == pytest.approx((5 * torch.log10(mse + 1e-8)).mean().item(), abs=1e-4)
    loss.backward()
    assert network.heads.grad is not None and network.heads.grad.isfinite().all()

    wrong, right = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.5)  # no correction is due
    spread = torch.tensor([-0.1, -0.05, 0.05, 0.1]).view(1, 4, 1, 1, 1)
    network = Fixed((wrong + 0.2).unsqueeze(1) + spread.expand(1, 4, 3, 4, 4))
    taught(cautious_weight=1.0)(network, Batch(wrong, wrong, {}))["cautious"].backward()
    assert network.heads.grad is not None
    assert (network.heads.grad * spread).sum() < 0  # further apart is better
    network = Fixed((right - 0.1).unsqueeze(1) + spread.expand(1, 4, 3, 4, 4))
    taught(cautious_weight=1.0)(network, Batch(wrong, right, {}))["cautious"].backward()
    assert network.heads.grad is not None
    assert (network.heads.grad * spread).sum() > 0  # closer together is


@pytest.mark.parametrize("name", ["weight", "mean_weight", "cautious_weight", "kernel_weight", "inverted_weight"])
def test_terms_are_not_negative(name: str) -> None:
    method = get_method("multi-output")
    said = "weight, mean_weight, cautious_weight, kernel_weight, inverted_weight must not be negative"
    with pytest.raises(SettingError, match=said):
        method.objective(method.presets["compact"], {name: -1.0})


def test_the_floor_of_decibels_is_positive() -> None:
    method = get_method("multi-output")
    with pytest.raises(SettingError, match="eps must be positive"):
        method.objective(method.presets["compact"], {"eps": 0.0})


def test_a_single_head_has_nobody_to_disagree_with() -> None:
    method = get_method("multi-output")
    config = replace(method.presets["compact"], n_heads=1)
    with pytest.raises(SettingError, match="cautious_weight teaches heads to disagree"):
        method.objective(config, {"cautious_weight": 1.0})
