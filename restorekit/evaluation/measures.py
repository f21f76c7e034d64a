"""The metrics by name: what each is called, which way is better, and what it sees of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from restorekit import metrics
from restorekit.errors import DataError, RestoreKitError, SettingError, UnknownNameError, UsageError
from restorekit.evaluation.protocol import Protocol
from restorekit.metrics import learned, multiscale, structural, unreferenced

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scale:
    """How the numbers of a metric are read.

    Attributes:
        label: its title in tables.
        decimals: digits worth showing.
        higher: whether higher is better.
    """

    label: str
    decimals: int
    higher: bool


@dataclass(frozen=True)
class Metric(Scale):
    """A metric of an image against its target, or of an image alone.

    Attributes:
        compute: gives the scores of two batches ``(B, C, H, W)`` in [0, 1], as they were read, under a protocol.
        minimum: the smallest side it can be taken of, border not counted.
        needs: raises what stands in the way of it on this machine.
        target: whether it looks at the second batch.
    """

    compute: Callable[[Tensor, Tensor, Protocol], Tensor]
    minimum: int = 1
    needs: Callable[[], None] = lambda: None
    target: bool = True


def _psnr(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    return metrics.psnr(protocol.prepare(a), protocol.prepare(b))


def _ssim(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    a, b = protocol.prepare(a), protocol.prepare(b)
    if protocol.ssim == "gaussian":
        return metrics.ssim(a, b)
    if protocol.ssim == "3d":
        return metrics.ssim3d(a, b)
    return metrics.ssim_uniform(a, b, window=int(protocol.ssim.removeprefix("uniform-")))


def _ms_ssim(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    return metrics.ms_ssim(protocol.prepare(a), protocol.prepare(b))


def _lpips(backbone: learned.Backbone) -> Metric:
    def compute(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
        return metrics.lpips(_colours(a, protocol), _colours(b, protocol), backbone)

    title = {"alex": "LPIPS", "vgg": "LPIPS (VGG)", "squeeze": "LPIPS (SqueezeNet)"}[backbone]
    return Metric(title, 4, False, compute, learned.MINIMUM, lambda: metrics.require_backbone(backbone))


def _dists(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    return metrics.dists(_colours(a, protocol), _colours(b, protocol))


def _brisque(a: Tensor, b: Tensor, protocol: Protocol) -> Tensor:
    return metrics.brisque(_colours(a, protocol))


def _colours(image: Tensor, protocol: Protocol) -> Tensor:
    """Three channels, whatever the protocol's colour: these metrics were made for nothing else."""
    return protocol.prepare_colours(image).expand(-1, 3, -1, -1)


METRICS = {
    "psnr": Metric("PSNR", 2, True, _psnr),
    "ssim": Metric("SSIM", 4, True, _ssim, structural.WINDOW),
    "ms-ssim": Metric("MS-SSIM", 4, True, _ms_ssim, multiscale.MINIMUM),
    "lpips": _lpips("alex"),
    "lpips-vgg": _lpips("vgg"),
    "lpips-squeeze": _lpips("squeeze"),
    "dists": Metric("DISTS", 4, False, _dists, learned.MINIMUM, lambda: metrics.require_backbone("vgg")),
    "brisque": Metric("BRISQUE", 2, False, _brisque, unreferenced.MINIMUM, metrics.require_brisque, target=False),
}
"""The metrics ``restorekit evaluate --metric`` takes."""

_DEPTH = {name: Scale(name, 3 if name == "rmse" else 4, name in ("a1", "a2", "a3")) for name in metrics.DEPTH_SCORES}

DEFAULT = ("psnr", "ssim")


def get_metric(name: str) -> Metric:
    """The metric of that name; :class:`~restorekit.errors.UsageError` if there is none."""
    if name == "niqe":
        raise UsageError(
            "NIQE cannot be taken: no maintained library under a free licence has it",
            "Take brisque, which needs no target either",
        )
    if name not in METRICS:
        raise UnknownNameError("metric", name, METRICS)
    return METRICS[name]


def scale_of(name: str) -> Scale:
    """How the numbers of a metric are read, of images or of depth."""
    return _DEPTH[name] if name in _DEPTH else get_metric(name)


def check_targets(names: Sequence[str]) -> None:
    """Raise ``UsageError`` for a metric that cannot be taken without a target."""
    for metric in map(get_metric, names):
        if metric.target:
            raise UsageError(f"{metric.label} compares with a target, and there is none", "Name the targets, or take brisque")


def usable(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the metrics that can be taken on this machine, and for each of the others a sentence that says why not.

    Raises:
        UsageError: for a name no metric has, or for no names.
        DataError: if none can be taken.
    """
    found, notes = [], []
    for name in dict.fromkeys(names):
        metric = get_metric(name)
        try:
            metric.needs()
        except RestoreKitError as error:
            notes.append(f"{metric.label} left out: {error}")
        else:
            found.append(name)
    if not names:
        raise SettingError("there is no metric to take", f"Name some of {', '.join(METRICS)}")
    if not found:
        raise DataError("no metric can be taken. " + " ".join(notes).rstrip("."))
    return tuple(found), tuple(notes)
