"""Checkpoints of others: read without running anything that is in them, and the state dicts found in them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from restorekit.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

_WRAPPERS = (
    *("module", "params_ema", "params", "state_dict", "ema", "ema_model", "model_ema"),
    *("model", "net", "net_g", "network", "generator"),
)
"""Names that training programs put in front of a network's keys. What a dictionary in a dictionary is called does not matter."""

_DEEPEST = 5
_LONGEST_HEADER = 100_000_000  # of a safetensors file, by its own rule
_EMA = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
_PROFILED = re.compile(r"(?:.+\.)?total_(?:ops|params)")
"""Counts that a profiler (thop) leaves in state dicts, under equal names in every network."""
_REFUSED = re.compile(r"(?:GLOBAL|[Cc]lass) ([\w.]+\.\w+)")
_TRUSTED = "If you trust where it comes from, save its tensors alone once: docs/importing.md has the program"


@dataclass(frozen=True)
class Found:
    """A state dict in a checkpoint.

    Attributes:
        where: the names that led to it, for example ``"params_ema"``; empty for the checkpoint itself.
        tensors: what may be weights, by key.
        numbers: plain numbers among them, such as the height and width a network was trained for.
    """

    where: str
    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Tensor]

    @property
    def is_ema(self) -> bool:
        """Whether it holds running means of weights, by its name."""
        return _EMA.search(self.where) is not None


def read_tensors(path: Path) -> Any:
    """What is in a file of PyTorch (``.pth``, ``.pt``, ``.ckpt``, whatever its name) or of safetensors.

    Raises:
        CheckpointError: if it cannot be read, is neither of them, is damaged, or holds anything but tensors and plain values,
            which only running code that came with it would bring back.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "Check the path and its permissions") from None
    if not head:
        raise CheckpointError(f"{path} is empty", "Copy or download it again")
    if head[8:] == b"{" and int.from_bytes(head[:8], "little") < _LONGEST_HEADER:
        return _read_safetensors(path)
    if head.startswith((b"PK", b"\x80")):
        _refuse_other_archives(path)
        return _read_pytorch(path)
    raise CheckpointError(
        f"{path} is no checkpoint: neither a PyTorch nor a safetensors file",
        "Name the file that has the weights",
    )


def find_state_dicts(content: Any) -> list[Found]:
    """Every state dict in what a file held, also behind names such as ``model.``: running means first, then the outermost."""
    found = [variant for one in _walk(content, "", set()) for variant in _variants(one)]
    return sorted(found, key=lambda one: not one.is_ema)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path, error) from None


def _refuse_other_archives(path: Path) -> None:
    """Files of PyTorch are archives, and some archives are none: what is right with them is not to be called damaged."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
    except Exception:  # a broken directory: reading it will tell
        return
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise CheckpointError(f"{path} is a TorchScript program", "Load it with torch.jit.load and save its state_dict()")
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is an archive, and no file of PyTorch", "Unpack it, and name the checkpoint in it")


def _read_pytorch(path: Path) -> Any:
    import pickle
    import warnings

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats, which are read all the same or refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        _refuse(path, str(error))
    except Exception as error:  # on hostile data it raises everything there is
        raise _damaged(path, error) from None


def _refuse(path: Path, said: str) -> NoReturn:
    names = sorted(set(_REFUSED.findall(said)))
    if not names:
        raise CheckpointError(f"{path} is not a file that PyTorch reads without running code", _TRUSTED)
    what = ", ".join(names)
    raise CheckpointError(f"{path} is not loaded: besides tensors it holds {what}, which would run code from elsewhere", _TRUSTED)


def _damaged(path: Path, error: Exception) -> CheckpointError:
    from restorekit.images.problems import one_line

    return CheckpointError(f"{path} is damaged or cut short ({one_line(error)})", "Copy or download it again")


def _walk(content: Any, where: str, seen: set[int], depth: int = 0) -> Iterator[Found]:
    if not isinstance(content, Mapping) or depth > _DEEPEST or id(content) in seen:
        return  # a dictionary may stand in a file in a million places, and is one
    seen.add(id(content))
    named = {key: value for key, value in content.items() if isinstance(key, str) and not _PROFILED.fullmatch(key)}
    tensors = {key.replace("_orig_mod.", ""): tensor for key, value in named.items() if (tensor := _as_tensor(value)) is not None}
    if tensors:
        yield Found(where, tensors, {key: number for key, value in named.items() if (number := _as_number(value)) is not None})
    for key, value in named.items():
        yield from _walk(value, f"{where}.{key}" if where else key, seen, depth + 1)


def _variants(found: Found, depth: int = 0) -> Iterator[Found]:
    """The state dict, and those that its keys hold behind the name of a wrapper, wrapped ever deeper."""
    yield found
    if depth > _DEEPEST:
        return
    first = dict.fromkeys(key.partition(".")[0] for key in found.tensors)
    for word in (*_WRAPPERS, *(word for word in first if word not in _WRAPPERS and _EMA.search(word))):
        prefix = f"{word}."
        inner = {key.removeprefix(prefix): value for key, value in found.tensors.items() if key.startswith(prefix)}
        if inner:
            yield from _variants(Found(f"{found.where}.{word}" if found.where else word, inner, found.numbers), depth + 1)


def _as_tensor(value: Any) -> Tensor | None:
    """A dense tensor of numbers that are all there; None for anything else."""
    import numpy as np
    import torch

    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(np.ascontiguousarray(value, value.dtype.newbyteorder("=")))
        except TypeError:
            return None
    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized or value.is_meta:
        return None
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():  # a few bytes that pass for gigabytes
        return None
    return value.detach()


def _as_number(value: Any) -> Tensor | None:
    import torch

    return torch.tensor(value) if isinstance(value, (bool, int, float)) and abs(value) < 2**62 else None
