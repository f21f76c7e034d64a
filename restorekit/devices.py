"""Which device and which precision: names become what this machine has, or an error that says what it lacks."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from restorekit.errors import SettingError, UnknownNameError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]

DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")
PRECISIONS = ("auto", *get_args(Precision))


def resolve_device(name: str = "auto") -> torch.device:
    """The device called ``name``: ``auto`` (CUDA, else MPS, else CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        UnknownNameError: for any other name.
        SettingError: if this machine, or this PyTorch, has no such device.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    match = re.fullmatch(r"(cpu|mps)|cuda(?::(\d+))?", name)
    if match is None:
        raise UnknownNameError("device", name, DEVICES)
    if match[1] == "cpu":
        return torch.device("cpu")
    if match[1] == "mps":
        if not torch.backends.mps.is_available():
            raise SettingError("there is no Apple GPU (mps) here that PyTorch can use", "Take the device cpu or auto")
        return torch.device("mps")
    if not torch.cuda.is_available():
        raise SettingError("there is no CUDA device here that PyTorch can use", "Take the device cpu or auto" + _cuda_hint())
    index = torch.cuda.current_device() if match[2] is None else int(match[2])
    count = torch.cuda.device_count()
    if index >= count:
        raise SettingError(f"there is no device cuda:{index}: this machine has {count}", f"Take cuda:0 to cuda:{count - 1}")
    return torch.device("cuda", index)


def resolve_precision(name: str, device: torch.device) -> Precision:
    """The precision called ``name``: ``auto``, ``fp32``, ``bf16``, ``fp16``.

    ``auto`` is bf16 on CUDA devices and CPUs that compute in it natively, fp16 on other CUDA devices, and fp32 anywhere else.

    Raises:
        UnknownNameError: for any other name.
        SettingError: if the device cannot compute in it.
    """
    if name not in PRECISIONS:
        raise UnknownNameError("precision", name, PRECISIONS)
    if name == "auto":
        return _fastest(device)
    if name != "fp32" and not _can_compute(device, name):
        raise SettingError(f"{device} does not compute in {name}", "Take the precision fp32 or auto")
    return cast(Precision, name)


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 natively (AMX or AVX512-BF16); others emulate it, slower than float32."""
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", None)  # public in newer releases only
    if capabilities is not None:
        found = capabilities()
        return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
    queries = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(query() for name in queries if (query := getattr(torch.cpu, name, None)) is not None)


def _fastest(device: torch.device) -> Precision:
    if device.type == "cuda":
        return "bf16" if _can_compute(device, "bf16") else "fp16"
    if device.type == "cpu" and cpu_has_bf16():
        return "bf16"
    return "fp32"


def _can_compute(device: torch.device, precision: str) -> bool:
    import torch

    if device.type == "cuda":
        with torch.cuda.device(device):
            return precision == "fp16" or torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu" and precision == "fp16":
        supported = getattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", None)
        return supported is not None and bool(supported())
    return bool(torch.amp.autocast_mode.is_autocast_available(device.type))


def _cuda_hint() -> str:
    import torch

    return ", or install a PyTorch built for CUDA" if torch.version.cuda is None and torch.version.hip is None else ""


def peak_memory(device: torch.device | None = None) -> int:
    """The most memory this process ever had, in bytes; on a CUDA ``device`` what its tensors had there."""
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":  # where a new process inherits what rusage says of its parent
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        if "VmHWM" in status:
            return 1024 * int(status["VmHWM"].split()[0])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
