"""Columns: a net's levels from fine to coarse, or back, with the states that the next column goes on from.

A column turns its input x and the states ``c_l`` of the column before into ``c_l = alpha_l * c_l + level_l(c_(l-1))``, with x for
``c_(-1)``. Everything of the old states can be had back from the new ones: see :mod:`restorekit.methods.deeprft.reversible`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from restorekit.methods.deeprft.blocks import Means, make_blocks, make_kernel_blocks
from restorekit.methods.deeprft.reversible import State, run_reversibly

SMALLEST_ALPHA = 1e-3

States = tuple[State | None, ...]


class Down(nn.Module):
    """Half the resolution: a 2x2 convolution with stride 2, without bias."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, out_channels, 2, stride=2, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = self.body(x)
        return halved


class Up(nn.Module):
    """Twice the resolution: a 1x1 convolution without bias to four times the channels, which become 2x2 neighbours."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4 * out_channels, 1, bias=False), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        doubled: Tensor = self.body(x)
        return doubled


class Level(nn.Module):
    """A level of a column: what leads into it, its blocks, what leads out of it.

    Args:
        blocks: the blocks.
        fusion: layers by name: ``down`` and then ``concat_conv`` come before the blocks, ``up`` after them.
        merges: which of them takes another map besides, as further channels, where there is one.
    """

    def __init__(self, blocks: nn.Sequential, fusion: Mapping[str, nn.Module], merges: str = "concat_conv") -> None:
        super().__init__()
        self.fusion = nn.ModuleDict({name: nn.Sequential(layer) for name, layer in fusion.items()})
        self.blocks = blocks
        self.merges = merges

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        for name in ("down", "concat_conv"):
            if name in self.fusion:
                if name == self.merges and other is not None:
                    x = torch.cat([x, other.to(x.dtype)], 1)
                x = self.fusion[name](x)
        x = self.blocks(x)
        return self.fusion["up"](x) if "up" in self.fusion else x


class Column(nn.Module):
    """Levels and the shortcuts between them and those of the column before, a factor each channel.

    ``|alpha|`` counts as at least 1e-3, which keeps the column reversible. The published code writes that into the parameters at
    every call; here they stay as they are, so that reading weights, averaging them and running in several threads are safe, and
    the gradient passes as it does there.

    Args:
        levels: from the first to the last.
        widths: channels of each level's answer.
        looks_ahead: whether each level but the last takes, besides, the old state of the level after it.
        reversible: whether training keeps no activations.
    """

    def __init__(
        self, levels: Sequence[Level], widths: Sequence[int], looks_ahead: bool = False, reversible: bool = False
    ) -> None:
        super().__init__()
        for number, (level, width) in enumerate(zip(levels, widths, strict=True)):
            self.register_parameter(f"alpha{number}", nn.Parameter(torch.full((1, width, 1, 1), 0.5)))
            self.add_module(f"level{number}", level)
        self.depth = len(levels)
        self.looks_ahead = looks_ahead
        self.reversible = reversible

    @property
    def alphas(self) -> list[Tensor]:
        """The shortcuts' parameters."""
        return [self.get_parameter(f"alpha{number}") for number in range(self.depth)]

    def level(self, number: int, x: Tensor, other: Tensor | None) -> Tensor:
        """The answer of a level, without its shortcut."""
        answer: Tensor = self.get_submodule(f"level{number}")(x, other)
        return answer

    def forward(self, x: Tensor, old: States, others: Sequence[Tensor] = ()) -> States:
        """The new states, first level first.

        Args:
            x: the input.
            old: states of the column before; None where there are none yet.
            others: what each level takes besides; none if it ``looks_ahead``.
        """
        if self.reversible and torch.is_grad_enabled() and self._is_invertible(old):
            return run_reversibly(self, x, old, others)
        new: list[State] = []
        for number in range(self.depth):
            answer = self.level(number, x, self._other(number, old, others))
            before = old[number]
            if before is not None:
                answer = torch.addcmul(answer, self.alpha(number).to(answer.dtype), before.value.to(answer.dtype))
            new.append(State(answer))
            x = answer
        return tuple(new)

    def alpha(self, number: int) -> Tensor:
        """The factor of a level's shortcut, ``(1, C, 1, 1)``: at least 1e-3 in magnitude, or exactly 0."""
        alpha = self.get_parameter(f"alpha{number}")
        with torch.no_grad():
            short = alpha.sign() * (SMALLEST_ALPHA - alpha.abs()).clamp_min(0)
        return alpha + short

    def _other(self, number: int, old: States, others: Sequence[Tensor]) -> Tensor | None:
        if self.looks_ahead:
            ahead = old[number + 1] if number + 1 < self.depth else None
            return None if ahead is None else ahead.value
        return others[number] if others else None

    def _is_invertible(self, old: States) -> bool:
        return all(state is None or bool(alpha.all()) for state, alpha in zip(old, self.alphas, strict=True))


def encoder(
    counts: Sequence[int],
    kinds: Sequence[str],
    channels: int,
    means: Sequence[Means],
    merges: bool,
    reversible: bool,
) -> Column:
    """An encoder's column: C, 2C and 4C channels, each level half the size of the one before.

    Args:
        counts, kinds: blocks of each level.
        channels: C.
        means: of the levels' channel attention, finest first.
        merges: whether each level takes a map of the other scale besides.
        reversible: see :class:`Column`.
    """
    levels = []
    for number, (count, kind) in enumerate(zip(counts, kinds, strict=True)):
        width = channels << number
        fusion: dict[str, nn.Module] = {}
        if number:
            fusion["down"] = Down(width // 2, width)
        if merges:
            fusion["concat_conv"] = nn.Conv2d(2 * width, width, 1)
        levels.append(Level(make_blocks(kind, count, width, means[number]), fusion))
    return Column(levels, [channels << number for number in range(len(levels))], reversible=reversible)


def decoder(counts: Sequence[int], kinds: Sequence[str], channels: int, means: Sequence[Means], reversible: bool) -> Column:
    """A decoder's column: levels of 4C, 2C and C channels, the first two of which lead up to the next; see :func:`encoder`."""
    levels, widths = [], []
    for number, (count, kind) in enumerate(zip(counts, kinds, strict=True)):
        scale = len(counts) - 1 - number
        width = channels << scale
        fusion = {"up": Up(width, width // 2)} if scale else {}
        levels.append(Level(make_blocks(kind, count, width, means[scale]), fusion))
        widths.append(width // 2 if scale else width)
    return Column(levels, widths, reversible=reversible)


def kernel_column(counts: Sequence[int], kinds: Sequence[str], channels: int, first: bool, reversible: bool) -> Column:
    """A kernel estimator's column: levels of one width and size, each of which looks at the old state of the one after it.

    Args:
        counts, kinds: blocks of each level.
        channels: the width.
        first: whether it is the first stage's, which has no old states.
        reversible: see :class:`Column`.
    """
    levels = []
    for number, (count, kind) in enumerate(zip(counts, kinds, strict=True)):
        last = number == len(counts) - 1
        fusion = {} if first or last else {"down": nn.Conv2d(2 * channels, channels, 1)}
        levels.append(Level(make_kernel_blocks(kind, count, channels), fusion, merges="down"))
    return Column(levels, [channels] * len(levels), looks_ahead=True, reversible=reversible)
