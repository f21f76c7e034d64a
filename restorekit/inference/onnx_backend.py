"""ONNX Runtime beside PyTorch: the same tiles, the same engine, and no need for PyTorch."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import platform
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit import __version__
from restorekit.errors import CardError, NumericalError, SettingError, UnknownNameError, UsageError
from restorekit.inference.resampling import enlarged
from restorekit.methods import Method, get_method
from restorekit.zoo.onnx_file import OnnxFacts, first_line, import_runtime, read_facts

if TYPE_CHECKING:
    from restorekit.zoo import Card

FloatArray = NDArray[np.float32]

log = logging.getLogger(__name__)

PROVIDERS = {
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What ONNX Runtime can run on, by our names, best first."""

_LEAST = 32
"""Side in pixels of the smallest picture a graph gets: it reflects borders in one go, which takes sides longer than those."""

_SLOW_TO_START = ("tensorrt",)  # builds an engine for each size, which takes minutes: only when asked for
_OUT_OF_MEMORY = ("out of memory", "failed to allocate", "bad_alloc", "bad allocation")


@dataclass(frozen=True)
class Place:
    """Where a graph runs, with the two things the engine asks of a ``torch.device``: its ``type`` and its name."""

    type: str
    provider: str

    def __str__(self) -> str:
        return f"onnxruntime on {self.provider}"


class OnnxBackend:
    """A graph that ``restorekit export`` wrote, in ONNX Runtime.

    Args:
        path: the file.
        provider: one of :data:`PROVIDERS`, or ``"auto"`` for the best there is.
        threads: of the CPU provider; None for as many as there are cores, or ``OMP_NUM_THREADS``.

    Raises:
        CardError: for a file that is none of ours, or cannot be run.
        UnknownNameError: for a provider nobody knows.
        SettingError: for one that this ONNX Runtime lacks.
    """

    uses_torch = False
    batches = False  # graphs are exported for one image
    compiles = False
    ahead = 0

    def __init__(self, path: Path, provider: str = "auto", threads: int | None = None) -> None:
        runtime = import_runtime()
        chosen, *others = resolve_provider(provider)
        self.path = path
        while True:
            try:
                self._session = _started(runtime, path, chosen, threads)
                break
            except (CardError, SettingError) as error:  # a build for GPUs says that it has them, also where there is none
                if not others:
                    raise
                log.warning("%s: %s runs instead", error.problem, others[0])
                chosen, *others = others
        self.facts: OnnxFacts = read_facts(path, self._session.get_modelmeta().custom_metadata_map)
        if self.facts.part:
            problem = f"{path} holds only the {self.facts.part} network of {self.facts.name}, which gives no image"
            raise CardError(problem, "Run it with onnxruntime itself, or export the model without --part")
        inputs = {value.name for value in self._session.get_inputs()}
        if inputs != {"image", *self.facts.extra_inputs} or len(self._session.get_outputs()) != len(self.facts.maps):
            raise CardError(f"{path} has not the inputs and outputs it says it has", "Export the model again")
        self.method: Method[Any] = get_method(self.facts.method, str(path))
        self._config: Any = None
        self.device = Place("cpu" if chosen in ("cpu", "openvino") else "onnx", chosen)

    @property
    def precision(self) -> str:
        """What the graph computes in."""
        return self.facts.precision

    def run(self, tile: FloatArray, **extras: FloatArray) -> dict[str, FloatArray]:
        """See :meth:`restorekit.inference.backend.Backend.run`.

        A graph of fixed size gets smaller tiles filled up by reflection, as does any other what is smaller than graphs are made
        for; one of a method with a size of its own gets the image brought to that, and its maps are brought back.
        """
        for name in self.method.optional_inputs:
            if name in extras:
                raise UsageError(f"{self.path} is a graph, which cannot be told {name}", "Run the model in PyTorch")
        height, width = tile.shape[-2:]
        size = self._own_size(height, width)
        if size is not None:
            image = _reduced(tile, size)
        else:
            least = max(_LEAST, self.facts.multiple)
            image = _filled_up(tile, self.facts.size or (max(height, least), max(width, least)))
        feed = {"image": np.ascontiguousarray(image), **{name: extras[name] for name in self.facts.extra_inputs}}
        try:
            outputs = self._session.run(None, feed)
        except Exception as error:  # what the runtime raises has no common class
            if any(words in str(error).lower() for words in _OUT_OF_MEMORY):
                raise MemoryError(first_line(error)) from None
            raise CardError(f"{self.path} cannot be run on this image: {first_line(error)}", "Take another tile size") from None
        maps = {name: np.asarray(values, np.float32) for name, values in zip(self.facts.maps, outputs, strict=True)}
        if size is not None:
            return {name: enlarged(values, (height, width)) for name, values in maps.items()}
        return {name: values[..., :height, :width] for name, values in maps.items()}

    def start(self, tile: FloatArray, **extras: FloatArray) -> Callable[[], dict[str, FloatArray]]:
        """See :meth:`restorekit.inference.backend.Backend.start`: nothing is done before the answer is asked for."""
        return partial(self.run, tile, **extras)

    def in_float32(self) -> OnnxBackend:
        """NumericalError: a file holds one precision only."""
        problem = f"{self.path} gives values that are not finite in {self.precision}"
        raise NumericalError(problem, "Export the model with --precision fp32")

    def release(self) -> None:
        """See :meth:`restorekit.inference.backend.Backend.release`."""
        gc.collect()

    def _own_size(self, height: int, width: int) -> tuple[int, int] | None:
        if type(self.method).own_size is Method.own_size:
            return None
        if self.facts.size is not None:
            return self.facts.size
        if self._config is None:
            from restorekit.settings import from_table

            self._config = from_table(self.method.config_type, self.facts.config, str(self.path))
        return self.method.own_size(self._config, height, width)


def resolve_provider(name: str) -> list[str]:
    """Our names of the providers to try for the one called ``name``, best first; see :class:`OnnxBackend`."""
    present = set(import_runtime().get_available_providers())
    if name == "auto":
        return [own for own, theirs in PROVIDERS.items() if theirs in present and own not in _SLOW_TO_START]
    if name not in PROVIDERS:
        raise UnknownNameError("provider", name, ["auto", *PROVIDERS])
    if PROVIDERS[name] not in present:
        here = ", ".join(own for own, theirs in PROVIDERS.items() if theirs in present)
        raise SettingError(f"this onnxruntime has no provider {name}; it has {here}", "Install a build of onnxruntime with it")
    return [name]


def cache_folder() -> Path:
    """Where graphs are kept: ``RESTOREKIT_CACHE``, else the system's place for caches."""
    if own := os.environ.get("RESTOREKIT_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "restorekit"


def exported_card(card: Card) -> Path:
    """The ONNX file of a card, of any image size, float32: from the cache, else exported into it first.

    Raises:
        CardError, NumericalError: see :func:`restorekit.export.export`.
    """
    from restorekit.export import export

    card.weights_path()
    tiling = card.restoration_method().tiling(card.parsed_config())
    told = f"{sorted(card.config.items())}{tiling}{card.weights.sha256 if card.weights else ''}"
    path = cache_folder() / f"{card.name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}-{__version__}.onnx"
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CardError(f"{path.parent} cannot be made: {error.strerror}", "Set RESTOREKIT_CACHE to a folder") from None
        log.warning("exporting %s for onnxruntime; this can take minutes, and is done once", card.name)
        export(card, path, overwrite=True)
    return path


def _started(runtime: Any, path: Path, provider: str, threads: int | None) -> Any:
    """A session that runs on the provider."""
    try:
        session = _session(runtime, path, provider, threads)
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}", "Check the path and its permissions") from None
    except Exception as error:  # what the runtime raises has no common class
        raise CardError(f"{path} cannot be run on {provider}: {first_line(error)}", "Export the model again") from None
    if PROVIDERS[provider] not in session.get_providers():
        raise SettingError(f"onnxruntime could not start {provider}", "Check its drivers, or take the provider cpu")
    return session


def _session(runtime: Any, path: Path, provider: str, threads: int | None) -> Any:
    """A session whose graph was optimised once: on the CPU that takes longer than reading the result."""
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is told once, by us
    told = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(told) if told.isdigit() else 0)
    providers = [PROVIDERS[provider]] + (["CPUExecutionProvider"] if provider != "cpu" else [])
    data = path.read_bytes()
    if provider != "cpu":
        return runtime.InferenceSession(data, options, providers=providers)
    key = hashlib.sha256(data + f"{runtime.__version__} {__version__} {platform.node()} {platform.machine()}".encode())
    kept = cache_folder() / f"{key.hexdigest()[:32]}.optimised.onnx"
    if kept.is_file():
        plain = _copy(runtime, options)
        with suppress(Exception):  # a damaged file in the cache is made again
            return runtime.InferenceSession(kept.read_bytes(), plain, providers=providers)
    draft = kept.with_name(f".{secrets.token_hex(8)}.onnx")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        options.optimized_model_filepath = str(draft)
        session = runtime.InferenceSession(data, options, providers=providers)
        draft.replace(kept)
        return session
    except Exception:  # no cache, no harm; whatever else is wrong is told again
        options.optimized_model_filepath = ""
        return runtime.InferenceSession(data, options, providers=providers)
    finally:
        with suppress(OSError):
            draft.unlink()


def _copy(runtime: Any, options: Any) -> Any:
    plain = runtime.SessionOptions()
    plain.log_severity_level = 4
    plain.intra_op_num_threads = options.intra_op_num_threads
    plain.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return plain


def _filled_up(tile: FloatArray, size: tuple[int, int]) -> FloatArray:
    """``(1, 3, h, w)`` continued to the right and below by reflection, as often as it takes."""
    missing = [(0, 0), (0, 0), *((0, max(0, full - side)) for full, side in zip(size, tile.shape[-2:], strict=True))]
    if min(tile.shape[-2:]) == 1:
        return np.pad(tile, missing, mode="edge")
    return np.pad(tile, missing, mode="reflect")


def _reduced(tile: FloatArray, size: tuple[int, int]) -> FloatArray:
    """``(1, 3, h, w)`` at another size: bicubic, smoothed where it becomes smaller, in [0, 1]."""
    from PIL import Image

    if tile.shape[-2:] == size:
        return tile
    planes = [
        Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BICUBIC) for plane in np.ascontiguousarray(tile[0])
    ]
    return np.stack([np.asarray(plane, np.float32) for plane in planes])[None].clip(0, 1)
