"""Photographs by night: camera shake, then few photons, high gain, banding, defective pixels, quantisation and clipped lights.

The camera model of INFWIDE ("Image and Feature Space Wiener Deconvolution Network", 2023). It works on display-encoded values as
if they were linear light; kept so that results can be compared with the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from restorekit.degradations.base import Pair, device_generator, require_ranges, uniform
from restorekit.degradations.trajectory import hand_held, rasterise
from restorekit.degradations.tumbling import tumbling_kernels
from restorekit.errors import SettingError
from restorekit.images.psf import read_psf
from restorekit.layers import convolve_circular

ANALOG_GAIN = (6.0, 3.0, 6.0)
"""Of red, green and blue, before the converter."""
COLLECTED = (1.0, 2.0, 1.0)
"""Photons of red, green and blue a pixel collects, relatively: what green has more of, its analog gain has less of."""
DEAD, HOT = 1e-6, 1e-5
"""Share of defective pixels for each unit of analog gain."""


@dataclass(frozen=True)
class LowLightSettings:
    """How dark and how shaken. Ranges are uniform.

    Attributes:
        gain: total gain kc, in 8-bit steps for an electron, drawn as whole numbers from the first up to below the second.
        read: standard deviation of the read noise, in electrons.
        dark: mean number N_d of dark-current electrons.
        banding: standard deviation of the factor that differs from row to row.
        headroom: how much brighter than the brightest recorded light the scene may be.
        path: ``"hand"``: the camera is held by hand, see :mod:`~restorekit.degradations.trajectory`; ``"tumbling"``: as in
            the paper, see :mod:`~restorekit.degradations.tumbling`.
        length: length of the path by hand in pixels, from end to end.
        tangled: share of invented kernels, 0 to 1, that are knots; see :func:`~restorekit.degradations.trajectory.hand_held`.
        psf_size: rows and columns of the blur kernels, odd.
        kernels: files of blur kernels, see :func:`restorekit.images.psf.read_psf`, of which each photograph gets one at random in
            place of an invented one. They are no larger than ``psf_size``.
        margin: surroundings in pixels; 0 wraps the blur around the borders of the photograph, as the paper does.
    """

    gain: tuple[float, float] = (4.0, 16.0)
    read: tuple[float, float] = (0.5, 4.0)
    dark: tuple[float, float] = (2.0, 8.0)
    banding: tuple[float, float] = (0.01, 0.03)
    headroom: float = 1.2
    path: Literal["hand", "tumbling"] = "hand"
    length: tuple[float, float] = (5.0, 27.0)
    tangled: float = 0.0
    psf_size: int = 37
    kernels: tuple[Path, ...] = ()
    margin: int = 0

    def __post_init__(self) -> None:
        require_ranges(self, "gain", "read", "dark", "banding", "length")
        if self.gain[0] < 1 or self.headroom < 1:
            raise ValueError("gain and headroom must be at least 1")
        if not 0 <= self.tangled <= 1:
            raise ValueError("tangled must be between 0 and 1")
        if self.psf_size < 1 or self.psf_size % 2 == 0 or self.length[1] > self.psf_size:
            raise ValueError("psf_size must be odd and no smaller than the longest path")
        if self.margin and self.margin < self.psf_size // 2:
            raise ValueError("margin must be 0 or at least half of psf_size")


@dataclass(frozen=True)
class Exposure:
    """How each photograph of a batch was taken: tensors that broadcast against ``(B, 3, H, W)``.

    Attributes:
        gain: kc, in 8-bit steps for an electron.
        read: sigma_r, in electrons.
        dark: N_d, in electrons.
        banding: sigma_beta.
    """

    gain: Tensor
    read: Tensor
    dark: Tensor
    banding: Tensor

    @classmethod
    def draw(cls, settings: LowLightSettings, count: int, generator: Generator) -> Exposure:
        """Exposures of ``count`` photographs, on the CPU."""
        shape = (count, 1, 1, 1)
        return cls(
            gain=uniform(generator, shape, *settings.gain).floor(),
            read=uniform(generator, shape, *settings.read),
            dark=uniform(generator, shape, *settings.dark),
            banding=uniform(generator, shape, *settings.banding),
        )

    def to(self, device: torch.device) -> Exposure:
        """The same on another device."""
        return Exposure(self.gain.to(device), self.read.to(device), self.dark.to(device), self.banding.to(device))


class LowLight:
    """Random camera shake and night noise; see :class:`LowLightSettings`.

    The ``extras`` of a pair are what a non-blind method learns from: the kernels ``psf``, ``(B, 1, k, k)``; ``blurred``, the
    photograph before noise and clipping; and ``white``, ``(B, 1, 1, 1)``, the level at which the input clips. The target is
    brighter than that where lights were clipped.
    """

    settings_type = LowLightSettings
    whole: ClassVar[Mapping[str, Any]] = {"margin": 18}  # mirrored surroundings: no blur wraps around a photograph
    part: ClassVar[Mapping[str, Any]] = whole

    def __init__(self, settings: LowLightSettings | None = None) -> None:
        self.settings = settings or LowLightSettings()
        self.margin = self.settings.margin
        self.kernels = [_read_kernel(path, self.settings.psf_size) for path in self.settings.kernels]

    def __call__(self, clean: Tensor, generator: Generator) -> Pair:
        """Make pairs of ``(B, 3, H, W)`` from ``(B, 3, H + 2 margin, W + 2 margin)``, each with its own shake and exposure."""
        settings, count, m = self.settings, clean.shape[0], self.margin
        psf = self._psfs(count, generator).to(clean.device)
        exposure = Exposure.draw(settings, count, generator).to(clean.device)
        inner = (..., slice(m, clean.shape[-2] - m), slice(m, clean.shape[-1] - m))
        blurred = convolve_circular(clean, psf)[inner].clamp_min(0)
        taken = clip_highlights(low_light_noise(blurred, exposure, generator), settings.headroom)
        white = clean.new_full((count, 1, 1, 1), 1 / settings.headroom)
        return Pair(taken, clean[inner].contiguous(), {"psf": psf, "blurred": blurred, "white": white})

    def _psfs(self, count: int, generator: Generator) -> Tensor:
        """Blur kernels ``(count, 1, k, k)``."""
        if self.kernels:
            chosen = torch.randint(len(self.kernels), (count,), generator=generator).tolist()
            return torch.stack([self.kernels[index] for index in chosen])[:, None]
        if self.settings.path == "tumbling":
            return tumbling_kernels(count, self.settings.psf_size, generator)[:, None]
        length = uniform(generator, (count, 1, 1), *self.settings.length)
        path = hand_held(count, 2, generator, self.settings.tangled) * length
        return rasterise(path, self.settings.psf_size // 2).unsqueeze(1)


def _read_kernel(path: Path, size: int) -> Tensor:
    """A kernel of sum 1 in the middle of ``(size, size)``.

    Raises:
        ImageError: if the file holds none.
        SettingError: if it is larger.
    """
    kernel = torch.from_numpy(read_psf(path))
    height, width = kernel.shape
    if max(height, width) > size:
        raise SettingError(f"the kernel in {path} has {width}x{height} pixels, more than {size}", "Set psf_size larger")
    top, left = size // 2 - height // 2, size // 2 - width // 2
    return F.pad(kernel, (left, size - width - left, top, size - height - top))


def low_light_noise(image: Tensor, exposure: Exposure, generator: Generator) -> Tensor:
    """What a camera's 8-bit file holds of ``(B, 3, H, W)``, RGB, not negative, 1 for white: multiples of 1 / 255 in [0, 1].

    ``E = 255 image / kc * collected`` electrons become ``S = Poisson(E) + max(Poisson(N_d) - N_d, 0) + Normal(0, sigma_r)``,
    times a factor ``Normal(1, sigma_beta)`` for each row and colour, times the analog gain. Defective pixels read 0 or 255; the
    converter cuts fractions off (towards zero), the digital gain ``kc / 6`` stretches what is left, and the file cuts off again.

    The rectified dark current has a mean above zero, as in the paper's code. The numbers are drawn on the image's device;
    ``generator`` lives on the CPU. Not differentiable.
    """
    device = image.device
    numbers = device_generator(generator, device)
    colours = (1, 3, 1, 1)
    analog = image.new_tensor(ANALOG_GAIN).view(colours)
    electrons = 255 * image / exposure.gain * image.new_tensor(COLLECTED).view(colours)
    dark = torch.poisson(exposure.dark.expand_as(image), numbers) - exposure.dark
    signal = torch.poisson(electrons, numbers) + dark.clamp_min(0)
    signal += exposure.read * torch.empty_like(image).normal_(generator=numbers)
    rows = image.new_empty((*image.shape[:3], 1)).normal_(generator=numbers)
    read_out = analog * (1 + exposure.banding * rows) * signal
    fate = torch.empty_like(image).uniform_(generator=numbers)
    read_out = read_out.masked_fill(fate < analog * (DEAD + HOT), 0).masked_fill(fate < analog * HOT, 255)
    stretched = read_out.trunc() * (exposure.gain / 6)
    return stretched.clamp(0, 255).trunc() / 255


def clip_highlights(image: Tensor, headroom: float) -> Tensor:
    """An image of any shape in [0, 1] as if its lights had been too bright by ``headroom``: no value exceeds ``1 / headroom``."""
    return image.clamp(0, 1 / headroom)
