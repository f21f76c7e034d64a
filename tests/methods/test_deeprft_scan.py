"""``deeprft``: the selective scan against its recurrence, and the layer around it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, library, nn
from torch.nn import functional as F

from restorekit.methods.deeprft import scan, traced_scan
from restorekit.methods.deeprft.blocks import EVSS2D, Means, NAFEVSBlock
from restorekit.methods.deeprft.scan import selective_scan


def step_by_step(u: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    state = u.new_zeros(u.shape[0], *a.shape)
    answers = []
    for t in range(u.shape[1]):
        state = torch.exp(dt[:, t, :, None] * a) * state + (dt[:, t] * u[:, t])[..., None] * b[:, t, None]
        answers.append((state * c[:, t, None]).sum(-1))
    return torch.stack(answers, 1)


def sequence(length: int, batch: int = 2, channels: int = 5, states: int = 3) -> list[Tensor]:
    torch.manual_seed(length)
    shapes = [(batch, length, channels), (batch, length, channels), (channels, states), (batch, length, states)]
    u, dt, rates, b = (torch.randn(shape, dtype=torch.float64) for shape in shapes)
    return [u, dt.abs(), -rates.abs(), b, torch.randn_like(b)]


class TestScan:
    @pytest.mark.parametrize("length", [1, 2, 3, 13, 64, 77])
    @pytest.mark.parametrize("piece", [1, 200, 10**6])
    def test_answers_and_gradients_are_those_of_the_recurrence(
        self, length: int, piece: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(scan._PIECE, "cpu", piece)
        given = sequence(length)
        plain, ours = ([x.clone().requires_grad_() for x in given] for _ in range(2))
        expected, answer = step_by_step(*plain), selective_scan(*ours)
        assert torch.allclose(answer, expected, atol=1e-12)
        weights = torch.randn_like(answer)
        gradients = (torch.autograd.grad((y * weights).sum(), x) for y, x in ((expected, plain), (answer, ours)))
        for right, found in zip(*gradients, strict=True):
            assert torch.allclose(found, right, atol=1e-10)

    @pytest.mark.parametrize("length", [1, 12, 13, 77])
    def test_loops_for_graphs_give_the_same(self, length: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(traced_scan, "STEPS", 6)
        given = sequence(length)
        assert torch.allclose(traced_scan.traced_scan(*given), step_by_step(*given), atol=1e-12)

    def test_any_decay_is_stable(self) -> None:
        u, dt, rates, b, c = (x.float() for x in sequence(300))
        for factor in (1e-6, 1e4):
            assert torch.allclose(
                selective_scan(u, factor * dt, rates, b, c), step_by_step(u, factor * dt, rates, b, c), rtol=1e-4
            )

    def test_inputs_may_lie_in_any_way_and_stay_as_they_were(self) -> None:
        given = sequence(20)
        others = [x.mT.contiguous().mT for x in given]
        copies = [x.clone() for x in others]
        assert torch.equal(selective_scan(*others), selective_scan(*given))
        assert all(torch.equal(x, copy) for x, copy in zip(others, copies, strict=True))

    def test_is_one_operator_to_the_compiler(self) -> None:
        """With no break in the graph, and with what PyTorch asks of operators."""
        given = [x.requires_grad_() for x in sequence(12)]
        compiled = torch.compile(selective_scan, backend="aot_eager", fullgraph=True)
        answer = compiled(*given)
        assert torch.allclose(answer, selective_scan(*given))
        (gradient,) = torch.autograd.grad(answer.sum(), given[2])
        assert gradient.abs().sum() > 0
        library.opcheck(scan._scan, tuple(given), test_utils=("test_schema", "test_faketensor"))


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64) - 0.5


def filled(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module


class TestLayer:
    def test_is_the_published_formula(self) -> None:
        layer = filled(EVSS2D(20))  # rank 2
        assert isinstance(layer, EVSS2D)
        image = rand(2, 20, 5, 4)
        x, z = F.linear(image.permute(0, 2, 3, 1), layer.in_proj.weight).chunk(2, -1)
        u = F.gelu(layer.conv2d(x.permute(0, 3, 1, 2))).flatten(2)
        p = layer.x_conv(torch.einsum("bil,oi->bol", u, layer.x_proj_weight[0]))
        low, b, c = p.split((2, 8, 8), 1)
        dt = F.softplus(torch.einsum("brl,ir->bil", low, layer.dt_projs_weight[0]) + layer.dt_projs_bias[0, :, None])
        y = step_by_step(u.mT, dt.mT, -layer.A_logs.exp(), b.mT, c.mT) + layer.Ds * u.mT
        y = F.layer_norm(y, (40,), layer.out_norm.weight, layer.out_norm.bias, 1e-5).view(2, 5, 4, 40)
        expected = F.linear(y * F.gelu(z), layer.out_proj.weight).permute(0, 3, 1, 2)
        assert torch.allclose(layer(image), expected, atol=1e-10)

    def test_new_steps_are_between_a_thousandth_and_a_tenth(self) -> None:
        layer = EVSS2D(16)
        steps = F.softplus(layer.dt_projs_bias).detach()
        assert 1e-3 * 0.999 < float(steps.min()) < float(steps.max()) < 0.1001
        assert torch.allclose(layer.A_logs.exp(), torch.arange(1.0, 9).expand(32, 8))


class TestBlock:
    @pytest.mark.parametrize("turn", ["transpose", "rotate"])
    def test_is_the_published_formula(self, turn: str) -> None:
        block = filled(NAFEVSBlock(8, Means(), turn))  # type: ignore[arg-type]
        assert isinstance(block, NAFEVSBlock)
        image = rand(2, 8, 6, 4)
        x = image.mT if turn == "transpose" else image.flip(2, 3)
        u = block.conv2(block.conv1(block.norm1(x)))
        u = u[:, :8] * u[:, 8:]
        local = block.conv3(u * block.sca(u))
        everywhere = block.attn(block.norm_mamba(u)) * (block.alpha + 1)
        y = x + block.beta * (block.lamb_l * local + block.lamb_g * everywhere)
        v = block.conv4(block.norm2(y))
        expected = y + block.gamma * block.conv5(v[:, :8] * v[:, 8:])
        assert torch.allclose(block(image), expected, atol=1e-10)
        assert torch.allclose(block(image.contiguous(memory_format=torch.channels_last)), expected, atol=1e-10)
        assert not torch.allclose(local, expected, atol=1e-3)
