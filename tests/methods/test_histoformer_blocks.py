"""``histoformer``: the blocks against the paper's formulas written down plainly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.histoformer import METHOD, HistoformerConfig, blocks, sorting
from restorekit.methods.histoformer.attention import HistogramAttention, softmax_plus_one
from restorekit.methods.histoformer.blocks import ChannelNorm, DualScaleFeedForward, Level
from restorekit.methods.histoformer.planar import depthwise, pointwise
from restorekit.methods.histoformer.sorting import ascending_order, dynamic_range_order, unsort


def stable(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    values, indices = torch.sort(x, dim=dim, stable=True)
    return values, indices


def plain_attention(module: HistogramAttention, x: Tensor) -> Tensor:
    """Dynamic-range histogram self-attention, step by step."""
    b, c, h, w = x.shape
    half, heads, n = c // 2, module.heads, h * w
    low, ih = stable(x[:, :half], 2)
    low, iw = stable(low, 3)
    y = module.qkv_dwconv(module.qkv(torch.cat([low, x[:, half:]], 1)))
    q1, k1, q2, k2, v = y.flatten(2).chunk(5, dim=1)
    v, order = stable(v, 2)
    pad = -n % heads
    q1, k1, q2, k2 = (F.pad(m.gather(2, order), (0, pad)) for m in (q1, k1, q2, k2))
    v = F.pad(v, (0, pad))
    per_head, m = c // heads, (n + pad) // heads

    def branch(q: Tensor, k: Tensor, bin_wise: bool) -> Tensor:
        def tokens(x: Tensor) -> Tensor:
            x = x.view(b, heads, per_head, heads, m) if bin_wise else x.view(b, heads, per_head, m, heads).transpose(3, 4)
            return x.reshape(b, heads, c, m)

        scores = F.normalize(tokens(q), dim=-1) @ F.normalize(tokens(k), dim=-1).transpose(2, 3) * module.temperature
        attention = scores.exp() / (1 + scores.exp().sum(-1, keepdim=True))
        out = (attention @ tokens(v)).view(b, heads, per_head, heads, m)
        return (out if bin_wise else out.transpose(3, 4)).reshape(b, c, n + pad)[..., :n]

    out = branch(q1, k1, True) * branch(q2, k2, False)
    out = module.project_out(torch.zeros_like(out).scatter(2, order, out).view(x.shape))
    low = torch.zeros_like(low).scatter(3, iw, out[:, :half])
    low = torch.zeros_like(low).scatter(2, ih, low)
    return torch.cat([low, out[:, half:]], 1)


def plain_feed_forward(module: DualScaleFeedForward, x: Tensor) -> Tensor:
    """Dual-scale gated feed-forward as the paper draws it."""
    a, g = F.pixel_shuffle(module.project_in(x), 2).chunk(2, dim=1)
    y = F.mish(module.dwconv_dilated2_1(g)) * module.dwconv_5(a)
    return module.project_out(F.pixel_unshuffle(y, 2))


def scrambled(module: nn.Module) -> nn.Module:
    """The module in double precision with all parameters, biases and temperatures too, drawn anew."""
    torch.manual_seed(0)
    for parameter in module.double().parameters():
        nn.init.normal_(parameter, std=0.5)
    return module


@pytest.fixture(params=["as it runs", "as it is traced"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both forms of what differs where operations are recorded."""
    if request.param == "as it is traced":
        for module in (sorting, blocks):
            monkeypatch.setattr(module, "is_traced", lambda: True)
    return str(request.param)


@pytest.mark.usefixtures("way")
class TestAttention:
    @pytest.mark.parametrize(
        ("channels", "heads", "size"),
        [(4, 1, (5, 7)), (12, 4, (7, 9)), (12, 4, (8, 6)), (6, 3, (1, 5)), (16, 8, (1, 1)), (9, 3, (6, 5))],
    )
    @pytest.mark.parametrize("bias", [False, True])
    def test_is_the_plain_formula(self, channels: int, heads: int, size: tuple[int, int], bias: bool) -> None:
        module = scrambled(HistogramAttention(channels, heads, bias))
        x = torch.randn(2, channels, *size, dtype=torch.float64, requires_grad=True)
        direction = torch.randn(x.shape, dtype=torch.float64)
        ours, plain = module(x), plain_attention(module, x)
        assert torch.allclose(ours, plain, atol=1e-11)
        gradients = [torch.autograd.grad((out * direction).sum(), [x, *module.parameters()]) for out in (ours, plain)]
        for one, other in zip(*gradients, strict=True):
            assert torch.allclose(one, other, atol=1e-9)

    def test_ties_keep_their_order(self) -> None:
        """In float32 with values of few levels, as flat regions have."""
        module = HistogramAttention(8, 2)
        with torch.no_grad():
            for conv in (module.qkv, module.qkv_dwconv):
                conv.weight.copy_(torch.randint(-1, 2, conv.weight.shape))  # sums of small integers are exact
            x = torch.randint(-2, 3, (1, 8, 12, 10)).float()
            assert torch.allclose(module(x), plain_attention(module, x), atol=1e-3)

    def test_high_temperatures_do_not_overflow(self) -> None:
        module = scrambled(HistogramAttention(4, 2)).float()
        with torch.no_grad():
            module.temperature.fill_(1000)
            assert torch.isfinite(module(torch.randn(1, 4, 6, 6))).all()


def test_softmax_plus_one() -> None:
    scores = torch.randn(2, 3, 5, dtype=torch.float64)
    expected = scores.exp() / (1 + scores.exp().sum(-1, keepdim=True))
    assert torch.allclose(softmax_plus_one(scores), expected, atol=1e-14)
    assert softmax_plus_one(torch.full((1, 4), -1000.0)).sum() == 0


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("grad", [False, True])
def test_feed_forward_is_the_plain_formula(bias: bool, grad: bool) -> None:
    module = scrambled(DualScaleFeedForward(5, 12, bias))
    x = torch.randn(2, 5, 6, 9, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        ours, plain = module(x), plain_feed_forward(module, x)
        assert torch.allclose(ours, plain, atol=1e-11)
        if grad:
            gradients = [torch.autograd.grad(out.square().sum(), list(module.parameters())) for out in (ours, plain)]
            for one, other in zip(*gradients, strict=True):
                assert torch.allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize(("kind", "numerator"), [("WithBias", "centred"), ("BiasFree", "x")])
def test_channel_norm(kind: blocks.Norm, numerator: str) -> None:
    x = 3 + torch.randn(2, 7, 4, 5, dtype=torch.float64)
    variance, mean = torch.var_mean(x, 1, keepdim=True, correction=0)
    expected = {"centred": x - mean, "x": x}[numerator] / (variance + 1e-5).sqrt()
    assert torch.allclose(ChannelNorm(kind)(x), expected, atol=1e-12)
    assert not list(ChannelNorm(kind).parameters())


def test_blocks_add_in_float32_under_autocast() -> None:
    network = METHOD.build(HistoformerConfig(dim=4, num_blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), ffn_expansion_factor=2))
    seen: list[torch.dtype] = []
    for part in network.modules():
        if isinstance(part, Level):
            part.register_forward_hook(lambda *arguments: seen.append(arguments[-1].dtype))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        network(torch.rand(1, 3, 8, 8))
    assert seen == [torch.float32] * 8


class TestSorting:
    @settings(max_examples=60)
    @given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=40))
    def test_packed_order_is_the_stable_one(self, values: list[float]) -> None:
        x = torch.tensor([values, values[::-1]])
        assert torch.equal(ascending_order(x), stable(x, -1)[1])

    def test_equal_values_and_both_zeros_keep_their_order(self) -> None:
        assert ascending_order(torch.tensor([0.0, -0.0, 1.0, -0.0, 0.0, -1.0])).tolist() == [5, 0, 1, 3, 4, 2]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
    def test_other_precisions(self, dtype: torch.dtype) -> None:
        x = torch.randn(3, 50).to(dtype)
        assert torch.equal(ascending_order(x), stable(x, -1)[1])

    def test_several_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = torch.randn(1, 7, 120, 100)
        monkeypatch.setattr(sorting, "_WORTH_A_THREAD", 1000)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
        assert torch.equal(ascending_order(x), stable(x, -1)[1])

    def test_views(self) -> None:
        x = torch.randn(3, 6, 5)
        for view in (x.mT, x[..., ::2], x.expand(2, 3, 6, 5)):
            assert torch.equal(ascending_order(view), stable(view, -1)[1])

    def test_columns_then_rows(self) -> None:
        x = torch.randn(2, 3, 7, 5)
        order = dynamic_range_order(x)
        moved = x.flatten(2).gather(-1, order)
        expected = stable(stable(x, 2)[0], 3)[0]
        assert torch.equal(moved.view(x.shape), expected)
        assert (expected.diff(dim=2) >= 0).all()  # sorting rows leaves columns sorted
        assert torch.equal(unsort(moved, order).view(x.shape), x)


@pytest.mark.parametrize("weights", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("maps", [torch.contiguous_format, torch.channels_last])
def test_planar_convolutions(weights: torch.memory_format, maps: torch.memory_format) -> None:
    x = torch.randn(2, 4, 5, 6, dtype=torch.float64).contiguous(memory_format=maps)
    one = nn.Conv2d(4, 7, 1).double().to(memory_format=weights)
    three = nn.Conv2d(4, 4, 3, padding=1, groups=4).double().to(memory_format=weights)
    for ours, conv in ((pointwise(x, one.weight, one.bias), one), (depthwise(x, three.weight, three.bias), three)):
        assert torch.allclose(ours, conv(x), atol=1e-12)
        assert ours.is_contiguous()
