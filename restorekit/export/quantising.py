"""Graphs in int8: weights and activations on 256 levels, in ranges that photographs show."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.errors import UsageError
from restorekit.images.folders import files_below

MOST = 16
"""So many photographs of a folder are looked at, evenly over it."""

SIDE = 1024
"""No more of them than this many rows and columns of their middle."""

FloatArray = NDArray[np.float32]


def read_photographs(folder: Path) -> list[FloatArray]:
    """The middle of photographs of a folder and of those in it, ``(1, 3, H, W)`` each, RGB in [0, 1].

    Raises:
        UsageError: if there are none.
        ImageError: for one that cannot be read.
    """
    paths = [path for path in files_below(folder) if images.is_image_path(path)]
    if not paths:
        raise UsageError(f"{folder} holds no photographs to calibrate on", "Name a folder with some of what is to be restored")
    return [_read(path) for path in paths[:: -(-len(paths) // MOST)]]


def middle(photograph: FloatArray, size: tuple[int, int]) -> FloatArray:
    """The middle of a photograph, ``(1, 3, *size)``; a small one is continued by reflection."""
    missing = [max(0, side - own) for side, own in zip(size, photograph.shape[2:], strict=True)]
    whole = np.pad(photograph, [(0, 0), (0, 0), *((0, count) for count in missing)], mode="symmetric")
    top, left = ((own - side) // 2 for side, own in zip(size, whole.shape[2:], strict=True))
    return np.ascontiguousarray(whole[:, :, top : top + size[0], left : left + size[1]])


def quantised(model: Any, inputs: Sequence[Mapping[str, FloatArray]]) -> Any:
    """The model with the arithmetic of its layers in int8; it still takes and gives float32.

    Weights have a range for each output channel, activations the one they take for ``inputs``.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, FloatArray] | None:
            return next((dict(each) for each in self.left), None)

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with TemporaryDirectory(ignore_cleanup_errors=True) as name:
            plain, prepared, done = (Path(name, f"{stage}.onnx") for stage in ("plain", "prepared", "done"))
            onnx.save(model, plain)
            quant_pre_process(plain, prepared, skip_symbolic_shape=True)
            quantize_static(
                prepared,
                done,
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(done)
    finally:
        logging.disable(before)


def _read(path: Path) -> FloatArray:
    values = images.to_float(images.read(path).pixels)
    photograph = (values.repeat(3, 2) if values.shape[2] == 1 else values).transpose(2, 0, 1)[None]
    height, width = photograph.shape[2:]
    return middle(photograph, (min(height, SIDE), min(width, SIDE)))
