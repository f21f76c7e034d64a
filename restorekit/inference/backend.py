"""What runs a network on a tile. The engine knows arrays only, so that another runtime can stand beside PyTorch."""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restorekit.devices import Precision
from restorekit.errors import SettingError
from restorekit.methods.base import Method

FloatArray = NDArray[np.float32]
T = TypeVar("T")

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_OUT_OF_MEMORY = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "alloc_failed",
    "invalid buffer size",  # MPS, of a tensor larger than it takes
)  # PyTorch has no one class for it


class Backend(Protocol):
    """Runs a network on one device in one precision."""

    @property
    def uses_torch(self) -> bool:
        """Whether the process has PyTorch anyway, so that methods are given tensors and not arrays."""
        ...

    @property
    def device(self) -> Any:
        """Where the network runs: a ``torch.device``, or what has a ``type`` and a name as one has."""
        ...

    @property
    def precision(self) -> str:
        """What it computes in: a precision of PyTorch's, or ``"int8"``."""
        ...

    @property
    def ahead(self) -> int:
        """How many tiles to start before the answer of the first is asked for; 0 where a tile keeps this process busy."""
        ...

    @property
    def batches(self) -> bool:
        """Whether it takes several tiles of one size at once."""
        ...

    @property
    def compiles(self) -> bool:
        """Whether each new shape of what it is given, their number too, costs it minutes first."""
        ...

    def run(self, tile: FloatArray, **extras: FloatArray) -> dict[str, FloatArray]:
        """The named maps ``(N, C, h, w)``, float32, of tiles ``(N, 3, h, w)``, float32, RGB in [0, 1], of any size; ``extras``
        are what the network needs beside them. N is 1 where it takes no batches.

        Raises:
            MemoryError: if the device has no room for a tile of this size.
        """
        ...

    def start(self, tile: FloatArray, **extras: FloatArray) -> Callable[[], dict[str, FloatArray]]:
        """Set a tile going; what is given waits for its maps. Both raise what :meth:`run` does."""
        ...

    def in_float32(self) -> Backend:
        """The same network on the same device in float32."""
        ...

    def release(self) -> None:
        """Give back what is held for reuse, after a :class:`MemoryError`."""
        ...


class TorchBackend:
    """PyTorch, channels last, without gradients.

    Lower precisions run through autocast over a float32 input, so what a network adds to its input is added in float32. On CUDA,
    fp32 follows PyTorch's own setting for TF32.

    Args:
        method: whose network it is.
        network: is put into eval mode and moved to the device, in place.
        device: where to run.
        precision: what to compute in.
        compiled: whether ``torch.compile`` makes one program of the network first, which takes minutes for each new size of tile.
    """

    uses_torch = True
    batches = True

    def __init__(
        self, method: Method[Any], network: nn.Module, device: torch.device, precision: Precision, compiled: bool = False
    ) -> None:
        self.method = method
        self.compiles = compiled
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)
        if compiled:
            self.network.compile()
        self.device = device
        self.precision: Precision = precision

    def run(self, tile: FloatArray, **extras: FloatArray) -> dict[str, FloatArray]:
        """See :meth:`Backend.run`.

        Raises:
            SettingError: if the network cannot be compiled here.
        """
        if self.device.type == "cuda":
            return self.start(tile, **extras)()
        return self._guarded(self._answer, tile, extras)

    @property
    def ahead(self) -> int:
        """See :attr:`Backend.ahead`: a GPU has the next tile to do while this process cuts, merges and draws."""
        return int(self.device.type == "cuda")

    def start(self, tile: FloatArray, **extras: FloatArray) -> Callable[[], dict[str, FloatArray]]:
        """See :meth:`Backend.start`. To and from a GPU tiles are copied asynchronously, through memory that is not swapped."""
        if self.device.type != "cuda":
            return partial(self.run, tile, **extras)
        return partial(self._guarded, self._guarded(self._launch, tile, extras))

    def in_float32(self) -> TorchBackend:
        """See :meth:`Backend.in_float32`."""
        return TorchBackend(self.method, self.network, self.device, "fp32", self.compiles)

    def release(self) -> None:
        """See :meth:`Backend.release`."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.device.type == "mps":
            torch.mps.empty_cache()

    def _guarded(self, function: Callable[..., T], *arguments: Any) -> T:
        """What ``function`` gives; its errors as :meth:`run` has them."""
        try:
            return function(*arguments)
        except (RuntimeError, MemoryError) as error:
            if self.compiles and isinstance(error, torch._dynamo.exc.TorchDynamoException):
                words = next(iter(str(error).splitlines()), type(error).__name__)
                raise SettingError(f"this network cannot be compiled here: {words}", "Take the backend torch") from error
            if not is_out_of_memory(error):
                raise
            problem = str(error)
        raise MemoryError(problem)  # out here, the frames that hold the tile's tensors are gone

    def _answer(self, tile: FloatArray, extras: dict[str, FloatArray]) -> dict[str, FloatArray]:
        with torch.inference_mode():
            beside = {name: torch.from_numpy(values).to(self.device) for name, values in extras.items()}
            maps = self._predict(torch.from_numpy(tile).to(self.device), beside)
            return {name: _array(values.cpu()) for name, values in maps.items()}

    def _launch(self, tile: FloatArray, extras: dict[str, FloatArray]) -> Callable[[], dict[str, FloatArray]]:
        """Queue all that a tile takes on the device; what is given waits for it."""
        with torch.inference_mode(), torch.cuda.device(self.device):
            beside = {name: self._sent(values) for name, values in extras.items()}
            maps = {name: _on_its_way(values) for name, values in self._predict(self._sent(tile), beside).items()}
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record()

        def landed() -> dict[str, FloatArray]:
            arrived.synchronize()
            return {name: _array(values) for name, values in maps.items()}

        return landed

    def _sent(self, values: FloatArray) -> Tensor:
        return torch.from_numpy(values).pin_memory().to(self.device, non_blocking=True)

    def _predict(self, image: Tensor, extras: dict[str, Tensor]) -> dict[str, Tensor]:
        image = image.contiguous(memory_format=torch.channels_last)
        if self.precision == "fp32":
            return self.method.predict(self.network, image, **extras)
        with torch.autocast(self.device.type, _DTYPES[self.precision]):
            return self.method.predict(self.network, image, **extras)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)


def _on_its_way(values: Tensor) -> Tensor:
    """What ``values`` of a CUDA device will be in memory, in float32, once its copy has arrived."""
    values = values.float()
    return torch.empty_like(values, device="cpu", pin_memory=True).copy_(values, non_blocking=True)


def _array(values: Tensor) -> FloatArray:
    array: FloatArray = values.float().numpy()
    return array
