"""The authors' TensorFlow variables become our state dict."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from restorekit.errors import CheckpointError
from restorekit.methods.cbsn import METHOD, CbsnConfig
from restorekit.methods.cbsn.convert import pytorch_key, read_variables

CONFIG = CbsnConfig(filters=6, num_module=11, tail_channels=5)
Variables = dict[str, NDArray[np.float32]]


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return METHOD.build(CONFIG).state_dict()


@pytest.fixture
def variables(state: dict[str, Tensor]) -> Variables:
    """What the authors' graph would hold with this state, name by name as the published index has them."""
    found: Variables = {}

    def put(name: str, key: str, kernel: str = "kernel", bias: str = "bias") -> None:
        found[f"DBSN/{name}/{kernel}"] = state[f"{key}.weight"].numpy().transpose(2, 3, 1, 0)
        found[f"DBSN/{name}/{bias}"] = state[f"{key}.bias"].numpy()

    for layer in range(5):
        put(f"conv{layer}", f"conv{layer}")
    for b in (1, 2):
        put(f"B{b}/conv1", f"branch{b}.conv1", "W1", "b1")
        for layer in (2, 3, 4):
            put(f"B{b}/conv{layer}", f"branch{b}.conv{layer}")
        for i in range(CONFIG.num_module):
            put(f"B{b}/DCM{i}/conv1", f"branch{b}.dcm.{i}.conv1")
            put(f"B{b}/DCM{i}/conv2", f"branch{b}.dcm.{i}.conv2")
    return found


def with_training(variables: Variables) -> Variables:
    slots = {f"{name}/{slot}": value for name, value in variables.items() for slot in ("Adam", "Adam_1")}
    numbers = {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999), "global_step": np.int64(500_000)}
    return {**variables, **slots, **numbers}


def check(converted: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    assert METHOD.config_from_state_dict(converted) == CONFIG
    assert converted.keys() == state.keys()
    assert all(converted[key].equal(value) and converted[key].is_contiguous() for key, value in state.items())


def test_shapes_of_the_published_checkpoint(variables: Variables) -> None:
    assert variables["DBSN/conv0/kernel"].shape == (1, 1, 3, 6)
    assert variables["DBSN/B2/conv1/W1"].shape == (5, 5, 6, 6)
    assert variables["DBSN/conv1/kernel"].shape == (1, 1, 12, 6)


def test_arrays_tensors_and_graph_names(variables: Variables, state: dict[str, Tensor]) -> None:
    check(METHOD.convert_state_dict(with_training(variables)), state)
    check(METHOD.convert_state_dict({name: torch.from_numpy(value) for name, value in variables.items()}), state)
    check(METHOD.convert_state_dict({f"{name}:0": value for name, value in variables.items()}), state)


def test_our_own_keys_stay(state: dict[str, Tensor]) -> None:
    check(METHOD.convert_state_dict(state), state)


def test_npz(variables: Variables, state: dict[str, Tensor], tmp_path: Path) -> None:
    np.savez(tmp_path / "cbsn.npz", **with_training(variables))
    check(METHOD.convert_state_dict(read_variables(tmp_path / "cbsn.npz")), state)


def test_denoises_as_before(variables: Variables, state: dict[str, Tensor]) -> None:
    network, imported = METHOD.build(CONFIG).eval(), METHOD.build(CONFIG).eval()
    network.load_state_dict(state)
    imported.load_state_dict(METHOD.convert_state_dict(variables))
    image = torch.rand(1, 3, 17, 20)
    with torch.no_grad():
        assert METHOD.predict(imported, image)["image"].equal(METHOD.predict(network, image)["image"])


@pytest.mark.parametrize("name", ["DBSN/conv9/kernel/more", "DBSN/B3/conv1/W1", "DBSN/conv0/gamma", "generator/conv0/kernel"])
def test_variables_of_another_network(name: str, variables: Variables) -> None:
    with pytest.raises(CheckpointError, match=f"C-BSN has no variable '{name}'"):
        METHOD.convert_state_dict(variables | {name: np.zeros(3, np.float32)})


def test_kernel_of_wrong_dimensions(variables: Variables) -> None:
    with pytest.raises(CheckpointError, match=r"'DBSN/conv0/kernel' is of shape \(6,\), not \(H, W, I, O\)"):
        METHOD.convert_state_dict(variables | {"DBSN/conv0/kernel": np.zeros(6, np.float32)})


def test_optimiser_variables_have_no_key() -> None:
    assert pytorch_key("DBSN/B1/conv1/W1/Adam_1") is None
    assert pytorch_key("training/global_step") is None


def test_npz_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "cbsn.npz"
    with pytest.raises(CheckpointError, match=r"is not an \.npz archive"):
        read_variables(path)
    path.write_bytes(b"PK or not")
    with pytest.raises(CheckpointError, match=r"is not an \.npz archive"):
        read_variables(path)


def test_npz_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cbsn.npz"
    np.savez_compressed(path, **{"DBSN/conv0/kernel": np.zeros((64, 64), np.float32)})
    content = bytearray(path.read_bytes())
    start = content.index(b"DBSN/conv0/kernel.npy") + len("DBSN/conv0/kernel.npy") + 24
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="cannot be read as arrays"):
        read_variables(path)


def test_npz_that_would_have_to_be_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "cbsn.npz", **{"DBSN/conv0/kernel": np.array([{}], dtype=object)})
    with pytest.raises(CheckpointError, match="cannot be read as arrays"):
        read_variables(tmp_path / "cbsn.npz")


class TestTensorFlow:
    """TensorFlow is stood in for: only the few calls that are documented are made."""

    def test_is_asked_for_where_it_is_needed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(sys.modules, "tensorflow", None)
        with pytest.raises(CheckpointError, match=r"TensorFlow is not installed\. Install it, or save the variables as \.npz"):
            read_variables(tmp_path / "model.ckpt-500000.index")

    @pytest.mark.parametrize("name", ["model.ckpt-500000", "model.ckpt-500000.index"])
    def test_checkpoint(
        self, name: str, variables: Variables, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        stored, asked = with_training(variables), []

        class Reader:
            def get_variable_to_shape_map(self) -> dict[str, Any]:
                return {name: np.shape(value) for name, value in stored.items()}

            def get_tensor(self, name: str) -> Any:
                return stored[name]

        def load_checkpoint(prefix: str) -> Reader:
            asked.append(prefix)
            return Reader()

        fake = SimpleNamespace(train=SimpleNamespace(load_checkpoint=load_checkpoint), errors=SimpleNamespace(OpError=OSError))
        monkeypatch.setitem(sys.modules, "tensorflow", fake)
        read = read_variables(tmp_path / name)
        assert asked == [str(tmp_path / "model.ckpt-500000")]
        assert read.keys() == variables.keys()
        check(METHOD.convert_state_dict(read), state)

    def test_checkpoint_without_its_data(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def load_checkpoint(prefix: str) -> None:
            raise OSError("data-00000-of-00001 not found")

        fake = SimpleNamespace(train=SimpleNamespace(load_checkpoint=load_checkpoint), errors=SimpleNamespace(OpError=OSError))
        monkeypatch.setitem(sys.modules, "tensorflow", fake)
        with pytest.raises(CheckpointError, match="data file"):
            read_variables(tmp_path / "model.ckpt-1")
