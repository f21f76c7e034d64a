from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from restorekit import devices
from restorekit.devices import cpu_has_bf16, resolve_device, resolve_precision
from restorekit.errors import SettingError, UnknownNameError, UsageError

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda:0"), torch.device("mps")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets up a machine with so many CUDA devices, with or without an Apple GPU."""

    def build(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: cuda - 1)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return build


def test_auto_takes_the_fastest_device(machine: Any) -> None:
    machine()
    assert resolve_device("auto") == CPU
    machine(mps=True)
    assert resolve_device("auto") == MPS
    machine(cuda=2, mps=True)
    assert resolve_device("auto") == torch.device("cuda:1")


def test_devices_by_name(machine: Any) -> None:
    machine(cuda=2, mps=True)
    assert resolve_device("cpu") == CPU
    assert resolve_device("mps") == MPS
    assert resolve_device("cuda") == torch.device("cuda:1")
    assert resolve_device("cuda:0") == CUDA


@pytest.mark.parametrize(
    ("name", "cuda", "message"),
    [
        ("cuda", 0, "there is no CUDA device here that PyTorch can use. Take the device cpu or auto"),
        ("cuda:1", 0, "there is no CUDA device here"),
        ("cuda:2", 2, "there is no device cuda:2: this machine has 2. Take cuda:0 to cuda:1."),
        ("cuda:1", 1, "there is no device cuda:1: this machine has 1. Take cuda:0."),
        ("mps", 0, r"there is no Apple GPU \(mps\) here"),
    ],
)
def test_absent_devices_are_usage_errors(machine: Any, name: str, cuda: int, message: str) -> None:
    machine(cuda=cuda)
    with pytest.raises(SettingError, match=message) as caught:
        resolve_device(name)
    assert isinstance(caught.value, UsageError) and caught.value.exit_code == 2


def test_unknown_names_get_the_nearest(machine: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown device 'gpu'\. Known are: auto, cpu, cuda, cuda:0, mps|cpu"):
        resolve_device("gpu")
    with pytest.raises(UnknownNameError, match=r"unknown device 'cuda0'\. Did you mean 'cuda:0' or 'cuda'"):
        resolve_device("cuda0")
    with pytest.raises(UnknownNameError, match=r"unknown precision 'float16'"):
        resolve_precision("float16", CPU)


@pytest.mark.parametrize(
    ("device", "native_bf16", "auto"),
    [(CPU, True, "bf16"), (CPU, False, "fp32"), (CUDA, True, "bf16"), (CUDA, False, "fp16"), (MPS, True, "fp32")],
)
def test_auto_precision(monkeypatch: pytest.MonkeyPatch, device: torch.device, native_bf16: bool, auto: str) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native_bf16)
    monkeypatch.setattr(devices, "_can_compute", lambda device, precision: precision == "fp16" or native_bf16)
    assert resolve_precision("auto", device) == auto


def test_cpu_takes_bf16_on_request_and_fp16_only_with_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [resolve_precision(name, CPU) for name in ("fp32", "bf16")] == ["fp32", "bf16"]
    for supported in (True, False):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_fp16_supported", lambda supported=supported: supported, raising=False)
        if supported:
            assert resolve_precision("fp16", CPU) == "fp16"
        else:
            with pytest.raises(SettingError, match=r"cpu does not compute in fp16\. Take the precision fp32 or auto"):
                resolve_precision("fp16", CPU)


@pytest.mark.parametrize(
    ("flags", "expected"), [({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({"avx2": True}, False)]
)
def test_native_bf16_in_newer_torch(monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool], expected: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: flags, raising=False)
    assert cpu_has_bf16() is expected


@pytest.mark.parametrize(("amx", "avx512", "expected"), [(True, False, True), (False, True, True), (False, False, False)])
def test_native_bf16_in_older_torch(monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, expected: bool) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512, raising=False)
    assert cpu_has_bf16() is expected
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert cpu_has_bf16() is False


def test_the_peak_grows_with_what_is_taken_and_is_not_the_parents() -> None:
    code = (
        "from restorekit.devices import peak_memory; before = peak_memory(); bytearray(100_000_000)\nprint(before, peak_memory())"
    )
    ballast = bytearray(b"1") * 300_000_000
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before < len(ballast) and 90_000_000 < after - before < 150_000_000
