from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.devices import Precision
from restorekit.errors import SettingError
from restorekit.inference.backend import TorchBackend, is_out_of_memory
from restorekit.methods.multi_output import METHOD
from tests.inference.networks import SHORT, Mean3, network_of, picture

CPU = torch.device("cpu")


def tile_of(height: int, width: int) -> np.ndarray:
    return picture(height, width).transpose(2, 0, 1)[None]


def test_float32_gives_the_networks_own_numbers() -> None:
    network = network_of(SHORT).eval()
    tile = tile_of(37, 50)
    with torch.no_grad():
        expected = copy.deepcopy(network)(torch.from_numpy(tile.copy())).flatten(1, 2).numpy()
    maps = TorchBackend(METHOD, network, CPU, "fp32").run(tile)
    assert list(maps) == ["heads"] and maps["heads"].dtype == np.float32
    np.testing.assert_allclose(maps["heads"], expected, atol=1e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_rounds_only_what_the_network_adds(precision: Precision) -> None:
    if precision == "fp16" and not torch.ops.mkldnn._is_mkldnn_fp16_supported():
        pytest.skip("this CPU does not compute in float16")
    network = network_of(SHORT, correction=1e-4)
    tile = tile_of(64, 64)
    exact = TorchBackend(METHOD, network, CPU, "fp32").run(tile)["heads"]
    rounded = TorchBackend(METHOD, network, CPU, precision).run(tile)["heads"]
    assert rounded.dtype == np.float32
    added = abs(exact - np.tile(tile, (1, 3, 1, 1))).max()
    assert 0 < abs(rounded - exact).max() < 0.1 * added < 1e-4


def test_network_is_made_ready_and_float32_shares_it() -> None:
    network = network_of(SHORT).train()
    backend = TorchBackend(METHOD, network, CPU, "bf16")
    assert not network.training
    assert all(p.requires_grad for p in network.parameters())  # whoever validates while training goes on with it
    assert not any(np.isnan(values).any() for values in backend.run(tile_of(8, 8)).values())
    network(torch.from_numpy(tile_of(8, 8))).sum().backward()
    assert network.intro.weight.is_contiguous(memory_format=torch.channels_last)
    exact = backend.in_float32()
    assert exact.network is network and (exact.precision, backend.precision) == ("fp32", "bf16")


class Raises(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, image: Tensor) -> Tensor:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
        ),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:80] . DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
        ),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB)"),
        RuntimeError("Invalid buffer size: 24.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_every_form_of_too_little_memory_is_a_memory_error(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(MemoryError):
        TorchBackend(Mean3(), Raises(error), CPU, "fp32").run(tile_of(16, 16))


def test_cpu_allocator_really_says_so() -> None:
    class Greedy(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.empty(2**56)

    with pytest.raises(MemoryError):
        TorchBackend(Mean3(), Greedy(), CPU, "fp32").run(tile_of(16, 16))


def test_other_errors_stay_what_they_are() -> None:
    error = RuntimeError("Given groups=1, weight of size [4, 3, 3, 3], expected input to have 3 channels")
    assert not is_out_of_memory(error) and not is_out_of_memory(ValueError("out of memory"))
    with pytest.raises(RuntimeError, match="expected input"):
        TorchBackend(Mean3(), Raises(error), CPU, "fp32").run(tile_of(16, 16))


def test_a_compiled_network_is_compiled_and_in_float32_too(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    network = network_of(SHORT)
    backend = TorchBackend(METHOD, network, CPU, "bf16", compiled=True)
    assert compiled == [network] and backend.in_float32().compiles
    TorchBackend(METHOD, network, CPU, "fp32")
    assert compiled == [network, network]


def test_what_cannot_be_compiled_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Module, "compile", lambda self: None)
    error = torch._dynamo.exc.TorchDynamoException("no compiler found\nand a long story")
    with pytest.raises(SettingError, match=r"cannot be compiled here: no compiler found\. Take the backend torch"):
        TorchBackend(Mean3(), Raises(error), CPU, "fp32", compiled=True).run(tile_of(8, 8))
    with pytest.raises(torch._dynamo.exc.TorchDynamoException):
        TorchBackend(Mean3(), Raises(error), CPU, "fp32").run(tile_of(8, 8))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_cpus_numbers_and_takes_tiles_ahead() -> None:
    network = network_of(SHORT)
    tiles = [tile_of(64, 48), tile_of(40, 56)]
    expected = [TorchBackend(METHOD, copy.deepcopy(network), CPU, "fp32").run(tile)["heads"] for tile in tiles]
    backend = TorchBackend(METHOD, network, torch.device("cuda"), "fp32")
    assert backend.ahead == 1
    for waiting, answer in zip([backend.start(tile) for tile in tiles], expected, strict=True):
        np.testing.assert_allclose(waiting()["heads"], answer, atol=1e-4)


def test_without_a_gpu_a_tile_runs_when_its_answer_is_asked_for() -> None:
    tile = tile_of(24, 32)
    backend = TorchBackend(METHOD, network_of(SHORT), CPU, "fp32")
    assert backend.ahead == 0
    np.testing.assert_array_equal(backend.start(tile)()["heads"], backend.run(tile)["heads"])
    with pytest.raises(MemoryError):
        TorchBackend(Mean3(), Raises(MemoryError()), CPU, "fp32").start(tile)()
