"""``deeprft``: columns forwards and backwards, and the Fourier kernel estimator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from restorekit.layers.windows import Windows
from restorekit.methods.deeprft.blocks import Means
from restorekit.methods.deeprft.columns import SMALLEST_ALPHA, Column, States, decoder, encoder, kernel_column
from restorekit.methods.deeprft.kernel import KernelEstimator, kernel_picture, spatial_kernels
from restorekit.methods.deeprft.reversible import State


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64) - 0.5


def filled(modules: Sequence[nn.Module]) -> list[nn.Module]:
    torch.manual_seed(1)
    for module in modules:
        module.double()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name.startswith("alpha"):
                    nn.init.uniform_(parameter, -0.9, -0.3)
                else:
                    nn.init.normal_(parameter, 0.3, 0.3)
    return list(modules)


NAF = ("naf", "naf", "naf")
MEANS = [Means()] * 3
KINDS: dict[str, Callable[[bool], list[Column]]] = {
    "encoders": lambda r: [encoder((1, 1, 2), NAF, 4, MEANS, False, r) for _ in range(3)],
    "merging encoders": lambda r: [encoder((1, 2, 1), NAF, 4, MEANS, True, r) for _ in range(2)],
    "kernels": lambda r: [kernel_column((1,) * 4, ("EVSS", "naf") * 2, 4, not i, r) for i in range(3)],
}


def chain(columns: Sequence[Column], x: Tensor, others: Sequence[Tensor] = ()) -> list[States]:
    """The states after each column."""
    states: States = (None,) * columns[0].depth
    history = []
    for column in columns:
        states = column(x, states, others)
        history.append(states)
    return history


def total(states: States) -> Tensor:
    return torch.stack([(state.value * torch.linspace(-1, 1, state.value.shape[-1])).mean() for state in states if state]).sum()


class TestColumn:
    def test_small_factors_count_as_the_smallest(self) -> None:
        column = encoder((1, 1, 1), NAF, 4, MEANS, False, False)
        with torch.no_grad():
            column.get_parameter("alpha0").copy_(torch.tensor([0.0, 1e-5, -1e-5, -0.3]).view(1, 4, 1, 1))
        alpha = column.alpha(0)
        assert alpha.flatten().tolist() == pytest.approx([0, SMALLEST_ALPHA, -SMALLEST_ALPHA, -0.3])
        alpha.sum().backward()
        assert torch.equal(column.get_parameter("alpha0").grad, torch.ones(1, 4, 1, 1))

    def test_states_are_kept_by_their_factor(self) -> None:
        (column,) = filled([encoder((1, 1, 1), NAF, 4, MEANS, False, False)])
        x, old = rand(1, 4, 8, 8), rand(1, 4, 8, 8)
        plain = column(x, (None, None, None))[0].value
        after = column(x, (State(old), None, None))[0].value
        assert torch.allclose(after, plain + column.get_parameter("alpha0") * old)

    def test_a_decoder_leads_up(self) -> None:
        (column,) = filled([decoder((1, 1, 1), NAF, 4, MEANS, False)])
        shapes = [tuple(state.value.shape) for state in column(rand(1, 16, 2, 2), (None, None, None))]
        assert shapes == [(1, 8, 4, 4), (1, 4, 8, 8), (1, 4, 8, 8)]


class TestReversible:
    @pytest.mark.parametrize("kind", KINDS)
    def test_answers_and_gradients_are_the_same(self, kind: str) -> None:
        plain, reversible = (filled(KINDS[kind](r)) for r in (False, True))
        x = rand(2, 4, 8, 12)
        others = [rand(2, 4, 8, 12), rand(2, 8, 4, 6), rand(2, 16, 2, 3)] if kind == "merging encoders" else []
        results = []
        for columns in (plain, reversible):
            leaves = [value.clone().requires_grad_() for value in (x, *others)]
            states = chain(columns, leaves[0], leaves[1:])[-1]
            parameters = [p for column in columns for p in column.parameters()]
            gradients = torch.autograd.grad(total(states), [*leaves, *parameters], allow_unused=True)
            results.append([*(state.value for state in states), *gradients])
        for expected, found in zip(*results, strict=True):
            assert (expected is None) == (found is None)
            assert expected is None or torch.allclose(found, expected, atol=1e-9)

    def test_states_are_given_up_and_brought_back(self) -> None:
        columns = filled(KINDS["encoders"](True))
        history = chain(columns, rand(1, 4, 8, 8).requires_grad_())
        kept = [[state.slot.value is not None for state in states] for states in history]
        assert kept == [[False] * 3, [False] * 3, [True] * 3]
        seen: list[Tensor] = []
        first = history[0][2]
        first.value.register_hook(lambda _: seen.append(first.slot.value))
        total(history[-1]).backward()
        assert torch.allclose(seen[0], first.value, atol=1e-10)
        assert all(state.slot.value is None for states in history for state in states)

    def test_keeps_less(self) -> None:
        def kept(reversible: bool) -> int:
            sizes: dict[int, int] = {}

            def pack(tensor: Tensor) -> Tensor:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
                return tensor

            columns = filled(KINDS["encoders"](reversible))
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
                history = chain(columns, rand(1, 4, 64, 64))
            slots = [state.slot for states in history for state in states if state.slot]
            return sum(sizes.values()) + sum(slot.value.nbytes for slot in slots if slot.value is not None)

        assert kept(True) < 0.1 * kept(False)

    def test_part_of_a_chain_cannot_run_backward(self) -> None:
        history = chain(filled(KINDS["encoders"](True)), rand(1, 4, 8, 8))
        with pytest.raises(RuntimeError, match="run backward once, from a loss of all that was answered"):
            total(history[0]).backward()

    def test_a_factor_of_zero_is_recorded(self) -> None:
        columns = filled(KINDS["encoders"](True))
        with torch.no_grad():
            columns[1].get_parameter("alpha1")[0, 2] = 0
        history = chain(columns, rand(1, 4, 8, 8))
        assert history[0][0].slot is not None
        assert history[1][0].slot is None
        total(history[-1]).backward()
        assert all(torch.isfinite(p.grad).all() for p in columns[1].parameters() if p.grad is not None)

    def test_without_gradients_nothing_is_kept(self) -> None:
        with torch.no_grad():
            assert chain(filled(KINDS["encoders"](True)), rand(1, 4, 8, 8))[0][0].slot is None


def estimator(kind: str = "EVSS", window: tuple[int, int] | None = None, first: bool = True) -> KernelEstimator:
    (module,) = filled([KernelEstimator(5, 4, (1,) * 4, (kind,) * 4, first, window=window)])
    assert isinstance(module, KernelEstimator)
    return module


class TestKernelEstimator:
    def test_is_the_published_formula(self) -> None:
        module, features = estimator(), rand(2, 5, 8, 12)
        x = torch.fft.rfft2(module.feature_extract["intro_inp"](features))
        y = torch.fft.rfft2(module.feature_extract["intro_deconv"](features))
        plane = module.intro["ending"](torch.cat([x.real, x.imag], 1))
        q = module.subnets_ker(plane, (None,) * 4)[-1].value
        response = module.end_ker1.ending(module.end_ker1.norm(q))
        kernel = torch.complex(*response.chunk(2, 1))
        expected = module.deblur_feature1(torch.cat([torch.fft.irfft2(y * kernel), features], 1))
        found, found_response, _ = module(features, (None,) * 4)
        assert torch.allclose(found, expected, atol=1e-10)
        assert torch.allclose(found_response, response, atol=1e-10)

    @pytest.mark.parametrize("kind", ["EVSS", "naf"])
    def test_a_new_one_leaves_features_as_they_are(self, kind: str) -> None:
        module = KernelEstimator(6, 4, (1,) * 4, (kind,) * 4, True).double()
        with torch.no_grad():
            module.end_ker1.ending[0].weight.zero_()
        _, response, _ = module(rand(1, 6, 8, 8), (None,) * 4)
        kernels = spatial_kernels(response, (8, 8), 5)
        assert torch.allclose(kernels[..., 2, 2], torch.ones(1, 6, dtype=torch.float64))
        assert float(kernels.detach().abs().sum()) == pytest.approx(6)

    def test_windows_are_maps_of_their_own(self) -> None:
        module, features = estimator("naf", (8, 0)), rand(1, 5, 8, 24)
        found, response, _ = module(features, (None,) * 4)
        for number in range(3):
            part = slice(8 * number, 8 * number + 8)
            alone, its_response, _ = module(features[..., part], (None,) * 4)
            assert torch.allclose(response[number : number + 1], its_response, atol=1e-10)
            assert torch.allclose(found[..., part], alone, atol=1e-10)

    def test_kernels_are_what_features_are_convolved_with(self) -> None:
        module = estimator()
        features = torch.zeros(1, 5, 8, 16, dtype=torch.float64)
        features[..., 3, 5] = 1
        with torch.no_grad():
            module.deblur_feature1[0].weight.copy_(torch.eye(5, 10)[..., None, None])
            module.feature_extract["intro_deconv"][0].weight.copy_(torch.eye(5)[..., None, None])
        g, response, _ = module(features, (None,) * 4)
        shown = spatial_kernels(response, (8, 16), 21)
        assert torch.allclose(shown[..., 6:14, 2:18].roll((3 - 4, 5 - 8), (2, 3)), g, atol=1e-10)  # centre of 8 x 16 at (4, 8)
        assert float(shown[..., :6, :].detach().abs().sum() + shown.detach()[..., 14:, :].abs().sum()) == 0

    def test_picture_shows_each_window_its_kernel(self) -> None:
        response = torch.zeros(4, 6, 8, 5)
        response[:, :3] = torch.arange(1.0, 5).view(4, 1, 1, 1)
        picture = kernel_picture(response, Windows(16, 16, (8, 0)), 1, 2)
        assert picture.shape == (1, 1, 32, 32)
        peaks = [(float(picture[0, 0, row, column])) for row in (8, 24) for column in (8, 24)]
        assert peaks == pytest.approx([1, 2, 3, 4])
        assert float(picture.sum()) == pytest.approx(10)
