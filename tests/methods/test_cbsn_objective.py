"""How ``cbsn`` is taught; the numbers of the losses and their gradients are in its golden."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods import Batch
from restorekit.methods.cbsn import METHOD, CbsnConfig, CbsnObjectiveSettings
from restorekit.methods.cbsn.denoise import measure
from restorekit.methods.cbsn.network import pass_through
from restorekit.methods.cbsn.objective import (
    DownsampledInvariance,
    batch_to_space,
    blind_images,
    draw_choice,
    space_to_batch,
    subsample,
)

SMALL = CbsnConfig(filters=6, num_module=1, tail_channels=5)


def batch_of(noisy: Tensor, **extras: Tensor) -> Batch:
    return Batch(noisy, torch.full_like(noisy, float("nan")), extras)  # what would be clean must not be looked at


def teach(step: int | None, noisy: Tensor, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(0)
    extras = {} if step is None else {"step": torch.tensor([step])}
    losses = METHOD.objective(SMALL, options)(METHOD.build(SMALL), batch_of(noisy, **extras))
    return {name: loss.detach() for name, loss in losses.items()}


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_sub_images(stride: int, batch: int, rows: int, columns: int) -> None:
    x = torch.rand(batch, 3, rows * stride, columns * stride)
    parts = space_to_batch(x, stride)
    for dy in range(stride):
        for dx in range(stride):
            start = (dy * stride + dx) * batch
            assert parts[start : start + batch].equal(x[:, :, dy::stride, dx::stride])
    assert batch_to_space(parts, stride).equal(x)


def test_subsampling_takes_one_pixel_of_each_cell_for_all_channels() -> None:
    x = torch.rand(2, 3, 6, 9)
    choice = torch.randint(9, (2, 2, 3))
    small = subsample(x, choice, 3)
    assert small.shape == (2, 3, 2, 3)
    for image, row, column in torch.cartesian_prod(torch.arange(2), torch.arange(2), torch.arange(3)).tolist():
        dy, dx = divmod(int(choice[image, row, column]), 3)
        assert small[image, :, row, column].equal(x[image, :, 3 * row + dy, 3 * column + dx])


class TestChoice:
    def test_is_uniform_and_independent(self) -> None:
        choice = draw_choice(torch.rand(4, 3, 200, 200), 2, 1, 0)
        shares = torch.bincount(choice.flatten(), minlength=4) / choice.numel()
        assert shares.tolist() == pytest.approx([0.25] * 4, abs=0.01)
        assert (choice[0] == choice[1]).float().mean() == pytest.approx(0.25, abs=0.02)
        assert (choice[:, 1:] == choice[:, :-1]).float().mean() == pytest.approx(0.25, abs=0.01)

    def test_follows_the_patch_wherever_it_is(self) -> None:
        patches = torch.rand(3, 3, 20, 20)
        together = draw_choice(patches, 2, 0, 7)
        assert draw_choice(patches[1:2].contiguous(memory_format=torch.channels_last), 2, 0, 7).equal(together[1:2])

    def test_is_fresh_in_every_step(self) -> None:
        patches = torch.rand(1, 3, 20, 20)
        assert not draw_choice(patches, 2, 0, 7).equal(draw_choice(patches, 2, 0, 8))
        assert not draw_choice(patches, 2, 0, 7).equal(draw_choice(patches, 2, 1, 7))


class TestObjective:
    def test_weights_of_the_terms(self) -> None:
        noisy = torch.rand(2, 3, 20, 20)
        early = teach(50, noisy, ramp=100)
        late = teach(50, noisy, ramp=0, lambda_inv=4.0)
        assert early["blind"] == late["blind"]
        assert float(early["self"]) == pytest.approx(0.5 * float(late["self"]), rel=1e-6)
        assert float(early["invariance"]) == pytest.approx(0.25 * float(late["invariance"]), rel=1e-6)

    def test_ramp(self) -> None:
        objective = DownsampledInvariance(CbsnObjectiveSettings(ramp=200))
        assert [objective.ramp_at(step) for step in (0, 50, 200, 10**6)] == [0, 0.25, 1, 1]
        assert DownsampledInvariance(CbsnObjectiveSettings(ramp=0)).ramp_at(0) == 1

    def test_steps_are_counted_where_batches_do_not_tell(self) -> None:
        noisy, network = torch.rand(1, 3, 10, 10), METHOD.build(SMALL)
        objective = METHOD.objective(SMALL, {"ramp": 10})
        counted = [objective(network, batch_of(noisy)) for _ in range(3)]
        told = METHOD.objective(SMALL, {"ramp": 10})(network, batch_of(noisy, step=torch.tensor(2)))
        assert counted[0]["self"] == 0
        assert counted[2] == told

    def test_brightness_and_contrast_of_a_patch_do_not_count(self) -> None:
        noisy = torch.rand(2, 3, 20, 20)
        plain, dull = (teach(0, image, ramp=0) for image in (noisy, 0.25 * noisy + 0.5))
        assert float(dull["blind"]) == pytest.approx(float(plain["blind"]), abs=1e-5)
        assert float(dull["self"]) == pytest.approx(float(plain["self"]), abs=1e-5)

    def test_patches_are_trimmed_to_the_strides(self) -> None:
        noisy = torch.rand(1, 3, 27, 34)
        assert teach(3, noisy, ramp=0) == teach(3, noisy[..., :20, :30], ramp=0)

    def test_patches_that_are_too_small(self) -> None:
        with pytest.raises(SettingError, match=r"Set train\.patch to a multiple of 10"):
            teach(0, torch.rand(1, 3, 9, 40))

    def test_wrong_settings(self) -> None:
        with pytest.raises(SettingError, match="strid"):
            METHOD.objective(SMALL, {"stride_b": 0})
        with pytest.raises(SettingError, match="must not be negative"):
            METHOD.objective(SMALL, {"ramp": -1})
        with pytest.raises(UnknownNameError, match="Did you mean 'stride_b'"):
            METHOD.objective(SMALL, {"strideb": 5})

    def test_blind_images_do_not_depend_on_their_own_pixels(self) -> None:
        torch.manual_seed(0)
        x = torch.randn(1, 3, 20, 20, requires_grad=True)
        (gradient,) = torch.autograd.grad(blind_images(METHOD.build(SMALL), x, 5)[0, :, 7, 12].sum(), x)
        seen = gradient[0].abs().sum(0)
        assert seen[7, 12] == 0
        assert seen[2, 12] > 0
        assert seen[8, 12] == 0  # of another sub-image

    def test_every_parameter_learns(self) -> None:
        torch.manual_seed(0)
        network = METHOD.build(SMALL)
        losses = METHOD.objective(SMALL, {"ramp": 0})(network, batch_of(torch.rand(2, 3, 20, 20)))
        torch.stack(list(losses.values())).sum().backward()
        for parameter in network.parameters():
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all()
            assert parameter.grad.abs().sum() > 0
        for branch in (network.branch1, network.branch2):
            centre = branch.conv1.weight.grad[..., branch.conv1.mask[0, 0] == 0]
            assert centre.abs().sum() > 0

    def test_bfloat16_losses_are_of_full_precision(self) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            losses = teach(0, torch.rand(2, 3, 20, 20), ramp=0)
        assert all(loss.dtype == torch.float32 and torch.isfinite(loss) for loss in losses.values())

    def test_supervised_looks_at_the_clean_side(self) -> None:
        torch.manual_seed(0)
        network, noisy = METHOD.build(SMALL), torch.rand(4, 3, 20, 20)
        clean = noisy * 0.9
        losses = METHOD.objective(SMALL, {"supervised": True, "blind_share": 0.5})(network, Batch(noisy, clean, {}))
        mean, std = measure(noisy)
        x = (noisy - mean) / std
        assert losses.keys() == {"clean", "blind_clean"}
        assert float(losses["clean"]) == pytest.approx(float((network(x) * std + mean - clean).abs().mean()), rel=1e-5)
        blind = blind_images(network, x[:2], 5) * std[:2] + mean[:2]
        assert float(losses["blind_clean"]) == pytest.approx(float((blind - clean[:2]).abs().mean()), rel=1e-5)
        table = {"supervised": True, "blind_share": 0.5, "blind_weight": 0.25}
        lighter = METHOD.objective(SMALL, table)(network, Batch(noisy, clean, {}))
        assert float(lighter["blind_clean"]) == pytest.approx(float(losses["blind_clean"]) / 4, rel=1e-5)
        seeing = METHOD.objective(SMALL, {"supervised": True, "blind_share": 0})(network, Batch(noisy, clean, {}))
        assert seeing.keys() == {"clean"}
        with pytest.raises(SettingError, match="blind_share"):
            METHOD.objective(SMALL, {"blind_share": 1.5})

    def test_teaches(self) -> None:
        torch.manual_seed(0)
        network, objective = METHOD.build(SMALL), METHOD.objective(SMALL, {"ramp": 0})
        batch = batch_of(torch.rand(2, 3, 20, 20), step=torch.tensor(0))

        def loss() -> Tensor:
            return torch.stack(list(objective(network, batch).values())).sum()

        before = loss()
        before.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 1e-3 * parameter.grad
        assert loss() < before

    def test_a_supervised_network_begins_with_about_the_image_itself(self) -> None:
        torch.manual_seed(0)
        noisy = torch.rand(1, 3, 20, 20)
        network = METHOD.build(METHOD.presets["compact-l"])
        far = float((METHOD.predict(network, noisy)["image"] - noisy).abs().mean())
        METHOD.objective(METHOD.presets["compact-l"], {}).prepare(network)
        assert float((METHOD.predict(network, noisy)["image"] - noisy).abs().mean()) == far
        METHOD.objective(METHOD.presets["compact-l"], {"supervised": True}).prepare(network)
        assert float((METHOD.predict(network, noisy)["image"] - noisy).abs().mean()) < 0.1 < far
        pass_through(network, 0.0)
        assert blind_images(network, noisy, 5).isfinite().all()

    def test_one_with_a_skip_begins_with_the_image_and_stays_blind_where_it_must(self) -> None:
        torch.manual_seed(0)
        network, image = METHOD.build(METHOD.presets["compact"]), torch.rand(1, 3, 24, 24)
        METHOD.objective(METHOD.presets["compact"], {"supervised": True}).prepare(network)
        torch.testing.assert_close(METHOD.predict(network, image)["image"], image)
        assert METHOD.config_from_state_dict(network.state_dict()) == METHOD.presets["compact"]
        with torch.no_grad():
            torch.nn.init.normal_(network.seeing.weight)
        image.requires_grad_()
        for blind in (True, False):
            (gradient,) = torch.autograd.grad(network(image, blind=blind)[..., 12, 12].sum(), image)
            assert bool(gradient[..., 12, 12].any()) != blind
            assert gradient[..., 12, 13].any()

    def test_a_network_too_small_to_pass_an_image_through_stays(self) -> None:
        network = METHOD.build(CbsnConfig(filters=5, num_module=1, tail_channels=5))
        before = [parameter.clone() for parameter in network.parameters()]
        pass_through(network)
        assert all(map(torch.equal, before, network.parameters()))
