"""What is compared, exactly. Protocols can differ by decibels on the same pictures, so no score goes without its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from restorekit.errors import UnknownNameError, UsageError
from restorekit.metrics import crop_border, luma, round_to_8_bits, truncate_to_8_bits

Colour = Literal["rgb", "y", "y-swapped"]
SsimForm = Literal["gaussian", "uniform-7", "uniform-11", "3d"]

_SSIM_NAMES = {"uniform-7": "SSIM with a 7x7 square", "uniform-11": "SSIM with an 11x11 square", "3d": "3-D SSIM"}


@dataclass(frozen=True)
class Protocol:
    """How two images are made comparable.

    Attributes:
        colour: ``"rgb"``: all channels together; ``"y"``: luma of BT.601, 16 to 235 (the derain and super-resolution papers);
            ``"y-swapped"``: the same with the weights of red and blue exchanged, which only serves to meet published numbers.
        border: pixels cropped on each side.
        eight_bit: whether values are first clipped and rounded to 8 bits, as a saved PNG would be.
        truncate: with ``eight_bit``, whether they are cut instead of rounded, as some scripts do.
        ssim: which of the SSIMs is meant: the usual one with a Gaussian window (Wang et al. 2004), scikit-image's default with a
            plain square, or the NAFNet family's 3-D one.

    Raises:
        UsageError: for another colour or SSIM, a negative border, or truncation of what is not to become 8-bit.
    """

    colour: Colour = "rgb"
    border: int = 0
    eight_bit: bool = True
    truncate: bool = False
    ssim: SsimForm = "gaussian"

    def __post_init__(self) -> None:
        if self.colour not in get_args(Colour):
            raise UsageError(f"a protocol compares 'rgb', 'y' or 'y-swapped', not '{self.colour}'")
        if self.ssim not in get_args(SsimForm):
            raise UnknownNameError("SSIM", self.ssim, get_args(SsimForm))
        if self.border < 0:
            raise UsageError(f"a border cannot be {self.border} pixels", "Use 0 or more")
        if self.truncate and not self.eight_bit:
            raise UsageError("what is not made 8-bit cannot be truncated to 8 bits", "Leave out one of the two")

    @property
    def name(self) -> str:
        """For tables and cards: ``"RGB, border 0, 8-bit"``."""
        colour = "Y with red and blue swapped" if self.colour == "y-swapped" else self.colour.upper()
        depth = "not rounded" if not self.eight_bit else "8-bit truncated" if self.truncate else "8-bit"
        return ", ".join([colour, f"border {self.border}", depth, *filter(None, [_SSIM_NAMES.get(self.ssim)])])

    def prepare(self, image: Tensor) -> Tensor:
        """What metrics see of an image ``(B, C, H, W)``, C = 1 or 3, in [0, 1]."""
        image = self.prepare_colours(image)
        return image if self.colour == "rgb" else luma(image, swapped=self.colour == "y-swapped")

    def prepare_colours(self, image: Tensor) -> Tensor:
        """The same with all its channels: what metrics see that only know colour images."""
        if self.eight_bit:
            image = truncate_to_8_bits(image) if self.truncate else round_to_8_bits(image)
        return crop_border(image, self.border)


@dataclass(frozen=True)
class Bundle:
    """A protocol with a name, and the metrics that go with it.

    Attributes:
        protocol: how images are made comparable.
        metrics: names of :data:`restorekit.evaluation.METRICS`.
        about: who uses it, in a line.
    """

    protocol: Protocol
    metrics: tuple[str, ...]
    about: str


PROTOCOLS = {
    "rgb": Bundle(Protocol(), ("psnr", "ssim"), "the usual one of photographs: all channels, 8 bits; DeepRFT"),
    "y": Bundle(Protocol("y"), ("psnr", "ssim"), "MATLAB's luma: deraining, desnowing, super-resolution"),
    "gopro": Bundle(Protocol(ssim="3d"), ("psnr", "ssim"), "NAFNet, HINet, MPRNet, Restormer and multi-output on GoPro"),
    "sidd": Bundle(Protocol(), ("psnr", "ssim"), "denoising on SIDD and DND, CBSN: as rgb, on 256 x 256 blocks"),
    "histoformer": Bundle(
        Protocol("y-swapped", ssim="uniform-11"), ("psnr", "ssim"), "Histoformer's script to the letter: only to meet its table"
    ),
    "infwide": Bundle(Protocol(eight_bit=False, ssim="uniform-7"), ("psnr", "ssim"), "INFWIDE: neither rounded nor cropped"),
    "rrformer": Bundle(Protocol(truncate=True), ("psnr", "ssim", "lpips-vgg"), "RRFormer: truncated to 8 bits"),
}
"""The protocols of papers, by the names ``restorekit evaluate --protocol`` takes."""


def get_protocol(name: str) -> Bundle:
    """The protocol of that name; :class:`~restorekit.errors.UnknownNameError` if there is none."""
    if name not in PROTOCOLS:
        raise UnknownNameError("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


@dataclass(frozen=True)
class DepthProtocol:
    """Which depths are compared, and how; see :func:`restorekit.metrics.depth_scores`.

    Attributes:
        maximum: depths of the truth from this on do not count, in metres.
        garg: only the part of the image that the tables of KITTI look at (Garg et al. 2016).
        clamp: limit predictions to the depths compared, as most papers since monodepth2 do; DCPI-Depth does not.
        scale_by_median: multiply each prediction by the ratio of the medians, as its scale is not known.
    """

    maximum: float = 80.0
    garg: bool = False
    clamp: bool = True
    scale_by_median: bool = True

    def __post_init__(self) -> None:
        if self.maximum <= 0:
            raise UsageError(f"depths up to {self.maximum} m leave nothing to compare", "Give a positive limit")

    @property
    def name(self) -> str:
        """For tables: ``"depth to 80 m, Garg crop, scaled by the median, clamped"``."""
        scaled = "scaled by the median" if self.scale_by_median else "not scaled"
        clamped = "clamped" if self.clamp else "not clamped"
        return ", ".join([f"depth to {self.maximum:g} m", *(["Garg crop"] if self.garg else []), scaled, clamped])


DEPTH_PROTOCOLS = {
    "depth": DepthProtocol(),
    "kitti": DepthProtocol(garg=True),
    "kitti-dcpi": DepthProtocol(garg=True, clamp=False),
    "ddad": DepthProtocol(maximum=200.0),
    "nuscenes": DepthProtocol(maximum=75.0),
    "ddad-dcpi": DepthProtocol(maximum=200.0, clamp=False),
    "nuscenes-dcpi": DepthProtocol(maximum=75.0, clamp=False),
}
"""The protocols of depth, by the names ``restorekit evaluate --protocol`` takes."""


def get_depth_protocol(name: str) -> DepthProtocol:
    """The protocol of that name; :class:`~restorekit.errors.UnknownNameError` if there is none."""
    if name not in DEPTH_PROTOCOLS:
        raise UnknownNameError("depth protocol", name, DEPTH_PROTOCOLS)
    return DEPTH_PROTOCOLS[name]
