"""The backbones compute what the plain formulas say, in fewer steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.methods.multi_output.hinet import HINBlock, normalise_half
from restorekit.methods.multi_output.mprnet import Blocks, DownSample, OriginalResolution, UpSample, join, split
from restorekit.methods.multi_output.restormer import BiasFreeNorm, ChannelAttention, ChannelNorm, GatedFeedForward


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


def alive(module: nn.Module) -> nn.Module:
    """In float64, with no factor left at one and no bias at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.double()


@pytest.mark.parametrize("heads", [1, 2, 6])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_channel_attention(heads: int, bias: bool, layout: torch.memory_format) -> None:
    layer, x = alive(ChannelAttention(6, heads, bias)), rand(2, 6, 5, 7).contiguous(memory_format=layout)
    q, k, v = (m.reshape(2, heads, 6 // heads, 35) for m in layer.qkv_dwconv(layer.qkv(x)).chunk(3, 1))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2) * layer.temperature
    expected = layer.project_out((scores.softmax(-1) @ v).reshape(2, 6, 5, 7))
    assert torch.allclose(layer(x), expected, rtol=1e-10, atol=1e-12)


def test_channel_attention_of_nothing_is_finite() -> None:
    layer, x = ChannelAttention(4, 2), torch.zeros(1, 4, 3, 3, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_channel_attention_does_not_overrun_half_precision() -> None:
    layer, x = ChannelAttention(4, 1), 100 * torch.rand(1, 4, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        assert layer(x).isfinite().all()


def test_norms() -> None:
    x = rand(2, 6, 3, 4) + 0.5
    mean = x.mean(1, keepdim=True)
    root = ((x - mean).square().mean(1, keepdim=True) + 1e-5).sqrt()
    free, centred = alive(BiasFreeNorm(6)), alive(ChannelNorm(6, "WithBias"))
    assert torch.allclose(free(x), x / root * free.weight.view(-1, 1, 1))
    weight, bias = (value.view(-1, 1, 1) for value in (centred.body.weight, centred.body.bias))
    assert torch.allclose(centred(x), (x - mean) / root * weight + bias)


def test_gated_feed_forward() -> None:
    layer, x = alive(GatedFeedForward(4, 7, bias=True)), rand(1, 4, 5, 6)
    y = layer.dwconv(layer.project_in(x))
    gelu = y[:, :7] * 0.5 * (1 + torch.erf(y[:, :7] / 2**0.5))
    assert torch.allclose(layer(x), layer.project_out(gelu * y[:, 7:]))


def test_half_instance_normalisation() -> None:
    block, x = alive(HINBlock(3, 6, slope=0.2, normed=True)), rand(2, 3, 5, 7)
    y = block.conv_1(x)
    half = y[:, :3]
    deviation = (half.var((2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    weight, bias = (value.view(-1, 1, 1) for value in (block.norm.weight, block.norm.bias))
    normed = (half - half.mean((2, 3), keepdim=True)) / deviation * weight + bias
    y = F.leaky_relu(torch.cat([normed, y[:, 3:]], 1), 0.2)
    expected = F.leaky_relu(block.conv_2(y), 0.2) + block.identity(x)
    assert torch.allclose(block(x), expected)


def test_half_instance_normalisation_is_pytorchs() -> None:
    norm, x = alive(nn.InstanceNorm2d(3, affine=True)), 5 + rand(2, 6, 4, 5)
    assert isinstance(norm, nn.InstanceNorm2d)
    halves = torch.cat([norm(x[:, :3]), x[:, 3:]], 1)
    assert torch.allclose(normalise_half(x, norm), halves, rtol=1e-10)
    one = normalise_half(x[..., :1, :1], norm)
    assert torch.allclose(one[:, :3, 0, 0], norm.bias.expand(2, 3))
    assert one[:, 3:].equal(x[:, 3:, :1, :1])


def bilinear(x: Tensor, scale: float) -> Tensor:
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def test_halving_and_doubling() -> None:
    down, up, x = DownSample(3, 5).double(), UpSample(3, 2).double(), rand(2, 3, 6, 8)
    assert torch.allclose(down(x), down.down[1](bilinear(x, 0.5)))
    assert torch.allclose(up(x), up.up[1](bilinear(x, 2)))


def test_original_resolution() -> None:
    stage = alive(OriginalResolution((4, 5, 6), 7, Blocks(reduction=2), num_cab=1))
    x = rand(1, 7, 8, 12)
    encoded, decoded = ([rand(1, 4, 8, 12), rand(1, 5, 4, 6), rand(1, 6, 2, 3)] for _ in range(2))

    def enlarged(features: Tensor, *convolutions: nn.Module) -> Tensor:
        for up in convolutions:
            features = up.up[1](bilinear(features, 2))
        return features

    y = stage.orb1(x) + stage.conv_enc1(encoded[0]) + stage.conv_dec1(decoded[0])
    y = (
        stage.orb2(y)
        + stage.conv_enc2(enlarged(encoded[1], stage.up_enc1))
        + stage.conv_dec2(enlarged(decoded[1], stage.up_dec1))
    )
    y = stage.orb3(y) + stage.conv_enc3(enlarged(encoded[2], *stage.up_enc2))
    y = y + stage.conv_dec3(enlarged(decoded[2], *stage.up_dec2))
    assert torch.allclose(stage(x, encoded, decoded), y)


def test_one_slope_serves_all_blocks() -> None:
    blocks = Blocks(reduction=2)
    row = blocks.row(4, count=3)
    assert sum(isinstance(module, nn.PReLU) for module in row.modules()) == 1
    assert len([key for key in row.state_dict() if key.endswith("body.1.weight")]) == 3


def test_parts_of_an_image_are_a_batch() -> None:
    x = rand(2, 3, 8, 12)
    halves = split(x, dim=-2)
    assert halves[:2].equal(x[:, :, :4])
    assert halves[2:].equal(x[:, :, 4:])
    quarters = split(halves, dim=-1)
    assert quarters[4:6].equal(x[:, :, :4, 6:])
    assert join(join(quarters, dim=-1), dim=-2).equal(x)
