"""Which kernel a photograph was blurred with: found from the photograph and a first, still somewhat blurred answer. Ours.

Where the answer x were the truth, the kernel k would follow from gradients by least squares, ``K = conj(X) Y / (|X|^2 + s)``, y
being the photograph, for some strength s. It is not, so several such planes, of the answer and of edges that a small network
sharpens and chooses, are read by another, with the autocorrelation and the cepstrum of y, which tell of the kernel without any
answer. What it says is then improved in turns: the planes that this kernel would have given are compared with those that are
there.

Estimating kernels from predicted edges is Cho and Lee's ("Fast Motion Deblurring", 2009); teaching such a pipeline as networks
is Schuler's et al. ("Learning to Deblur", 2014, arXiv 1406.7444).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.layers.fourier import Spectra
from restorekit.methods.multi_output.two_levels import Residual, TwoLevels, silent

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""How much least squares are held back, as shares of the mean power of the gradients."""
LUMA = (0.2126, 0.7152, 0.0722)
"""What the colours add to luminance, of linear light."""
LEAST = 1e-6
SUREST = 4.0
"""The largest logarithm of odds in a verdict: trust stays from 0.02 to 0.98, where it can still be learnt."""


@dataclass(frozen=True)
class Estimate:
    """What is found out about the blur of N windows.

    Attributes:
        kernels: ``(N, 1, S, S)`` each, not negative and of sum 1, centre in the middle: the first, those improved, the last.
        noise: ``(N, 1, 1, 1)``, what is added to the kernel's power when it is inverted.
        trust: ``(N, 1, 1, 1)``, between 0 and 1: how much the kernel is to be believed.
    """

    kernels: tuple[Tensor, ...]
    noise: Tensor
    trust: Tensor


class KernelEstimator(nn.Module):
    """Estimates a kernel for each window.

    Args:
        support: S, the side of kernels, odd.
        width: channels of the networks that read planes.
        edge_width: channels of the network that sharpens edges.
        edges: how many versions of the edges it gives.
        refinements: how often the kernel is improved.
    """

    def __init__(self, support: int, width: int, edge_width: int, edges: int, refinements: int) -> None:
        super().__init__()
        self.support = support
        planes = 2 * len(STRENGTHS) + 1 + 3 * edges
        compared = len(STRENGTHS) + 3 * edges
        self.edges = Edges(edge_width, edges)
        self.strengths = nn.Parameter(torch.tensor([-6.0, -4.0, -2.0]).repeat(edges, 1))  # of each version, as logarithms
        self.first = PlaneReader(planes, width, (1, 2, 4, 2, 1))
        self.prior = nn.Parameter(torch.tensor([1.3]))
        self.improve = nn.ModuleList(PlaneReader(planes + compared + 1, width, (1, 2, 4, 1)) for _ in range(refinements))
        self.judge = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), silent(nn.Linear(width, 2)))

    def forward(self, light: Tensor, known: Tensor, edges: Tensor) -> Estimate:
        """Estimate the kernels of windows, H and W multiples of 4 and at least S.

        Args:
            light: ``(N, 3, H, W)``, the photograph, linear light.
            known: what it may have been before, likewise.
            edges: ``(N, 2 M, H, W)``, what the network :attr:`edges` says of the whole they were cut of.
        """
        sharp, blurred = luminance(known), luminance(light)
        spectra = Spectra(sharp)
        seen, own = _Gradients(spectra, blurred), _Gradients(spectra, sharp)
        found = [self._least_squares(own, seen, sharp.new_tensor(STRENGTHS)[None])]
        residue, trust = edges.chunk(2, 1)
        for i, strengths in enumerate(self.strengths):
            sharpened = _Gradients(spectra, sharp + residue[:, i : i + 1], trust[:, i : i + 1])
            found.append(self._least_squares(sharpened, seen, strengths.clamp(-9, 2).exp()[None]))
        squares, gains = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        planes, sizes = _normalised(torch.cat([squares, self._without_guess(own, seen)], 1))
        logits, features = self.first(planes, sizes)
        logits = logits + self.prior * (planes[:, 1:2].clamp_min(0) + 1e-5).log()
        kernels = [_as_kernel(logits)]
        for network in self.improve:
            kernel = kernels[-1].detach()  # each step is taught for itself: through all, gradients grew without bound
            explained = self._explained(spectra, kernel, gains)
            missing = (squares - explained) / torch.maximum(_size(squares), _size(explained))  # whatever edges are like
            shown = torch.cat([planes, 3 * missing, kernel / _size(kernel)], 1)
            change, features = network(shown, torch.cat([sizes, _size(missing, 1e-4).log(), _size(kernel).log()], 1))
            logits = logits.detach() + change
            kernels.append(_as_kernel(logits))
        opinion = self.judge(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)).float()
        verdict = (SUREST * torch.tanh(opinion / SUREST)).sigmoid()
        noise, trust = verdict[..., None, None, None].unbind(1)
        return Estimate(tuple(kernels), torch.exp(6 * noise - 7), trust)

    def _least_squares(self, sharp: _Gradients, blurred: _Gradients, strengths: Tensor) -> tuple[Tensor, Tensor]:
        """The kernels ``(N, s, S, S)`` for strengths ``(1, s)``, and what each leaves of a kernel's spectrum."""
        held = sharp.power + strengths[..., None, None] * sharp.mean
        real, imaginary = sharp.cross(blurred)
        return sharp.spectra.inverse_centred(real / held, imaginary / held, self.support), sharp.power / held

    def _without_guess(self, sharp: _Gradients, blurred: _Gradients) -> Tensor:
        """``(N, 5, S, S)``: power of the photograph to that of the answer, least squares the other way, and both cepstra."""
        ratios = [blurred.power / (sharp.power + strength * sharp.mean) for strength in STRENGTHS[1:3]]
        real, imaginary = sharp.cross(blurred)
        held = blurred.power + STRENGTHS[1] * blurred.mean
        logs = [0.1 * (each.power / each.mean).clamp_min(1e-4).log() for each in (blurred, sharp)]
        even = torch.cat([*ratios, *logs], 1)
        real, imaginary = torch.cat([even, real / held], 1), torch.cat([torch.zeros_like(even), -imaginary / held], 1)
        return sharp.spectra.inverse_centred(real, imaginary, self.support)

    def _explained(self, spectra: Spectra, kernel: Tensor, gains: Tensor) -> Tensor:
        """What least squares would have given, ``(N, s, S, S)``, if the kernels ``(N, 1, S, S)`` were right."""
        real, imaginary = spectra.forward_centred(kernel)
        return spectra.inverse_centred(real * gains, imaginary * gains, self.support)


class _Gradients:
    """The spectra of the differences of luminance ``(N, 1, H, W)``, which fall to nothing at the border of the window.

    Attributes:
        power: ``(N, 1, H, W // 2 + 1)``, over both directions.
        mean: ``(N, 1, 1, 1)``, of the power.
    """

    def __init__(self, spectra: Spectra, light: Tensor, trust: Tensor | None = None) -> None:
        self.spectra = spectra
        inner = light[..., 1:, 1:]
        differences = torch.cat([inner - light[..., 1:, :-1], inner - light[..., :-1, 1:]], 1)
        if trust is not None:
            differences = differences * trust[..., 1:, 1:]
        faded = differences * _taper(inner)
        self.real, self.imaginary = spectra.forward(F.pad(faded, (0, 1, 0, 1)))
        self.power = (self.real.square() + self.imaginary.square()).sum(1, keepdim=True)
        self.mean = self.power.mean((2, 3), keepdim=True) + 1e-10

    def cross(self, other: _Gradients) -> tuple[Tensor, Tensor]:
        """The conjugate of this times the other, summed over both directions: real and imaginary part."""
        real = (self.real * other.real + self.imaginary * other.imaginary).sum(1, keepdim=True)
        imaginary = (self.real * other.imaginary - self.imaginary * other.real).sum(1, keepdim=True)
        return real, imaginary


class Edges(nn.Module):
    """Sees a photograph and an answer, and says what edges may have been like, and which to go by.

    Args:
        width: of its network.
        versions: M.
    """

    def __init__(self, width: int, versions: int) -> None:
        super().__init__()
        self.network = TwoLevels(6, width, 2 * versions)

    def forward(self, image: Tensor, guess: Tensor) -> Tensor:
        """What to add to the answer's luminance, and how much its edges are trusted, in [0.02, 1]: ``(B, 2 M, H, W)``.

        What is added is within 0.3: least squares do not feel how large edges are, so that nothing else would keep it from
        growing.

        Args:
            image: ``(B, 3, H, W)``, RGB in [0, 1], H and W even: blurred.
            guess: what it may have been before, likewise.
        """
        residue, trust = self.network(torch.cat([image, guess], 1) * 2 - 1).float().chunk(2, 1)
        return torch.cat([0.3 * torch.tanh(residue), 0.02 + 0.98 * torch.sigmoid(2 * trust)], 1)


class PlaneReader(nn.Module):
    """Reads planes of what a kernel may be, and their sizes, as logarithms of what it is."""

    def __init__(self, planes: int, width: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.intro = nn.Conv2d(planes + 3, width, 3, padding=1)
        self.scale = nn.Linear(planes, width)
        self.body = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self.ending = silent(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, planes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithms ``(N, 1, S, S)``, from -8 to 8, and features ``(N, C, S, S)``.

        Args:
            planes: ``(N, P, S, S)``, each of size 1.
            sizes: ``(N, P, 1, 1)``, logarithms of the sizes they had.
        """
        places = _places(planes).expand(planes.shape[0], -1, -1, -1)
        features = F.gelu(self.intro(torch.cat([planes, places], 1)) + self.scale(sizes.flatten(1))[..., None, None])
        features = self.body(features).float()
        with torch.autocast(planes.device.type, enabled=False):  # half precision would be felt in the kernel
            return 8 * torch.tanh(0.625 * self.ending(features)), features


def luminance(linear: Tensor) -> Tensor:
    """``(N, 1, H, W)`` of linear light ``(N, 3, H, W)``."""
    return (linear * linear.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)


def _as_kernel(logits: Tensor) -> Tensor:
    return torch.softmax(logits.flatten(1), 1).view_as(logits)


def _size(planes: Tensor, least: float = LEAST) -> Tensor:
    """The largest absolute value of each plane, ``(N, P, 1, 1)``, without a gradient."""
    return planes.detach().abs().amax((2, 3), keepdim=True).clamp_min(least)


def _normalised(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Planes of size 1, and the logarithms ``(N, P, 1, 1)`` of what they were."""
    size = _size(planes)
    return planes / size, size.log()


def _places(planes: Tensor) -> Tensor:
    """Where each pixel lies: column and row from -1 to 1, and the distance from the middle; ``(1, 3, S, S)``."""
    steps = torch.linspace(-1, 1, planes.shape[-1], device=planes.device)
    row, column = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([column, row, (column.square() + row.square()).sqrt()])[None]


def _taper(like: Tensor) -> Tensor:
    """``(H, W)``: 1, falling to 0 at the border over about a seventh of each side."""
    rows, columns = (_ramp(like, dim) for dim in (-2, -1))
    return rows[:, None] * columns


def _ramp(like: Tensor, dim: int) -> Tensor:
    count = like.shape[dim]
    places = torch.arange(1, count + 1, device=like.device).to(like.dtype)
    return (3 * (1 - torch.cos(2 * math.pi / (count + 1) * places))).clamp_max(1)
