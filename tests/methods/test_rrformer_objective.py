"""``rrformer``: pixel, feature and contextual losses, and network and discriminator taught in turn."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods import Batch
from restorekit.methods.rrformer import METHOD, RrformerConfig, objective
from restorekit.methods.rrformer.discriminators import DISCRIMINATORS, VggDiscriminator
from restorekit.methods.rrformer.network import Rrformer
from restorekit.methods.rrformer.objective import (
    Gan,
    ReflectionRemoval,
    discriminator_loss,
    generator_loss,
    gradient_loss,
)
from restorekit.methods.rrformer.perceptual import contextual
from restorekit.methods.rrformer.vgg import Vgg19

TINY = RrformerConfig(n_feats=4, dim=4, depths=(2,), heads=(2,), window=4, hyper_levels=1)
ADVERSARIAL = {"lambda_gan": 0.01, "discriminator": "disc_patch"}


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def network() -> Rrformer:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return METHOD.build(TINY)


@pytest.fixture(scope="module")
def vgg() -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Vgg19(31).state_dict()


@pytest.fixture
def batch() -> Batch:
    return Batch(rand(2, 3, 64, 64), rand(2, 3, 64, 64, seed=1), {})


def make(**table: Any) -> ReflectionRemoval:
    return METHOD.objective(TINY, table)


class TestPixelLoss:
    def test_terms_and_weights(self, batch: Batch) -> None:
        losses = make(mse=2.0, gradient=3.0)(nn.Identity(), batch)
        assert list(losses) == ["mse", "gradient"]
        assert torch.allclose(losses["mse"], 2 * F.mse_loss(batch.input, batch.target))
        assert torch.allclose(losses["gradient"], 3 * gradient_loss(batch.input, batch.target))

    def test_decibels_count_every_photograph_alike(self) -> None:
        target = torch.zeros(2, 3, 8, 8)
        answer = torch.stack([target[0] + 0.1, target[1] + 0.01])  # 20 and 40 dB
        losses = make(mse=0.0, gradient=0.0, psnr=0.5, eps=1e-8)(nn.Identity(), Batch(answer, target, {}))
        assert losses["psnr"].item() == pytest.approx(-15, abs=1e-3)
        capped = make(mse=0.0, gradient=0.0, psnr=0.5)(nn.Identity(), Batch(target, target, {}))
        assert capped["psnr"].item() == pytest.approx(-20)  # eps ends the scale at 40 dB

    def test_gradient_loss_ignores_brightness(self) -> None:
        image = rand(1, 3, 5, 7)
        assert gradient_loss(image + 0.25, image) == pytest.approx(0, abs=1e-6)
        ramp = torch.arange(7.0).expand(1, 1, 5, 7)
        assert gradient_loss(ramp + 2 * torch.arange(5.0)[:, None], 0 * ramp) == 3

    def test_a_step_helps(self, network: Rrformer, batch: Batch) -> None:
        teach = make()
        before = sum(teach(network, batch).values())
        before.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad
        assert sum(teach(network, batch).values()) < before

    @pytest.mark.parametrize("table", [{"mse": -1.0}, {"gan_from": -1}, {"gan": "wgan"}, {"lambda_gan": "much"}])
    def test_settings_that_cannot_be(self, table: dict[str, Any]) -> None:
        with pytest.raises((SettingError, UnknownNameError)):
            make(**table)


class TestAdversarialLoss:
    @pytest.mark.parametrize("kind", ["sgan", "rsgan", "rasgan"])
    def test_is_cross_entropy(self, kind: Gan) -> None:
        real, fake = rand(3, 1, 2, 2), rand(3, 1, 2, 2, seed=1) - 1
        ones, zeros = torch.ones_like(real), torch.zeros_like(real)
        bce = F.binary_cross_entropy_with_logits
        against_fake, against_real = real - fake.mean(0), fake - real.mean(0)
        discriminator, generator = {
            "sgan": ((bce(fake, zeros) + bce(real, ones)) / 2, bce(fake, ones)),
            "rsgan": (bce(real - fake, ones), bce(fake - real, ones)),
            "rasgan": (
                (bce(against_fake, ones) + bce(against_real, zeros)) / 2,
                (bce(against_fake, zeros) + bce(against_real, ones)) / 2,
            ),
        }[kind]
        assert torch.allclose(discriminator_loss(real, fake, kind), discriminator)
        assert torch.allclose(generator_loss(real, fake, kind), generator)

    def test_average_of_one_is_itself(self) -> None:
        real, fake = rand(1, 1, 3, 3), rand(1, 1, 3, 3, seed=1)
        assert torch.allclose(generator_loss(real, fake, "rasgan"), generator_loss(real, fake, "rsgan"))

    @pytest.mark.parametrize(
        ("name", "parameters", "scores"), [("disc_vgg", 9.94, (2, 1, 1, 1)), ("disc_patch", 2.76, (2, 1, 5, 6))]
    )
    def test_discriminators(self, name: str, parameters: float, scores: tuple[int, ...]) -> None:
        network = DISCRIMINATORS[name]()
        assert round(sum(p.numel() for p in network.parameters()) / 1e6, 2) == parameters
        assert network(rand(2, 3, 17, 25)).shape == scores


class TestInTurn:
    def test_one_pass_of_the_network_serves_both(self, network: Rrformer, batch: Batch) -> None:
        passes: list[int] = []
        network.register_forward_hook(lambda *_: passes.append(1))
        teach = make(**ADVERSARIAL)
        teach.discriminator_loss(network, batch)
        losses = teach(network, batch)
        assert (list(losses), len(passes)) == (["mse", "gradient", "gan"], 1)
        teach(network, batch)
        teach.discriminator_loss(network, batch)
        teach(network, dataclasses.replace(batch))
        assert len(passes) == 4

    def test_of_several_parts_none_is_kept(self, network: Rrformer, batch: Batch) -> None:
        """A graph for each would take the memory that parts are made to save."""
        graphs: list[bool] = []
        network.register_forward_hook(lambda *given: graphs.append(given[2].requires_grad))
        teach = make(**ADVERSARIAL)
        parts = batch, dataclasses.replace(batch)
        for part in parts:
            (loss,) = teach.discriminator_loss(network, part, keep=False).values()
            loss.backward()
        for part in parts:
            teach(network, part)
        assert graphs == [False, False, True, True]

    def test_each_learns_from_its_own_loss(self, network: Rrformer, batch: Batch) -> None:
        teach = make(mse=0.0, gradient=0.0, **ADVERSARIAL)
        assert teach.discriminator is not None
        (loss,) = teach.discriminator_loss(network, batch).values()
        loss.backward()
        assert all(p.grad is None for p in network.parameters())
        assert all(p.grad is not None for p in teach.discriminator.parameters())
        teach.discriminator.zero_grad()
        sum(teach(network, batch).values()).backward()
        assert all(p.grad is None for p in teach.discriminator.parameters())
        assert all(p.grad is not None for p in network.parameters() if p.requires_grad)

    def test_network_learns_to_fool_it(self, network: Rrformer, batch: Batch) -> None:
        teach = make(mse=0.0, gradient=0.0, **ADVERSARIAL)
        assert teach.discriminator is not None
        its_optimiser = torch.optim.Adam(teach.discriminator.parameters(), 1e-4)
        optimiser = torch.optim.Adam(network.parameters(), 1e-3)
        (first,) = teach.discriminator_loss(network, batch).values()
        first.backward()
        its_optimiser.step()
        fooled = teach(network, batch)["gan"]
        fooled.backward()
        optimiser.step()
        assert teach(network, batch)["gan"] < fooled

    def test_discriminator_learns(self, network: Rrformer, batch: Batch) -> None:
        teach = make(**ADVERSARIAL)
        assert teach.discriminator is not None
        optimiser = torch.optim.Adam(teach.discriminator.parameters(), 1e-4)
        values = []
        for _ in range(3):
            (loss,) = teach.discriminator_loss(network, batch, discriminator=teach.discriminator).values()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            values.append(loss.item())
        assert values[2] < values[1] < values[0]

    def test_waits_for_its_step(self, network: Rrformer, batch: Batch) -> None:
        teach = make(gan_from=1, **ADVERSARIAL)
        assert teach.discriminator_loss(network, batch) == {}
        assert "gan" not in teach(network, batch)
        assert "gan" in teach(network, batch)  # the second call
        early = Batch(batch.input, batch.target, {"step": torch.tensor(0)})
        assert teach.discriminator_loss(network, early) == {}
        assert "gan" not in teach(network, early)

    def test_without_weight_there_is_no_discriminator(self, network: Rrformer, batch: Batch) -> None:
        teach = make()
        assert teach.discriminator is None
        assert teach.discriminator_loss(network, batch) == {}

    def test_first_weights_follow_from_the_seed_alone(self) -> None:
        state = torch.random.get_rng_state()
        one, other, third = make(**ADVERSARIAL), make(**ADVERSARIAL), make(seed=1, **ADVERSARIAL)
        assert torch.equal(torch.random.get_rng_state(), state)
        first, second, last = (next(t.discriminator.parameters()) for t in (one, other, third) if t.discriminator)
        assert torch.equal(first, second)
        assert not torch.equal(first, last)
        assert isinstance(make(lambda_gan=0.1).discriminator, VggDiscriminator)


class TestPerceptualLoss:
    @pytest.fixture(autouse=True)
    def no_download(self, vgg: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(objective, "imagenet_weights", lambda depth: vgg)

    @pytest.mark.parametrize(
        ("table", "names"),
        [
            ({"lambda_vgg": 0.1}, ["mse", "gradient", "vgg"]),
            ({"fidelity": "mse"}, ["mse"]),
            ({"fidelity": "vgg"}, ["vgg"]),
            ({"fidelity": "ctx"}, ["context"]),
            ({"fidelity": "ctx_vgg"}, ["context", "vgg"]),
        ],
    )
    def test_terms(self, table: dict[str, Any], names: list[str]) -> None:
        batch = Batch(rand(2, 3, 32, 32), rand(2, 3, 32, 32, seed=1), {})
        leaf = batch.input.requires_grad_()
        losses = make(**table)(nn.Identity(), batch)
        assert list(losses) == names
        (gradient,) = torch.autograd.grad(sum(losses.values()), leaf)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0
        same = make(**table)(nn.Identity(), Batch(batch.target, batch.target, {}))
        assert all(same[name] < losses[name] for name in names)

    def test_contextual_is_the_plain_formula(self) -> None:
        features, target = (rand(2, 5, 3, 4, seed=seed).double() for seed in (0, 1))
        mean = target.mean((0, 2, 3))
        expected = []
        for i, t in zip(features.flatten(2), target.flatten(2), strict=True):
            i, t = ((x.T - mean) / (x.T - mean).norm(dim=1, keepdim=True) for x in (i, t))
            d = torch.tensor([[(1 - p @ q) / 2 for q in i] for p in t])
            w = torch.exp(1 - d / (d.min(0).values + 1e-5))
            expected.append(-torch.log((w / w.sum(0)).max(1).values.mean()))
        assert torch.allclose(contextual(features, target), torch.stack(expected).to(torch.float64), atol=1e-6)

    def test_contextual_does_not_care_where(self) -> None:
        features, target = rand(1, 8, 6, 6), rand(1, 8, 6, 6, seed=1)
        moved = features.flatten(2)[..., torch.randperm(36)].view_as(features)
        assert torch.allclose(contextual(moved, target), contextual(features, target), atol=1e-6)
        assert contextual(target, target) < contextual(features, target)

    def test_constant_features_are_finite(self) -> None:
        flat = torch.ones(1, 4, 3, 3, requires_grad=True)
        loss = contextual(flat, torch.ones(1, 4, 3, 3)).sum()
        (gradient,) = torch.autograd.grad(loss, flat)
        assert loss.isfinite()
        assert gradient.isfinite().all()


class TestPrepare:
    def test_only_frozen_features_are_filled(self, network: Rrformer, monkeypatch: pytest.MonkeyPatch) -> None:
        weights = {key: torch.full_like(value, 0.5) for key, value in Vgg19(2).state_dict().items()}
        monkeypatch.setattr("restorekit.methods.rrformer.network.imagenet_weights", lambda depth: weights)
        make().prepare(network)
        assert not (network.features[0].weight == 0.5).all()
        frozen = METHOD.build(dataclasses.replace(TINY, train_vgg=False))
        make().prepare(frozen)
        assert (frozen.features[0].weight == 0.5).all()
