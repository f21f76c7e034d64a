"""From a card to an ONNX file that is checked before it appears."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import __version__
from restorekit.errors import CardError, NumericalError, SettingError, UnknownNameError
from restorekit.methods import Method
from restorekit.zoo import Card, load_network
from restorekit.zoo.onnx_file import OnnxFacts, first_line, import_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

OPSET = 20
"""The ONNX operator set written by default."""

LEAST_OPSET = 18
PRECISIONS = ("fp32", "fp16")
_TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}
"""The largest error that passes, for answers up to 1; it grows with the answer."""


@dataclass(frozen=True)
class Check:
    """One comparison of ONNX Runtime with PyTorch.

    Attributes:
        size: rows and columns of the image.
        error: the largest difference of any value of any map.
        own: the largest that PyTorch's answer changes when the image changes by rounding. Networks that sort are as unsteady.
    """

    size: tuple[int, int]
    error: float
    own: float


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


def export(
    card: Card, path: Path, *, size: tuple[int, int] | None = None, opset: int = OPSET, precision: str = "fp32"
) -> Exported:
    """Write a model as an ONNX file; it appears once ONNX Runtime gives PyTorch's numbers, or not at all.

    Args:
        card: the model.
        path: the file, replaced if it exists.
        size: rows and columns of the images it will take; None for any.
        opset: of ONNX, at least 18.
        precision: ``"fp32"``, or ``"fp16"`` inside the graph; images stay float32.

    Raises:
        SettingError: for a size or opset that cannot be.
        UnknownNameError: for another precision.
        CardError: if the card's weights cannot be used, its network cannot be exported, or the file cannot be written.
        NumericalError: if the graph does not give PyTorch's numbers.
    """
    from restorekit.images.atomic import replacing

    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if opset < LEAST_OPSET:
        raise SettingError(f"opset must be at least {LEAST_OPSET}, not {opset}")
    _import_onnx()
    import_runtime()
    network = load_network(card)
    method, config = card.restoration_method(), card.parsed_config()
    facts, data, checks = export_network(method, config, network, card.name, card, size=size, opset=opset, precision=precision)
    try:
        with replacing(path) as file:
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
) -> tuple[OnnxFacts, bytes, tuple[Check, ...]]:
    """The graph of a network with its facts, and how it was checked; see :func:`export`."""
    from restorekit.export.graph import Predictor, halved, make_graph
    from restorekit.settings import to_table

    sizes = _sizes(method, config, size)
    image, extras = example(method, sizes[0])
    predictor = Predictor(method, network, tuple(extras), image, tuple(extras.values()))
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
        extra_inputs=tuple(extras),
        size=size,
        longest=method.longest_exported_side(config),
        precision=precision,
        licence="" if card is None else card.licence,
        summary="" if card is None else card.summary,
    )
    model = make_graph(predictor, image, extras, dynamic=size is None, opset=opset)
    if precision == "fp16":
        model = halved(model)
    for key, value in facts.to_properties().items():
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    return facts, data, _check(data, predictor, method, sizes, precision)


def example(method: Method[Any], size: tuple[int, int], seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """A smooth image ``(1, 3, H, W)`` with a little noise, and the extra inputs that go with it."""
    import torch
    from torch.nn import functional as F

    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 8, generator=generator)
    image = F.interpolate(coarse, size, mode="bicubic", align_corners=False)
    image = (image + 0.02 * torch.randn(1, 3, *size, generator=generator)).clamp(0, 1)
    return image, {**method.measure(image), **method.example_extras(*size)}


def _sizes(method: Method[Any], config: Any, size: tuple[int, int] | None) -> list[tuple[int, int]]:
    """The example's size and, where any will do, two others, which are multiples of nothing where the method allows it."""
    tiling, longest = method.tiling(config), method.longest_exported_side(config)
    if size is not None:
        if min(size) < tiling.multiple or any(side % tiling.multiple for side in size):
            raise SettingError(f"both sides must be multiples of {tiling.multiple}, not {size[0]}x{size[1]}")
        if longest is not None and max(size) > longest:
            raise SettingError(f"{method.name} can be exported for sides of at most {longest}, not {max(size)}")
        if (own := method.own_size(config, *size)) is not None and any(side % 32 for side in size):
            raise SettingError(f"both sides must be multiples of 32, not {size[0]}x{size[1]}", f"Take {own[0]}x{own[1]}")
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
    return [(least, least + block), (min(least + 45, most), least - 7), (least - 5, min(least + 2 * block, most))]


def _check(data: bytes, predictor: Any, method: Method[Any], sizes: list[tuple[int, int]], precision: str) -> tuple[Check, ...]:
    import onnx
    import torch

    runtime = import_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
        session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # neither raises errors of one class
        raise NumericalError(f"the exported graph is not valid: {first_line(error)}", "Nothing was written") from None
    checks = []
    for seed, size in enumerate(sizes):
        image, extras = example(method, size, seed)
        with torch.inference_mode():
            expected = [values.numpy() for values in predictor.run(image, *extras.values())]
            steadied = [values.numpy() for values in predictor.run(_rounded(image, seed), *extras.values())]
        inputs = {"image": image.numpy(), **{name: values.numpy() for name, values in extras.items()}}
        try:
            found = session.run(None, inputs)
        except Exception as error:
            raise NumericalError(
                f"the exported graph cannot run at {size[0]}x{size[1]}: {first_line(error)}", "Nothing was written"
            ) from None
        checks.append(Check(size, _largest(found, expected), _largest(steadied, expected)))
        peak = max(1.0, *(float(abs(values).max()) for values in expected))
        allowed = _TOLERANCE[precision] * peak + 4 * checks[-1].own
        if not checks[-1].error <= allowed:  # not a number is no less
            raise NumericalError(
                f"at {size[0]}x{size[1]} the exported graph differs from PyTorch by {checks[-1].error:.2g}, and {allowed:.2g} "
                "is the most",
                "Nothing was written" + (": take fp32" if precision == "fp16" else ""),
            )
    return tuple(checks)


def _rounded(image: Tensor, seed: int) -> Tensor:
    import torch

    return image * (1 + 1e-6 * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)))


def _largest(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> float:
    if any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return float("inf")
    return max(float(abs(a - b).max()) for a, b in zip(found, expected, strict=True))


def _import_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise CardError(f"exporting needs {error.name}", 'Install it with: pip install "restorekit[onnx]"') from None
