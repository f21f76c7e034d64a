"""Classical restorations to measure against: what needs no learning, from scikit-image and OpenCV.

A model that does not beat them is not worth its weights; and a number means more beside theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restorekit.errors import SettingError, UnknownNameError

Array = NDArray[np.float32]

ASSUMED_SIGMA = 1.2
"""Standard deviation in pixels of the Gaussian that stands for a blur nobody has measured."""


@dataclass(frozen=True)
class Baseline:
    """A classical method.

    Attributes:
        about: what it is, and from where.
        restore: gives the restored image, ``(H, W, C)`` in [0, 1], of one, of its PSF ``(h, w)``, None if that is unknown, and of
            the setting, unless that is None.
        setting: the number that can be given after its name, as in ``wiener:0.1``, by default; None where there is none.
    """

    about: str
    restore: Callable[..., Array]
    setting: float | None = None


def immerkaer_sigma(image: Array) -> float:
    """Standard deviation of the noise of ``(H, W, C)``, in the image's units (Immerkaer 1996): what a second difference in both
    directions leaves, whose median magnitude edges hardly touch.
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found = cv2.filter2D(image, -1, mask, borderType=cv2.BORDER_REFLECT_101)
    return float(np.median(np.abs(found)) / 0.6745 / 6)


def gaussian_psf(sigma: float = ASSUMED_SIGMA) -> Array:
    """A Gaussian PSF ``(h, w)`` of odd sides whose sum is 1."""
    taps = cv2.getGaussianKernel(2 * round(3 * sigma) + 1, sigma, cv2.CV_32F)
    kernel: Array = taps @ taps.T
    return kernel / kernel.sum()


def _input(image: Array, psf: Array | None) -> Array:
    return image


def _nlm(image: Array, psf: Array | None) -> Array:
    sigma = immerkaer_sigma(image)
    if not sigma:
        return image
    # The strength and patches scikit-image's manual gives for the fast form.
    found: Array = _skimage().denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True, channel_axis=-1
    )
    return found.reshape(image.shape)  # it drops a single channel


def _tv(image: Array, psf: Array | None) -> Array:
    return _skimage().denoise_tv_chambolle(image, weight=max(immerkaer_sigma(image), 1e-4), channel_axis=-1)


def _wiener(image: Array, psf: Array | None, balance: float) -> Array:
    kernel = gaussian_psf() if psf is None else psf
    return _by_channel(image, kernel, lambda plane: _skimage().wiener(plane, kernel, balance=balance, clip=False))


def _richardson_lucy(image: Array, psf: Array | None, steps: float) -> Array:
    kernel = gaussian_psf() if psf is None else psf
    return _by_channel(
        image,
        kernel,
        lambda plane: _skimage().richardson_lucy(plane, kernel, num_iter=max(round(steps), 1), clip=False, filter_epsilon=1e-6),
    )


def _dark_channel(image: Array, psf: Array | None) -> Array:
    """He, Sun and Tang (2009): the darkest colour nearby tells the haze; its map is smoothed along the edges of the picture."""
    patch = np.ones((15, 15), np.uint8)
    dark = cv2.erode(image.min(2), patch)
    brightest = dark.ravel() >= np.quantile(dark, 0.999)
    airlight = np.maximum(image.reshape(-1, image.shape[2])[brightest].mean(0), 0.05)
    transmission = 1 - 0.95 * cv2.erode((image / airlight).min(2), patch)
    transmission = _guided(image.mean(2), transmission, radius=30, epsilon=1e-3)
    return (image - airlight) / np.clip(transmission, 0.1, 1)[:, :, None] + airlight


def _guided(guide: Array, signal: Array, radius: int, epsilon: float) -> Array:
    """The guided filter of He, Sun and Tang (2010) with a grey guide."""

    def mean(x: Any) -> Any:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    centre, level = mean(guide), mean(signal)
    slope = (mean(guide * signal) - centre * level) / (mean(guide * guide) - centre * centre + epsilon)
    smooth: Array = mean(slope) * guide + mean(level - slope * centre)
    return smooth


def _by_channel(image: Array, kernel: Array, work: Callable[[Array], Array]) -> Array:
    """Deconvolve each channel with mirrored surroundings: at the frame's edge a Fourier transform would see the other side."""
    frame = 2 * max(kernel.shape)
    padded = np.pad(image, ((frame, frame), (frame, frame), (0, 0)), mode="symmetric")
    planes = [work(padded[:, :, channel])[frame:-frame, frame:-frame] for channel in range(image.shape[2])]
    return np.stack(planes, 2)


def _skimage() -> Any:
    try:
        return import_module("skimage.restoration")
    except ModuleNotFoundError:
        raise SettingError("this baseline needs scikit-image", "Install it: pip install scikit-image") from None


BASELINES = {
    "input": Baseline("the image as it is", _input),
    "nlm": Baseline("non-local means, strength from the estimated noise (scikit-image)", _nlm),
    "tv": Baseline("total variation after Chambolle, weight from the estimated noise (scikit-image)", _tv),
    "wiener": Baseline("Wiener deconvolution; without a PSF, of a Gaussian of 1.2 pixels (scikit-image)", _wiener, 0.02),
    "richardson-lucy": Baseline("ten Richardson-Lucy steps; without a PSF, as wiener (scikit-image)", _richardson_lucy, 10),
    "dark-channel": Baseline("the dark channel prior of He et al., with a guided filter (OpenCV)", _dark_channel),
}
"""The baselines ``restorekit evaluate --baseline`` takes."""


def find_baseline(name: str) -> tuple[Baseline, float | None]:
    """The baseline called ``name``, and its setting: ``"wiener"`` or, stronger, ``"wiener:0.1"``.

    Raises:
        UnknownNameError: for a name no baseline has.
        SettingError: for a setting that is no positive number, or of a baseline that has none.
    """
    plain, colon, value = name.partition(":")
    if plain not in BASELINES:
        raise UnknownNameError("baseline", plain, BASELINES)
    found = BASELINES[plain]
    if not colon:
        return found, found.setting
    if found.setting is None:
        raise SettingError(f"the baseline {plain} has no setting, so {name} says too much", f"Write {plain}")
    try:
        setting = float(value)
    except ValueError:
        setting = 0.0
    if not 0 < setting < math.inf:
        raise SettingError(f"the setting of {name} is no positive number", f"Write for example {plain}:{found.setting:g}")
    return found, setting


def apply_baseline(name: str, image: NDArray[Any], psf: NDArray[Any] | None = None) -> Array:
    """Restore ``(H, W, C)`` in [0, 1] with a classical method, see :func:`find_baseline`; same shape, in [0, 1].

    Raises:
        UnknownNameError: for a name no baseline has.
        SettingError: if scikit-image is needed and not installed, or for a setting that cannot be.
    """
    baseline, setting = find_baseline(name)
    values = np.ascontiguousarray(image, np.float32)
    kernel = None if psf is None else np.ascontiguousarray(psf, np.float32)
    given = () if setting is None else (setting,)
    found: Array = np.clip(np.nan_to_num(baseline.restore(values, kernel, *given)), 0, 1).astype(np.float32)
    return found
