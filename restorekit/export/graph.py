"""What PyTorch's exporter is given, and the graph it makes of that."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from restorekit.errors import CardError
from restorekit.layers.tracing import exporting
from restorekit.methods import Method


class Predictor(nn.Module):
    """A method's ``predict``, or one of its parts, as a module: images and extra inputs in, maps out, in a fixed order.

    Args:
        method: whose network it is.
        network: is put into eval mode, in place.
        inputs: an example of each input by name.
        part: see :attr:`restorekit.methods.Method.parts`; empty for ``predict``.

    Attributes:
        names: the names of the inputs.
        maps: the names of the maps.
    """

    def __init__(self, method: Method[Any], network: nn.Module, inputs: Mapping[str, Tensor], part: str = "") -> None:
        super().__init__()
        self.method = method
        self.network = network.eval().requires_grad_(False)
        self.part = part
        self.names = tuple(inputs)
        with torch.inference_mode():
            self.maps = tuple(self._predict(*inputs.values()))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        maps = self._predict(*inputs)
        return tuple(maps[name] for name in self.maps)

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the graph should give: what :meth:`forward` gives, for networks with a size of their own at this very one."""
        answers: tuple[Tensor, ...] = self(*inputs)
        return answers

    def _predict(self, *inputs: Tensor) -> dict[str, Tensor]:
        if self.part:
            return self.method.run_part(self.part, self.network, *inputs)
        image, *extras = inputs
        return self.method.predict(self.network, image, **dict(zip(self.names[1:], extras, strict=True)))


def make_graph(predictor: Predictor, inputs: Mapping[str, Tensor], *, dynamic: bool, opset: int) -> Any:
    """The ONNX model; CardError with the exporter's last words if it makes none."""
    free = {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    # what a method measures has one value a channel; what a user gives beside the image may have any size, like a PSF
    varies = [min(values.shape[2:]) > 1 and (dynamic or name in predictor.method.extra_inputs) for name, values in inputs.items()]
    shapes = (tuple(free if each else None for each in varies),)
    try:
        with _quiet(), exporting():
            program = torch.onnx.export(
                predictor,
                tuple(inputs.values()),
                dynamo=True,
                dynamic_shapes=shapes if any(varies) else None,
                input_names=list(inputs),
                output_names=[f"{name}_out" for name in predictor.maps],
                opset_version=opset,
                verbose=False,
            )
    except Exception as error:  # the exporter's errors have no common class
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        words = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise CardError(f"{predictor.method.name} cannot be exported so: {words}", "Try another size or opset") from error
    assert program is not None
    return program.model_proto


def halved(model: Any) -> Any:
    """The model with weights and arithmetic in float16; it still takes and gives float32."""
    import onnx_ir
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with _quiet():
        ordered = onnx_ir.serde.deserialize_model(convert_float_to_float16(model, keep_io_types=True))
        ordered.graph.sort()  # the conversion puts its casts last
        return onnx_ir.serde.serialize_model(ordered)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters have to say of themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
