"""From a card to an ONNX file that is checked before it appears."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import __version__
from restorekit.errors import CardError, SettingError, UnknownNameError, UsageError
from restorekit.export.checking import Check, check_graph
from restorekit.export.quantising import middle, quantised, read_photographs
from restorekit.methods import Method
from restorekit.zoo import Card, load_network
from restorekit.zoo.onnx_file import OnnxFacts, import_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 20
"""The ONNX operator set written by default."""

LEAST_OPSET = 18
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: where it lies.
        facts: what it says of itself.
        bytes: its size.
        checks: the comparisons it passed.
    """

    path: Path
    facts: OnnxFacts
    bytes: int
    checks: tuple[Check, ...]

    @property
    def error(self) -> float:
        """The largest error of all checks."""
        return max(check.error for check in self.checks)

    @property
    def psnr(self) -> float:
        """The least PSNR of all checks, in dB."""
        return min(check.psnr for check in self.checks)


def export(
    card: Card,
    path: Path,
    *,
    size: tuple[int, int] | None = None,
    opset: int = OPSET,
    precision: str = "fp32",
    part: str = "",
    calibrate: Path | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model as an ONNX file; it appears once ONNX Runtime gives PyTorch's numbers, or not at all.

    Args:
        card: the model.
        path: the file.
        size: rows and columns of the images it will take; None for any.
        opset: of ONNX, at least 18.
        precision: ``"fp32"``, or ``"fp16"`` or ``"int8"`` inside the graph; images stay float32.
        part: a part of the network that is to be exported by itself, see :attr:`restorekit.methods.Method.parts`; empty for what
            restores.
        calibrate: a folder of photographs like those to be restored, which show int8 the ranges of values; int8 needs it.
        overwrite: whether to replace what stands there.

    Raises:
        SettingError: for a size, opset or part that cannot be.
        UnknownNameError: for another precision.
        UsageError: for a name that is not an ONNX file's, a file that exists, int8 without photographs, photographs without int8,
            or int8 for a part.
        ImageError: for a photograph that cannot be read.
        CardError: if the card's weights cannot be used, its network cannot be exported, or the file cannot be written.
        NumericalError: if the graph does not give PyTorch's numbers.
    """
    from restorekit.images.atomic import replacing

    if path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} is no name for an ONNX file", "Give it one that ends in .onnx")
    if os.path.lexists(path) and not overwrite:
        raise UsageError(f"{path} exists", "Name another file with -o, or replace it with --overwrite")
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if opset < LEAST_OPSET:
        raise SettingError(f"opset must be at least {LEAST_OPSET}, not {opset}")
    if (precision == "int8") != (calibrate is not None):
        problem = "int8 needs photographs to be calibrated on" if calibrate is None else "only int8 is calibrated"
        raise UsageError(problem, "Give --precision int8 and --calibrate FOLDER together")
    if part and precision == "int8":
        raise UsageError("parts of networks cannot be calibrated on photographs", "Leave out --part, or take fp32 or fp16")
    _import_onnx()
    import_runtime()
    photographs = [] if calibrate is None else read_photographs(calibrate)
    network = load_network(card)
    method, config = card.restoration_method(), card.parsed_config()
    facts, data, checks = export_network(
        method, config, network, card.name, card, size=size, opset=opset, precision=precision, part=part, photographs=photographs
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, overwrite=overwrite) as file:
            file.write(data)
    except OSError as error:
        raise CardError(f"{path} cannot be written: {error.strerror}", "Check the folder and the free space") from None
    return Exported(path, facts, len(data), checks)


def export_network(
    method: Method[Any],
    config: Any,
    network: nn.Module,
    name: str,
    card: Card | None = None,
    *,
    size: tuple[int, int] | None = None,
    opset: int = OPSET,
    precision: str = "fp32",
    part: str = "",
    photographs: Sequence[NDArray[np.float32]] = (),
) -> tuple[OnnxFacts, bytes, tuple[Check, ...]]:
    """The graph of a network with its facts, and how it was checked; see :func:`export`."""
    from restorekit.export.graph import Predictor, halved, make_graph
    from restorekit.settings import to_table

    sizes = _sizes(method, config, size)
    inputs = example(method, sizes[0], part=part)
    predictor = Predictor(method, network, inputs, part)
    tiling = method.tiling(config)
    facts = OnnxFacts(
        version=__version__,
        name=name,
        method=method.name,
        tasks=method.tasks if card is None else card.tasks,
        config=to_table(config),
        maps=predictor.maps,
        multiple=tiling.multiple,
        overlap=tiling.overlap,
        minimum=tiling.minimum,
        bytes_per_pixel=tiling.bytes_per_pixel,
        halo=tiling.halo,
        whole=tiling.whole,
        anchor=tiling.anchor,
        extra_inputs=() if part else predictor.names[1:],
        size=size,
        longest=method.longest_exported_side(config),
        precision=precision,
        part=part,
        licence="" if card is None else card.licence,
        summary="" if card is None else card.summary,
    )
    model = make_graph(predictor, inputs, dynamic=size is None, opset=opset)
    if precision == "fp16":
        model = halved(model)
    elif precision == "int8":
        shown = [_shown(method, photograph, size or _usual_size(method, config)) for photograph in photographs]
        model = quantised(model, [{name: values.numpy() for name, values in each.items()} for each in shown])
    for key, value in facts.to_properties().items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    if photographs:
        some = [(photographs[i % len(photographs)], sizes[i % len(sizes)]) for i in range(3)]
        given = [_shown(method, photograph, each) for photograph, each in some]
    else:
        again = sizes * 2 if method.extra_inputs and size is not None else sizes  # what is given beside may have any size
        given = [example(method, each, seed, part) for seed, each in enumerate(again)]
    return facts, data, check_graph(data, predictor, given, precision)


def example(method: Method[Any], size: tuple[int, int], seed: int = 0, part: str = "") -> dict[str, Tensor]:
    """What a graph takes, by name: a smooth image ``(1, 3, H, W)`` with a little noise, and the extra inputs that go with it,
    which grow with the seed, in width most; for a part of a network, that image again and again, on its way to the right.
    """
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    image = F.interpolate(coarse, size, mode="bicubic", align_corners=False)
    image = (image + 0.02 * torch.randn(1, 3, *size, generator=generator)).clamp(0, 1)
    if part:
        return {name: image.roll(4 * number, 3) for number, name in enumerate(method.parts.get(part, ("image",)))}
    beside = _example_extras(method, size)
    for name, values in beside.items():
        height, width = values.shape[2:]
        if min(height, width) > 1:  # like a PSF
            beside[name] = F.interpolate(values, (height + 4 * seed, width + 10 * seed), mode="bilinear")
    return {"image": image, **method.measure(image), **beside}


def _example_extras(method: Method[Any], size: tuple[int, int]) -> dict[str, Tensor]:
    import torch

    return {name: torch.from_numpy(values) for name, values in method.example_extras(*size).items()}


def _sizes(method: Method[Any], config: Any, size: tuple[int, int] | None) -> list[tuple[int, int]]:
    """The example's size and, where any will do, two others, which are multiples of nothing where the method allows it."""
    tiling, longest = method.tiling(config), method.longest_exported_side(config)
    if size is not None:
        if min(size) < tiling.multiple or any(side % tiling.multiple for side in size):
            raise SettingError(f"both sides must be multiples of {tiling.multiple}, not {size[0]}x{size[1]}")
        if longest is not None and max(size) > longest:
            raise SettingError(f"{method.name} can be exported for sides of at most {longest}, not {max(size)}")
        if method.own_size(config, *size) not in (None, size):
            near = _steady_size(method, config, size)
            raise SettingError(
                f"{method.name} brings photographs of {size[0]}x{size[1]} to another size", f"Take {near[0]}x{near[1]}"
            )
        return [size]
    own = method.own_size(config, 480, 640)
    if own is not None:
        # PyTorch leaves alone only what has its own size already
        found = {method.own_size(config, height, width) for height in range(256, 1025, 128) for width in range(256, 1025, 128)}
        steady = sorted(each for each in found if each is not None and method.own_size(config, *each) == each)
        return [steady[0], steady[len(steady) // 2], steady[-1]] if len(steady) > 2 else steady[:1]
    block = tiling.multiple
    least = -(-max(tiling.minimum, 64) // block) * block
    most = 2**16 if longest is None else longest
    least = min(least, most - 2 * block)
    return [(least, least + block), (min(least + 45, most), least - 7), (least - 5, min(least + 2 * block, most))]


def _usual_size(method: Method[Any], config: Any) -> tuple[int, int]:
    """Rows and columns of a tile as the engine may cut it."""
    block, most = method.tiling(config).multiple, method.longest_exported_side(config) or 256
    side = min(256, most) // block * block
    return _steady_size(method, config, (side, side))


def _steady_size(method: Method[Any], config: Any, size: tuple[int, int]) -> tuple[int, int]:
    """The size that photographs of ``size`` are brought to, or one that is left alone near it; ``size`` where any will do."""
    for _ in range(8):
        own = method.own_size(config, *size)
        if own in (None, size):
            break
        size = own
    return size


def _shown(method: Method[Any], photograph: NDArray[np.float32], size: tuple[int, int]) -> dict[str, Tensor]:
    """What a graph takes of the middle of a photograph, like :func:`example`."""
    import torch

    image = torch.from_numpy(middle(photograph, size))
    return {"image": image, **method.measure(image), **_example_extras(method, size)}


def _import_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise CardError(
            f"exporting needs {error.name}", "Install what is needed: pip install onnx onnxscript onnxruntime"
        ) from None
