"""DeepRFTv2: blind motion deblurring that estimates a deblurring kernel in Fourier space (2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from restorekit.methods.base import Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.deeprft.network import DeepRFT

Block = Literal["naf", "NAFEVSBlock"]
"""A NAF block, or one with a selective scan beside its convolution."""

KernelBlock = Literal["naf", "EVSS"]
"""What the kernel estimator refines the spectrum with: gated convolution, or a selective scan."""

Counts = tuple[int, int, int]
Blocks = tuple[Block, Block, Block]

_NAF: Blocks = ("naf", "naf", "naf")


@dataclass(frozen=True)
class DeepRftConfig:
    """The network's hyper-parameters; the names are the authors', but for the last five.

    What is said of encoders and decoders is said for each stage, and there as a triple: encoders from fine to coarse, decoders
    from coarse to fine. ``max`` is the scale of the features, ``mid`` half of it.

    Attributes:
        dims: channels C of the finest level; the next two have 2C and 4C.
        dims_ker: channels of the kernel estimators.
        enc_max_layers, dec_max_layers, enc_mid_layers, dec_mid_layers: blocks of each level.
        baseblock_enc_max, baseblock_dec_max, baseblock_enc_mid, baseblock_dec_mid: their kind. NAFEVSBlocks turn the map by
            fours, so a level of theirs has a multiple of 4.
        baseblock_enc_ker: kind of block of the four levels of kernel estimators.
        enc_ker_layers: how many.
        train_size: rows and columns of the training crops, which fix the windows of local means; None keeps means global.
        train_cells: at how many points along a window's side such means are taken, to be interpolated; None for every pixel.
        patch: side, in pixels, of the squares that become channels first; 1 works on pixels, as the published networks do.
        kernel_window: about which side, in pixels, windows have in which kernels are estimated; None for the whole image or tile.
        kernel_overlap: pixels that these windows share with their neighbours.
        reversible: whether training makes activations again from results instead of keeping them: less memory, more time.
        calm: whether a new network's answers are near its input, and its kernels near those that change nothing, which is ours.
    """

    dims: int = 32
    dims_ker: int = 16
    enc_max_layers: tuple[Counts, ...] = ((1, 1, 4), (1, 1, 4))
    dec_max_layers: tuple[Counts, ...] = ((4, 1, 1), (4, 1, 1))
    enc_mid_layers: tuple[Counts, ...] = ((1, 1, 2), (1, 1, 2))
    dec_mid_layers: tuple[Counts, ...] = ((2, 1, 1), (2, 1, 1))
    baseblock_enc_max: tuple[Blocks, ...] = (_NAF, _NAF)
    baseblock_dec_max: tuple[Blocks, ...] = (_NAF, _NAF)
    baseblock_enc_mid: tuple[Blocks, ...] = (_NAF, _NAF)
    baseblock_dec_mid: tuple[Blocks, ...] = (_NAF, _NAF)
    baseblock_enc_ker: tuple[KernelBlock, KernelBlock, KernelBlock, KernelBlock] = ("naf", "naf", "naf", "naf")
    enc_ker_layers: tuple[int, int, int, int] = (1, 1, 1, 1)
    train_size: tuple[int, int] | None = None
    train_cells: int | None = None
    patch: int = 2
    kernel_window: int | None = None
    kernel_overlap: int = 0
    reversible: bool = False
    calm: bool = True

    def __post_init__(self) -> None:
        if min(self.dims, self.dims_ker, self.patch) < 1:
            raise ValueError("dims, dims_ker and patch must be at least 1")
        for name in ("max", "mid"):
            for side in ("enc", "dec"):
                _check_levels(self, f"{side}_{name}_layers", f"baseblock_{side}_{name}")
        if min(self.enc_ker_layers) < 1:
            raise ValueError("enc_ker_layers must be at least 1")
        if self.train_size is not None and min(self.train_size) < self.multiple:
            raise ValueError(f"train_size must be at least {self.multiple}")
        if self.train_cells is not None and self.train_cells < 1:
            raise ValueError("train_cells must be at least 1")
        if self.kernel_window is not None:
            if self.kernel_window < 1 or self.kernel_window % (4 * self.patch):
                raise ValueError(f"kernel_window must be a multiple of {4 * self.patch}")
            if not 0 <= self.kernel_overlap <= self.kernel_window // 2 or self.kernel_overlap % (4 * self.patch):
                raise ValueError(f"kernel_overlap must be a multiple of {4 * self.patch}, at most half of kernel_window")

    @property
    def num_global_unet(self) -> int:
        """Stages, which each refine the features of the one before and estimate kernels anew."""
        return len(self.enc_max_layers)

    @property
    def multiple(self) -> int:
        """What both sides of an image are padded to multiples of."""
        return 8 * self.patch


def _check_levels(config: DeepRftConfig, layers: str, blocks: str) -> None:
    counts, kinds = getattr(config, layers), getattr(config, blocks)
    if not len(counts) == len(kinds) == config.num_global_unet > 0:
        raise ValueError("layers and baseblocks of encoders and decoders must have one entry for each stage")
    if min(map(min, counts)) < 1:
        raise ValueError(f"{layers} must be at least 1")
    for count, kind in ((c, k) for stage in zip(counts, kinds, strict=True) for c, k in zip(*stage, strict=True)):
        if kind == "NAFEVSBlock" and count % 4:
            raise ValueError(f"{layers} must be a multiple of 4 where {blocks} is NAFEVSBlock")


@dataclass(frozen=True)
class DeepRftPrediction(Prediction):
    """The answer, and the kernels it was made with.

    Attributes:
        image: ``(B, 3, H, W)``, sharp.
        kernels: ``(B, 1, H, W)``, a picture of the deblurring kernels that the last stage convolves its features with, mean of
            the channels, each drawn in the middle of the window it serves, in steps of ``patch`` pixels. Not the blur of
            the photograph but what undoes it: values of either sign, peaked in the middle.
    """

    kernels: Tensor


@dataclass(frozen=True)
class DeepRftObjectiveSettings:
    """Settings of the loss; see :class:`restorekit.methods.deeprft.objective.TwoScales`. The defaults are the paper's.

    Attributes:
        l1: weight of the mean absolute error.
        fft: weight of the mean absolute error of the spectrum, which is not normalised and so grows with the side of the crop.
        half: factor of both at half size.
    """

    l1: float = 1.0
    fft: float = 0.01
    half: float = 1.0

    def __post_init__(self) -> None:
        if min(self.l1, self.fft, self.half) < 0 or not (self.l1 or self.fft):
            raise ValueError("l1, fft and half must not be negative, nor both l1 and fft 0")


_SSM: Blocks = ("naf", "NAFEVSBlock", "NAFEVSBlock")


class DeepRft(Method[DeepRftConfig]):
    """Two nets, one at half size, which estimate kernels in Fourier space and deblur their features with them, twice."""

    name = "deeprft"
    tasks = ("deblur",)
    paper = Paper(
        "DeepRFTv2: Kernel-level Learning for Image Deblurring",
        "arXiv",
        2025,
        "https://arxiv.org/abs/2511.21132",
    )
    config_type = DeepRftConfig
    presets = {
        "compact": DeepRftConfig(train_size=(256, 256), train_cells=16, kernel_window=256, kernel_overlap=32),
        "compact-fine": DeepRftConfig(
            dims=24,
            dims_ker=24,
            enc_max_layers=((1, 2, 4), (1, 2, 4)),
            dec_max_layers=((4, 2, 1), (4, 2, 1)),
            enc_mid_layers=((1, 2, 4), (1, 2, 4)),
            dec_mid_layers=((4, 2, 1), (4, 2, 1)),
            baseblock_enc_ker=("EVSS", "EVSS", "EVSS", "EVSS"),
            patch=1,
        ),
        "paper": DeepRftConfig(
            dims=48,
            dims_ker=48,
            enc_max_layers=((1, 4, 8), (1, 4, 8)),
            dec_max_layers=((8, 4, 1), (8, 4, 1)),
            enc_mid_layers=((1, 4, 8), (1, 4, 8)),
            dec_mid_layers=((8, 4, 1), (8, 4, 1)),
            baseblock_enc_max=(_SSM, _SSM),
            baseblock_dec_max=(("NAFEVSBlock", "NAFEVSBlock", "naf"), ("NAFEVSBlock", "NAFEVSBlock", "naf")),
            baseblock_enc_ker=("EVSS", "EVSS", "EVSS", "EVSS"),
            patch=1,
            calm=False,
        ),
    }

    def build(self, config: DeepRftConfig) -> DeepRFT:
        from restorekit.methods.deeprft.network import DeepRFT

        return DeepRFT(config)

    def tiling(self, config: DeepRftConfig) -> Tiling:
        """Global: kernels, scans and means see the whole tile, so tiles are a compromise at any overlap. Best are those of the
        training crops' size, or any, where windows of that size are configured. Memory as measured: 97 to 104 bytes for each of
        ``dims`` and each feature. Networks with smaller windows take smaller tiles: a graph of theirs takes no larger ones.
        """
        memory, window = 110 * config.dims // config.patch**2, config.kernel_window or 256
        minimum = min(256, self.longest_exported_side(config) or 256)
        return Tiling(multiple=config.multiple, halo=None, overlap=min(64, window // 4), minimum=minimum, bytes_per_pixel=memory)

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        answers = network(image)
        return {"image": answers.image, "kernels": network.kernels(answers)}

    def longest_exported_side(self, config: DeepRftConfig) -> int | None:
        """A graph is for one window of kernels, over which all means are taken."""
        limits = []
        if config.kernel_window is not None:
            limits.append((3 * config.kernel_window - config.kernel_overlap) // 2 - 1)
        if config.train_cells is not None and config.train_size is not None:
            limits.append(3 * min(config.train_size) // 2)
        return min(limits) // config.multiple * config.multiple if limits else None

    def finish(self, maps: Maps, config: DeepRftConfig) -> DeepRftPrediction:
        return DeepRftPrediction(maps["image"], maps["kernels"])

    def objective(self, config: DeepRftConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.deeprft.objective import TwoScales

        return TwoScales(from_table(DeepRftObjectiveSettings, settings, "[objective]"))

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> DeepRftConfig:
        """The hyper-parameters of the network whose state dict this is.

        What no key tells is the authors' for motion blur: means and kernels of the whole tile.

        Raises:
            CheckpointError: if it lacks keys that every such network has, or its shapes do not go together.
        """
        from restorekit.methods.deeprft.checkpoint import read_config

        return read_config(state)


METHOD = DeepRft()
