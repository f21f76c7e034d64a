"""What levels are made of: NAF blocks with a selective scan beside the convolution, and the blocks of the kernel estimator.

What differs from the published code, at equal numbers: linear layers over channels are 1x1 convolutions of the map, which needs
no permutation where it lies channels last; ``beta``, ``gamma``, ``lamb_l``, ``lamb_g`` and ``alpha`` are moved into the weights
of the layer before them; only the scan runs in float32 where autocast lowers the precision of the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import LayerNorm2d
from restorekit.layers.naf import GatedConvolution, NAFBlock
from restorekit.methods.deeprft.scan import selective_scan

STATES = 8
"""States of each channel of a scan; the published code always has 8."""


@dataclass(frozen=True)
class Means:
    """Over what channel attention takes its means; see :class:`restorekit.layers.naf.GatedConvolution`."""

    window: tuple[int, int] | None = None
    cells: int | None = None


class EVSS2D(nn.Module):
    """A selective scan over the pixels in row-major order, in one direction, between a depthwise convolution and a gate.

    With I = 2C inner channels: ``out_proj(LN(scan(u)) * gelu(z))``, where ``u = gelu(conv2d(x))``, and ``x`` and ``z`` are linear
    in the input. Step, input and output of the scan come from ``u`` through a convolution over 7 pixels of the sequence.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner, rank = 2 * channels, -(-channels // 16)
        self.splits = (rank, STATES, STATES)
        self.in_proj = nn.Linear(channels, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        coefficients = sum(self.splits)
        self.x_proj_weight = nn.Parameter(torch.empty(1, coefficients, inner))
        self.x_conv = nn.Conv1d(coefficients, coefficients, 7, padding=3, groups=coefficients)
        self.dt_projs_weight = nn.Parameter(torch.empty(1, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(1, inner))
        self.A_logs = nn.Parameter(torch.arange(1.0, STATES + 1).log().repeat(inner, 1))
        self.Ds = nn.Parameter(torch.ones(inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """Steps start between 1e-3 and 1e-1, evenly in their logarithm."""
        nn.init.kaiming_uniform_(self.x_proj_weight[0], a=math.sqrt(5))
        rank = self.splits[0]
        nn.init.uniform_(self.dt_projs_weight, -(rank**-0.5), rank**-0.5)
        steps = torch.empty_like(self.dt_projs_bias)
        nn.init.uniform_(steps, math.log(1e-3), math.log(1e-1))
        self.dt_projs_bias.copy_(steps.exp().expm1().log())  # softplus of it is the step

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        """``(B, C, H, W)`` to the same shape, times ``scale`` of each channel, ``(1, C, 1, 1)``, where given."""
        inner = self.conv2d.in_channels
        into_x, into_z = torch.split(self.in_proj.weight[..., None, None], inner)
        u = F.gelu(self.conv2d(F.conv2d(x, into_x)))
        y = self._scan(u) * F.gelu(F.conv2d(x, into_z))
        out = self.out_proj.weight[..., None, None]
        return F.conv2d(y, out if scale is None else out * scale.view(-1, 1, 1, 1))

    def _scan(self, u: Tensor) -> Tensor:
        """``LN(scan(u) + Ds u)`` of ``(B, I, H, W)``."""
        with torch.autocast(u.device.type, enabled=False):
            precise = u if u.dtype == torch.float64 else u.float()
            sequence = precise.permute(0, 2, 3, 1).flatten(1, 2)
            coefficients = self.x_conv(self.x_proj_weight[0] @ sequence.mT)
            low, b, c = (part.mT for part in coefficients.split(self.splits, dim=1))
            dt = F.softplus(F.linear(low, self.dt_projs_weight[0], self.dt_projs_bias[0]))
            y = torch.addcmul(selective_scan(sequence, dt, -self.A_logs.exp(), b, c), sequence, self.Ds)
            return self.out_norm(y).view(*_spatial(u)).permute(0, 3, 1, 2)


def _spatial(x: Tensor) -> tuple[int, int, int, int]:
    """The shape of ``(B, C, H, W)`` channels last."""
    batch, channels, height, width = x.shape
    return batch, height, width, channels


class NAFEVSBlock(NAFBlock):
    """A NAF block with a selective scan beside its gated convolution.

    It turns the map before it works on it and answers turned: one of an even number in its level transposes, one of an odd number
    rotates by 180 degrees. Four in a row scan in four directions and leave the map as it was.

    Args:
        channels: C.
        means: of channel attention.
        turn: how the map is turned.
    """

    def __init__(self, channels: int, means: Means, turn: Literal["transpose", "rotate"]) -> None:
        super().__init__(channels, means.window, means.cells)
        self.turn = turn
        self.norm_mamba = LayerNorm2d(channels)
        self.attn = EVSS2D(channels)
        self.lamb_l = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.lamb_g = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self._turned(x)
        u = self.gated(x)
        local = self.attended(u, self.beta * self.lamb_l)
        everywhere = self.attn(self.norm_mamba(u), self.beta * self.lamb_g * (self.alpha + 1))
        return self.fed_forward(x + local + everywhere)

    def _turned(self, x: Tensor) -> Tensor:
        if self.turn == "rotate":
            return x.flip(2, 3)
        lies = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        return x.mT.contiguous(memory_format=lies)


class ScanBlock(nn.Module):
    """A selective scan over a spectrum, taken for a map: ``x + attn(norm1(x))``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm2d(channels)
        self.attn = EVSS2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        refined: Tensor = x + self.attn(self.norm1(x))
        return refined


class GatedBlock(GatedConvolution):
    """The first half of a NAF block over a spectrum, taken for a map; a new block is the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attended(self.gated(x), self.beta)


def make_blocks(kind: str, count: int, channels: int, means: Means) -> nn.Sequential:
    """The blocks of a level of an encoder or decoder; ``kind`` is a block as configurations name them."""
    if kind == "NAFEVSBlock":
        turns: tuple[Literal["transpose", "rotate"], ...] = ("transpose", "rotate")
        return nn.Sequential(*(NAFEVSBlock(channels, means, turns[i % 2]) for i in range(count)))
    return nn.Sequential(*(NAFBlock(channels, means.window, means.cells) for _ in range(count)))


def make_kernel_blocks(kind: str, count: int, channels: int) -> nn.Sequential:
    """The blocks of a level of a kernel estimator; ``kind`` is a kernel block as configurations name them."""
    return nn.Sequential(*(ScanBlock(channels) if kind == "EVSS" else GatedBlock(channels) for _ in range(count)))
