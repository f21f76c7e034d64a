"""INFWIDE: deblurring of noisy, saturated night photographs whose blur kernel is known (IEEE TIP 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from restorekit.errors import UsageError
from restorekit.methods.base import Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.methods.shapes import count_numbered, require_fit, require_keys
from restorekit.settings import from_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from restorekit.methods.infwide.network import Infwide as Network

HEADROOM = 1.2
"""The networks see images whose highlights clip at ``1 / HEADROOM`` and answer up to 1: what lies between they recover."""


@dataclass(frozen=True)
class InfwideConfig:
    """An INFWIDE network; the names are the authors', but for the last two.

    Attributes:
        n_colors: channels of the image; 1 takes the colours of a photograph one by one.
        feat: feature maps that are deconvolved.
        width: channels of the refinement and fusion networks at full size.
        n_resblock: residual blocks of their decoders and outputs.
        n_conv: convolutions of each fusion stage and stream.
        denoise: channels of the four levels of the image branch's denoiser.
        input_denoise: the denoiser, or ``"none"`` to deconvolve the noisy image. Its weights are kept either way.
        square_count: take the number of pixels in a noise estimate to be the height squared, as the published code does; False
            counts them. The same for square images.
        residual: the denoiser answers a correction of the noisy image, and the fusion one of the denoised. Not in the paper,
            whose networks write whole images. So colours and brightness are right from the first step, which a short training
            never quite learns.
    """

    n_colors: int = 3
    feat: int = 16
    width: int = 16
    n_resblock: int = 2
    n_conv: int = 3
    denoise: tuple[int, int, int, int] = (16, 32, 64, 96)
    input_denoise: Literal["ResUnet", "none"] = "ResUnet"
    square_count: bool = False
    residual: bool = False

    def __post_init__(self) -> None:
        for name in ("n_colors", "feat", "width", "n_resblock", "n_conv"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if min(self.denoise) < 1:
            raise ValueError("denoise must be four positive numbers of channels")


@dataclass(frozen=True)
class InfwidePrediction(Prediction):
    """The answer and the two branches it was merged from.

    Attributes:
        image: ``(B, 3, H, W)``, sharp; above 1 where highlights were recovered.
        features: ``(B, 3, H, W)``, the feature branch's image, with little ringing.
        denoised: ``(B, 3, H, W)``, the input without its noise, still blurred.
        deconvolved: ``(B, 3, H, W)``, that after Wiener deconvolution: the image branch, with more detail.
    """

    features: Tensor
    denoised: Tensor
    deconvolved: Tensor


@dataclass(frozen=True)
class ImageTerms:
    """Weights of mean absolute error, mean square error, ``1 - SSIM`` and, of the estimate alone, squared total variation."""

    l1: float = 0.0
    mse: float = 0.0
    ssim: float = 0.0
    tv: float = 0.0

    def __post_init__(self) -> None:
        if min(self.l1, self.mse, self.ssim, self.tv) < 0:
            raise ValueError("l1, mse, ssim and tv must not be negative")


@dataclass(frozen=True)
class InfwideObjectiveSettings:
    """Settings of the loss; see :class:`restorekit.methods.infwide.objective.ClosedLoop`. The defaults are the paper's.

    Attributes:
        main: terms of the answer, at both scales.
        denoise: terms of the denoised image.
        denoise_weight: factor of the latter.
        reblur_weight: factor of the error after blurring the answer again.
        reblur_border: pixels on each side in which that error is not taken; the PSF's radius where the blur did not wrap around.
    """

    main: ImageTerms = field(default_factory=lambda: ImageTerms(l1=0.4, mse=0.2, ssim=0.2, tv=0.2))
    denoise: ImageTerms = field(default_factory=lambda: ImageTerms(l1=0.5, mse=0.3, tv=0.2))
    denoise_weight: float = 0.5
    reblur_weight: float = 0.5
    reblur_border: int = 0

    def __post_init__(self) -> None:
        if min(self.denoise_weight, self.reblur_weight, self.reblur_border) < 0:
            raise ValueError("denoise_weight, reblur_weight and reblur_border must not be negative")


class Infwide(Method[InfwideConfig]):
    """Wiener deconvolution in image and feature space, merged by a network."""

    name = "infwide"
    tasks = ("deblur",)
    paper = Paper(
        "INFWIDE: Image and Feature Space Wiener Deconvolution Network for Non-blind Image Deblurring in Low-Light Conditions",
        "IEEE TIP",
        2023,
        "https://arxiv.org/abs/2207.08201",
    )
    config_type = InfwideConfig
    presets = {
        "compact": InfwideConfig(),
        "compact-s": InfwideConfig(feat=12, width=8, denoise=(8, 16, 32, 64), residual=True),
        "paper": InfwideConfig(width=32, n_resblock=3, denoise=(32, 64, 128, 256), square_count=True),
    }
    extra_inputs = ("psf",)
    optional_inputs = ("white",)

    def build(self, config: InfwideConfig) -> Network:
        from restorekit.methods.infwide.network import Infwide as Network

        return Network(config)

    def tiling(self, config: InfwideConfig) -> Tiling:
        """Global: noise estimates and Fourier transforms see the whole image. The overlap is for PSFs of up to 37 pixels."""
        return Tiling(multiple=8, halo=None, overlap=144, minimum=256, bytes_per_pixel=1024 + 32 * max(config.width, config.feat))

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        """Deblur ``(B, 3, H, W)``, RGB in [0, 1], by ``psf``: ``(B, 1, kh, kw)`` or ``(1, 1, kh, kw)``, of any positive sum.

        Another extra, ``white``, may say at which level the images clip, in a shape that broadcasts against them. Photographs,
        and images without it, clip at 1.

        Raises:
            UsageError: if there is no PSF, or it does not fit.
        """
        from restorekit.layers import pad_to_square

        if "psf" not in extras:
            raise UsageError("infwide needs the blur kernel of each photograph", "Give its PSF")
        gain = network_gain(extras)
        branches = network(image * gain, pad_to_square(extras["psf"]))
        maps = {
            "image": branches.out,
            "features": branches.features,
            "denoised": branches.denoised,
            "deconvolved": branches.deconvolved,
        }
        return {name: values / gain for name, values in maps.items()}

    def finish(self, maps: Maps, config: InfwideConfig) -> InfwidePrediction:
        return InfwidePrediction(maps["image"], maps["features"], maps["denoised"], maps["deconvolved"])

    def example_extras(self, height: int, width: int) -> dict[str, NDArray[np.float32]]:
        """A PSF of 3 x 3 pixels, mostly its centre."""
        import numpy as np

        psf = np.full((1, 1, 3, 3), 0.05, np.float32)
        psf[..., 1, 1] = 0.6
        return {"psf": psf}

    def objective(self, config: InfwideConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.infwide.objective import ClosedLoop

        return ClosedLoop(from_table(InfwideObjectiveSettings, settings, "[objective]"))

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> InfwideConfig:
        """The hyper-parameters of the network whose state dict this is. What no key tells is the authors': the denoiser is used,
        and ``square_count`` holds.

        Raises:
            CheckpointError: if keys are missing that every network of this method has, or shapes do not go together.
        """
        require_keys("INFWIDE", _TELLING.values(), state)
        shape = {name: tuple(state[key].shape) for name, key in _TELLING.items()}
        config = InfwideConfig(
            n_colors=shape["features"][1],
            feat=shape["features"][0],
            width=shape["refinement"][0],
            n_resblock=count_numbered(state, "MergeRefineModule.OutBlock_a1.outLayers.{}.body.0.body.0.weight"),
            n_conv=1 + count_numbered(state, "MergeRefineModule.XRFUnet.XRD1.conv1.{}.body.0.weight"),
            denoise=(shape["level0"][0], shape["level1"][0], shape["level2"][0], shape["level3"][0]),
            square_count=True,
        )
        require_fit("INFWIDE", partial(self.build, config), state)
        return config


_TELLING = {
    "features": "FeatModule1.FeatureBlock.0.body.0.weight",
    "refinement": "FSRefineModule.InBlock2.inBlock.0.body.0.weight",
    "level0": "DenoiseUnet.m_head.weight",
    "level1": "DenoiseUnet.m_down1.2.weight",
    "level2": "DenoiseUnet.m_down2.2.weight",
    "level3": "DenoiseUnet.m_down3.2.weight",
    "outputs": "MergeRefineModule.OutBlock_a1.outLayers.0.body.0.body.0.weight",
}


def network_gain(extras: Mapping[str, Tensor]) -> Tensor | float:
    """What images are multiplied by so that their highlights clip where the networks expect it; see :data:`HEADROOM`."""
    return 1 / (HEADROOM * extras.get("white", 1.0))


METHOD = Infwide()
