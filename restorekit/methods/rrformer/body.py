"""The body of SwinIR: attention inside windows of 8 x 8 tokens, which every second block shifts by half a window.

Source: "SwinIR: Image Restoration Using Swin Transformer" (ICCV workshops 2021), as "Benchmarking Ultra-High-Definition Image
Reflection Removal" (2023) uses it: a token is a pixel of a feature map, and there is no position embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers import crop_to, reflect_to_multiple

APART = -100.0
"""What is added to the score of two tokens that share a window only because the grid wraps around."""


class WindowAttention(nn.Module):
    """Attention inside the windows of ``(B, h, w, C)``, h and w multiples of ``window``.

    ``softmax(q k / sqrt(d) + bias) v`` for each head, with a bias for each offset from query to key.

    Same numbers as the authors' formulation, for less. Scores are never stored (fused attention). In a shifted grid only windows
    of the last row and the last column hold tokens that are strangers to each other, so windows are taken in four groups with one
    mask each, where the authors build a mask for every window of the image.

    Args:
        channels: C, a multiple of ``heads``.
        heads: attention heads.
        window: side of a window.
        shift: by how much the grid was rolled; 0 for none.
        keeps_index: whether the table of offsets is in the state dict, as it is in the authors'.
    """

    relative_position_index: Tensor
    masks: Tensor

    def __init__(self, channels: int, heads: int, window: int, shift: int = 0, keeps_index: bool = False) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.register_buffer("relative_position_index", offset_index(window), persistent=keeps_index)
        self.register_buffer("masks", corner_masks(window, shift), persistent=False)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x)
        side = self.window**2
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()].view(side, side, self.heads)
        bias = bias.permute(2, 0, 1)
        if not self.shift:
            return self.proj(self._attend(qkv, bias))
        last = self.window
        rows = [
            torch.cat([self._attend(part, bias + mask) for part, mask in zip(_split(row, last, 2), masks, strict=True)], 2)
            for row, masks in zip(_split(qkv, last, 1), self.masks, strict=True)
        ]
        return self.proj(torch.cat(rows, 1))

    def _attend(self, qkv: Tensor, bias: Tensor) -> Tensor:
        """``(B, h, w, 3C)`` to ``(B, h, w, C)``."""
        b, h, w, channels = qkv.shape
        s, heads, width = self.window, self.heads, channels // (3 * self.heads)
        cells = qkv.reshape(b, h // s, s, w // s, s, 3, heads, width).permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = cells.reshape(3, b * (h // s) * (w // s), heads, s * s, width)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype)[None])
        cells = y.reshape(b, h // s, w // s, heads, s, s, width).permute(0, 1, 4, 2, 5, 3, 6)
        return cells.reshape(b, h, w, channels // 3)


def _split(x: Tensor, last: int, dim: int) -> tuple[Tensor, Tensor]:
    """All but the last ``last`` of a dimension, and those; the former may be none."""
    rest = x.shape[dim] - last
    return x.narrow(dim, 0, rest), x.narrow(dim, rest, last)


def offset_index(window: int) -> Tensor:
    """Which bias serves which query (row) and key (column) of a window: ``(y_q - y_k + w - 1) (2w - 1) + x_q - x_k + w - 1``."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + window - 1) * (2 * window - 1) + x[:, None] - x + window - 1


def corner_masks(window: int, shift: int) -> Tensor:
    """What is added to the scores in a rolled grid: ``(2, 2, n, n)``, n = window², by whether a window is in the last row, and
    in the last column.
    """
    wraps = torch.arange(window) >= window - shift
    y, x = torch.meshgrid(wraps, wraps, indexing="ij")
    y, x = y.flatten(), x.flatten()
    crosses_y, crosses_x = y[:, None] != y, x[:, None] != x
    none = torch.zeros_like(crosses_y)
    table = [[none, crosses_x], [crosses_y, crosses_y | crosses_x]]
    return APART * torch.stack([torch.stack(row) for row in table]).float()


def grid_masks(window: int, shift: int, grid: int) -> Tensor:
    """The authors' constant: the mask of every window of a ``grid`` x ``grid`` of tokens, ``((grid / window)², n, n)``."""
    last = torch.arange(grid // window) == grid // window - 1
    rows, columns = torch.meshgrid(last.long(), last.long(), indexing="ij")
    return corner_masks(window, shift)[rows.flatten(), columns.flatten()]


class Mlp(nn.Module):
    """``fc2(GELU(fc1(x)))`` of each token."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return y


class SwinBlock(nn.Module):
    """Window attention, then an MLP, both behind a layer normalisation and added to ``(B, h, w, C)``.

    Args:
        channels: C.
        heads: attention heads.
        window: side of a window.
        shift: how far the grid of windows is moved; 0 for none.
        hidden: channels inside the MLP.
        drop_path: probability with which a branch is left out of an example while training.
        grid: side of the nominal grid whose masks the authors keep in the state dict; None keeps no constants there.
    """

    def __init__(
        self, channels: int, heads: int, window: int, shift: int, hidden: int, drop_path: float, grid: int | None
    ) -> None:
        super().__init__()
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, window, shift, keeps_index=grid is not None)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels, hidden)
        self.drop_path: nn.Module = nn.Identity()
        if drop_path:
            from torchvision.ops import StochasticDepth

            self.drop_path = StochasticDepth(drop_path, "row")
        if grid is not None and shift:
            self.register_buffer("attn_mask", grid_masks(window, shift, grid))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        if self.shift:
            y = self.attn(y.roll((-self.shift, -self.shift), (1, 2))).roll((self.shift, self.shift), (1, 2))
        else:
            y = self.attn(y)
        x = x + self.drop_path(y)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class _Blocks(nn.Module):
    """The level of names that the authors' keys have here."""

    def __init__(self, blocks: list[SwinBlock]) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)


class Group(nn.Module):
    """``x + conv3x3(blocks(x))`` of ``(B, h, w, C)``, or, of a calm one, ``x + conv3x3(blocks(x) - x)``."""

    def __init__(self, channels: int, blocks: list[SwinBlock], calm: bool = False) -> None:
        super().__init__()
        self.calm = calm
        self.residual_group = _Blocks(blocks)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.residual_group.blocks(x)
        return x + over_channels(self.conv, y - x if self.calm else y)


class _PatchEmbed(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)


class SwinBody(nn.Module):
    """Groups of blocks between a normalisation and a convolution, added to their input ``(B, C, H, W)``.

    Args:
        dim: C.
        depths: blocks of each group; every second block shifts its windows by half.
        heads: heads of each group.
        window: side of a window; the map is reflected up to multiples of it and cropped back.
        hidden: channels inside the MLPs.
        drop_path: the last block's probability of being left out while training; earlier ones rise to it from 0.
        grid: side of the authors' nominal grid of tokens, which keeps their constants in the state dict; None leaves them out.
        calm: groups convolve only what their blocks added, at first to little, and the body adds nothing until it has learnt.
            What follows is normalised, so nothing keeps the convolutions of groups from growing, and grown ones drown what the
            next groups add: a recipe gives them a low rate of their own.
    """

    def __init__(
        self,
        dim: int,
        depths: Sequence[int],
        heads: Sequence[int],
        window: int,
        hidden: int,
        drop_path: float = 0.0,
        grid: int | None = None,
        calm: bool = False,
    ) -> None:
        super().__init__()
        self.window = window
        own = window if grid is None else min(window, grid)
        shift = 0 if grid is not None and grid <= window else own // 2
        rates = (drop_path * i / max(1, sum(depths) - 1) for i in range(sum(depths)))
        self.patch_embed = _PatchEmbed(dim)
        groups = []
        for depth, count in zip(depths, heads, strict=True):
            blocks = [SwinBlock(dim, count, own, shift * (i % 2), hidden, next(rates), grid) for i in range(depth)]
            groups.append(Group(dim, blocks, calm))
        self.layers = nn.Sequential(*groups)
        self.norm = nn.LayerNorm(dim)
        self.conv_after_body = nn.Conv2d(dim, dim, 3, padding=1)
        if grid is not None:
            self.conv_last = nn.Conv2d(dim, 3, 3, padding=1).requires_grad_(False)  # the authors never use it
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        if calm:
            for adding in (*(group.conv for group in groups), self.conv_after_body):
                for values in adding.parameters():
                    nn.init.zeros_(values)
            for group in groups:
                nn.init.normal_(group.conv.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        padded = reflect_to_multiple(x, self.window)
        tokens = padded.permute(0, 2, 3, 1)
        y = self.norm(self.layers(self.patch_embed.norm(tokens)))
        return crop_to(padded + over_channels(self.conv_after_body, y).permute(0, 3, 1, 2), *x.shape[-2:])


def over_channels(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """A convolution of ``(B, h, w, C)``: what it sees is a view in the ``channels_last`` memory format."""
    y: Tensor = convolution(x.permute(0, 3, 1, 2))
    return y.permute(0, 2, 3, 1)
