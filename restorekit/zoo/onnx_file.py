"""What an exported model says of itself: properties of the ONNX file, by which it can be used without its card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restorekit.errors import CardError, UsageError
from restorekit.methods.base import Tiling
from restorekit.settings import from_table, to_table
from restorekit.zoo.card import Card, WeightsEntry

PREFIX = "restorekit."
"""How the names of our properties begin; their values are JSON."""

_METADATA_PROPS = 14  # the field of onnx.ModelProto that holds them, each with key 1 and value 2
_LENGTHS = {1: 8, 2: 0, 5: 4}  # of a field by its wire type; 0 for those that say it themselves


@dataclass(frozen=True)
class OnnxFacts:
    """The properties of an exported model. The graph takes ``image``, ``(1, 3, H, W)``, float32, RGB, and the extra inputs.

    Attributes:
        version: the version of RestoreKit that wrote it.
        name: the model's.
        method: whose network it is.
        tasks: what it is for.
        config: the network's configuration.
        maps: what it gives, in the order of its outputs.
        multiple, halo, overlap, minimum, bytes_per_pixel, whole, anchor: see :class:`restorekit.methods.Tiling`; a global method
            has no halo.
        extra_inputs: what it takes beside the image.
        size: rows and columns of the image; None for any.
        longest: the longest side it serves; None for no limit.
        precision: what it computes in; it takes and gives float32.
        part: which part of the network this is, where it is not the one that restores; see
            :attr:`restorekit.methods.Method.parts`.
        value_range: the range of the image.
        licence: of the weights.
        summary: one line for people.
    """

    version: str
    name: str
    method: str
    tasks: tuple[str, ...]
    config: dict[str, Any]
    maps: tuple[str, ...]
    multiple: int
    overlap: int
    minimum: int
    bytes_per_pixel: int
    halo: int | None = None
    whole: bool = False
    anchor: int = 0
    extra_inputs: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    longest: int | None = None
    precision: str = "fp32"
    part: str = ""
    value_range: tuple[float, float] = (0.0, 1.0)
    licence: str = ""
    summary: str = ""

    def __post_init__(self) -> None:
        if min(self.multiple, self.minimum, self.bytes_per_pixel, *(self.size or (1,)), self.longest or 1) < 1:
            raise ValueError("sizes must be at least 1")
        if min(self.overlap, self.anchor, self.halo or 0) < 0:
            raise ValueError("overlap, anchor and halo must not be negative")
        if not self.maps:
            raise ValueError("maps names no output")

    def tiling(self) -> Tiling:
        """How images are cut for it."""
        return Tiling(self.multiple, self.halo, self.overlap, self.minimum, self.bytes_per_pixel, self.whole, self.anchor)

    def to_properties(self) -> dict[str, str]:
        """Names and values as they stand in the file."""
        return {PREFIX + key: json.dumps(value) for key, value in to_table(self).items()}


def read_facts(path: Path, properties: dict[str, str]) -> OnnxFacts:
    """The facts in a file's properties; CardError if they are not ours or do not hold."""
    own = {key.removeprefix(PREFIX): value for key, value in properties.items() if key.startswith(PREFIX)}
    if not own:
        raise CardError(f"{path} was not written by `restorekit export`", "Export the model again from its card")
    try:
        table = {key: json.loads(value) for key, value in own.items()}
        return from_table(OnnxFacts, table, str(path))
    except json.JSONDecodeError as error:
        raise CardError(f"the properties of {path} are damaged: {error}", "Export the model again") from None
    except UsageError as error:
        raise CardError(error.problem, error.remedy or "Export the model again") from None


def onnx_card(path: Path) -> Card:
    """An ONNX file as a card, which is its own weights. Needs neither PyTorch nor onnxruntime, and runs nothing.

    Raises:
        CardError: for a file that cannot be read, is no ONNX model, or not one of ours.
    """
    try:
        data = path.read_bytes()
        properties = _properties(data)
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}", "Check the path and its permissions") from None
    except ValueError:
        raise CardError(f"{path} is no ONNX model", "Export the model again") from None
    facts = read_facts(path, properties)
    entry = WeightsEntry(path.name, hashlib.sha256(data).hexdigest(), len(data))
    try:
        card = Card(
            name=facts.name,
            method=facts.method,
            tasks=facts.tasks,
            config=facts.config,
            path=path,
            summary=facts.summary,
            licence=facts.licence,
            weights=entry,
        )
    except ValueError as error:
        raise CardError(f"{path}: {error}", "Export the model again") from None
    card.parsed_config()
    return card


def _properties(data: bytes) -> dict[str, str]:
    """The properties in an ONNX file, which is a protocol buffer; ValueError if it is none.

    To ask onnxruntime or onnx would take longer than all else before an image is restored.
    """
    entries = (dict(_fields(entry)) for number, entry in _fields(memoryview(data)) if number == _METADATA_PROPS)
    return {str(entry.get(1, b""), "utf-8"): str(entry.get(2, b""), "utf-8") for entry in entries}


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Numbers and contents of those fields of a protocol buffer that have a length."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = divmod(tag, 8)
        if kind == 0:
            _, at = _varint(data, at)
            continue
        if kind not in _LENGTHS:
            raise ValueError(f"no field is of kind {kind}")
        length, at = (_LENGTHS[kind], at) if _LENGTHS[kind] else _varint(data, at)
        if at + length > len(data):
            raise ValueError("the data end within a field")
        if kind == 2:
            yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """The number at a place, and the place after it."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("the data end within a number")


def import_runtime() -> Any:
    """The module onnxruntime; CardError says how to get it."""
    try:
        import onnxruntime
    except ImportError:
        raise CardError("ONNX models need onnxruntime", "Install it with: pip install onnxruntime") from None
    return onnxruntime


def first_line(error: Exception) -> str:
    """What an error says, without its details."""
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
