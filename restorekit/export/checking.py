"""Whether ONNX Runtime gives PyTorch's numbers with a graph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import NumericalError
from restorekit.zoo.onnx_file import first_line, import_runtime

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.export.graph import Predictor

_TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2}
"""The largest error that passes, for answers up to 1; it grows with the answer."""

LEAST_PSNR = 40.0
"""How near answers in int8 must be to PyTorch's, in dB: an answer 30 dB from the truth loses at most 0.4 dB by that."""


@dataclass(frozen=True)
class Check:
    """One comparison of ONNX Runtime with PyTorch.

    Attributes:
        size: rows and columns of the image.
        error: the largest difference of any value of any map.
        own: the largest that PyTorch's answer changes when the image changes by rounding. Networks that sort are as unsteady.
        psnr: how near the least exact map is to PyTorch's, in dB, for a range of 1.
    """

    size: tuple[int, int]
    error: float
    own: float
    psnr: float


def check_graph(data: bytes, predictor: Predictor, given: Sequence[Mapping[str, Tensor]], precision: str) -> tuple[Check, ...]:
    """The comparisons that a graph passes.

    Args:
        data: the graph.
        predictor: what it was made of.
        given: inputs to compare on, by name; the first is the image.
        precision: what it computes in.

    Raises:
        NumericalError: if it is not valid, cannot run, or does not give PyTorch's numbers.
    """
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
    for seed, inputs in enumerate(given):
        image, *others = inputs.values()
        size = (image.shape[2], image.shape[3])
        with torch.inference_mode():
            expected = [values.numpy() for values in predictor.run(image, *others)]
            steadied = [values.numpy() for values in predictor.run(_rounded(image, seed), *others)]
        try:
            found = session.run(None, {name: values.numpy() for name, values in inputs.items()})
        except Exception as error:
            raise NumericalError(
                f"the exported graph cannot run at {size[0]}x{size[1]}: {first_line(error)}", "Nothing was written"
            ) from None
        errors, own, psnr = _largest(found, expected), _largest(steadied, expected), _psnr(found, expected)
        if complaint := _complaint(predictor, precision, errors, own, psnr, expected):
            where = f"at {size[0]}x{size[1]} {complaint}"
            raise NumericalError(where, "Nothing was written" + ("" if precision == "fp32" else ": take fp32"))
        checks.append(Check(size, max(errors), max(own), psnr))
    return tuple(checks)


def _complaint(
    predictor: Predictor, precision: str, errors: list[float], own: list[float], psnr: float, expected: list[NDArray[np.float32]]
) -> str:
    """What is wrong with a graph's answers; empty if nothing is."""
    if precision == "int8":
        return "" if psnr >= LEAST_PSNR else f"the graph is {psnr:.1f} dB from PyTorch, and {LEAST_PSNR:.0f} is the least"
    for name, error, unsteadiness, values in zip(predictor.maps, errors, own, expected, strict=True):
        least = 0.0 if predictor.part else 1.0  # motions are small, and must be exact for their size
        allowed = _TOLERANCE[precision] * max(least, float(abs(values).max())) + 4 * unsteadiness
        if not error <= allowed:  # not a number is no less
            return f"{name} of the graph differs from PyTorch's by {error:.2g}, and {allowed:.2g} is the most"
    return ""


def _rounded(image: Tensor, seed: int) -> Tensor:
    import torch

    return image * (1 + 1e-6 * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed)))


def _largest(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> list[float]:
    """The largest difference of each map."""
    return [float(abs(a - b).max()) if a.shape == b.shape else float("inf") for a, b in zip(found, expected, strict=True)]


def _psnr(found: list[NDArray[np.float32]], expected: list[NDArray[np.float32]]) -> float:
    """Of the map that is farthest off, in dB, for a range of 1."""
    if any(a.shape != b.shape for a, b in zip(found, expected, strict=True)):
        return -math.inf
    worst = max(float(np.square(a.astype(np.float64) - b).mean()) for a, b in zip(found, expected, strict=True))
    return -10 * math.log10(worst) if worst else math.inf
