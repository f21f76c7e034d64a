"""The goldens that are built pass, and the harness fails what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.goldens import adaptor as adaptors
from tests.goldens import harness
from tests.goldens.__main__ import main
from tests.goldens.adaptor import Case, NotBuiltError, without_initialisation
from tests.goldens.golden import Golden
from tests.goldens.recipe import fill, fill_input, sample_positions

FOLDER = Path(__file__).parent / "goldens"
TINY = FOLDER / "multi-output-tiny.json"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    result = harness.check_file(path)
    assert result.status == "ok", str(result)


@pytest.fixture
def table() -> dict[str, Any]:
    """The smallest network golden, to be spoilt."""
    table: dict[str, Any] = json.loads(TINY.read_text())
    return table


def check(table: dict[str, Any]) -> harness.Result:
    return harness.check(Golden.parse(table, "spoilt.json"))


class TestRecipe:
    def test_kinds_of_keys(self) -> None:
        assert fill("bn.num_batches_tracked", ()).dtype == np.int64
        assert fill("bn.running_var", (500,)).min() >= 1
        assert abs(fill("bn.running_mean", (500,)).std() - 0.1) < 0.02
        assert abs(fill("norm.weight", (500,)).mean() - 1) < 0.02
        assert abs(fill("conv.bias", (500,)).std() - 0.1) < 0.02
        assert abs(fill("conv.weight", (50, 25, 2, 2)).std() - 0.1) < 0.01  # 1 / sqrt(25 * 2 * 2)
        assert fill("temperature", (4, 1, 1)).dtype == np.float32

    def test_depends_on_the_key_only_through_its_crc(self) -> None:
        rng = np.random.Generator(np.random.PCG64(0xD87F7E0C))  # CRC-32 of "test"
        assert np.array_equal(fill("test", (3,)), (0.1 * rng.standard_normal(3)).astype(np.float32))

    def test_inputs_are_scaled_then_shifted(self) -> None:
        plain, moved = fill_input("x", (1000,)), fill_input("x", (1000,), 2.0, -1.0)
        assert plain.dtype == moved.dtype == np.float32
        assert np.allclose(moved, 2 * plain - 1, atol=1e-6)

    def test_sample_positions_end_with_the_last_value(self) -> None:
        assert sample_positions(3).tolist() == [0, 1, 2]
        assert (len(sample_positions(1000)), sample_positions(1000)[-1]) == (256, 999)


class TestFailures:
    def test_unspoilt_passes(self, table: dict[str, Any]) -> None:
        result = check(table)
        assert (result.status, result.problems) == ("ok", ())
        assert 0 < result.error < 1e-5

    def test_perturbed_weight(self, table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(harness, "fill", lambda key, shape: fill(key, shape) * (1.01 if key == "middle_blks.0.beta" else 1))
        result = check(table)
        assert result.status == "FAILED"
        assert any(problem.startswith("out: ") for problem in result.problems)

    def test_key_that_ours_lacks(self, table: dict[str, Any]) -> None:
        table["state_dict"]["intro.scale"] = [8]
        result = check(table)
        assert result.status == "FAILED"
        assert result.problems == ("1 keys missing in our network: intro.scale",)

    def test_key_that_only_ours_has(self, table: dict[str, Any]) -> None:
        del table["state_dict"]["intro.bias"]
        assert check(table).problems == ("1 keys unexpected in our network: intro.bias",)

    def test_shape(self, table: dict[str, Any]) -> None:
        table["state_dict"]["ending.weight"] = [3, 8, 3, 3]
        assert check(table).problems == ("1 keys of another shape: ending.weight (golden [3, 8, 3, 3], ours [12, 8, 3, 3])",)

    @pytest.mark.parametrize("what", ["mean", "std", "sample"])
    def test_value_beyond_atol(self, table: dict[str, Any], what: str) -> None:
        output = table["outputs"]["residual"]
        if what == "sample":
            output["sample"][200] += 1.1e-4
        else:
            output[what] += 1.1e-4
        result = check(table)
        assert result.status == "FAILED"
        assert len(result.problems) == 1
        assert result.problems[0].startswith("residual: ")

    def test_value_within_atol(self, table: dict[str, Any]) -> None:
        table["outputs"]["residual"]["sample"][200] += 0.9e-4
        assert check(table).status == "ok"

    def test_config_decides(self, table: dict[str, Any]) -> None:
        table["config"]["combinate_heads"] = False
        assert check(table).problems[0] == "out: shape [1, 4, 3, 40, 56], golden [1, 10, 3, 40, 56]"

    def test_output_we_do_not_give(self, table: dict[str, Any]) -> None:
        table["outputs"]["features"] = copy.deepcopy(table["outputs"]["out"])
        assert check(table).problems == ("features: our code gives no such output",)

    def test_our_code_raises(self, table: dict[str, Any]) -> None:
        del table["config"]["width"]
        result = check(table)
        assert result.status == "FAILED"
        assert "KeyError" in result.summary

    def test_not_a_number(self) -> None:
        spec = Golden.load(TINY).outputs["out"]
        error, problem = harness.compare(torch.full(spec.shape, float("nan")), spec, 1e-4)
        assert error == float("inf")
        assert problem.startswith("256 of 256 samples")


class TestCommand:
    def test_exit_code_and_summary(self, table: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        unknown = tmp_path / "unknown.json"
        unknown.write_text(json.dumps(table | {"model": "nobody"}))
        assert main([str(TINY), str(unknown)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("ok ")
        assert "skipped unknown.json  not built yet: model 'nobody'" in lines[1]
        assert lines[2] == "2 files: 1 ok, 0 failed, 1 skipped"

        table["outputs"]["out"]["mean"] += 1
        (tmp_path / "spoilt.json").write_text(json.dumps(table))
        (tmp_path / "broken.json").write_text("{")
        (tmp_path / "empty.json").write_text("{}")
        assert main([str(tmp_path), str(tmp_path / "missing.json")]) == 1
        out = capsys.readouterr().out
        assert out.splitlines()[-1] == "5 files: 0 ok, 4 failed, 1 skipped"
        assert out.count("cannot be read") == 3

    def test_part_that_is_not_built_is_skipped(self, table: dict[str, Any]) -> None:
        table["config"]["network"] = "NobodysNet"
        result = check(table)
        assert (result.status, result.summary) == ("skipped", "not built yet: network NobodysNet")


class Part(nn.Module):
    """All the recipe knows: a normalisation with statistics, a table of integers, a constant, and weights."""

    table: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.register_buffer("table", torch.tensor([1, 0]))
        self.register_buffer("mask", torch.tensor([0.0, -100.0]))

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed[:, self.table] + self.mask.view(1, 2, 1, 1)


def _part_by_hand(renamed: Mapping[str, str]) -> Part:
    part = Part()
    shapes = {key: tuple(value.shape) for key, value in part.state_dict().items()}
    state = {key: torch.from_numpy(fill(renamed.get(key, key), shape)) for key, shape in shapes.items()}
    part.load_state_dict(state | {"table": part.table, "mask": part.mask})
    return part.double().eval()


def test_every_kind_of_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with prefixes, buffers that stay, a converted key, float64, a gradient, a number, integers, an optional output."""
    x = torch.from_numpy(fill_input("x", (2, 2, 3, 4), 2.0, -1.0)).double()
    leaf = x.clone().requires_grad_()
    expected = _part_by_hand({"norm.weight": "scale.weight"})(_part_by_hand({})(leaf))
    (gradient,) = torch.autograd.grad(expected.square().mean(), leaf)

    def describe(values: Tensor) -> dict[str, Any]:
        array = values.detach().double().numpy()
        flat = array.ravel()
        return {
            "shape": list(array.shape),
            "mean": flat.mean(),
            "std": flat.std(),
            "sample": flat[sample_positions(flat.size)].tolist(),
        }

    keys = {"a/" + key: value for key, value in Part().state_dict().items()} | {
        "b/" + key: value for key, value in Part().state_dict().items()
    }
    shapes = {key.replace("b/norm.weight", "b/scale.weight"): list(value.shape) for key, value in keys.items()}
    table: dict[str, Any] = {
        "model": "fake",
        "dtype": "float64",
        "state_dict": shapes,
        "inputs": {"x": {"shape": [2, 2, 3, 4], "scale": 2.0, "shift": -1.0}},
        "outputs": {
            "out": describe(expected),
            "grad100": describe(100 * gradient),
            "loss": describe(expected.square().mean().reshape(1)),
            "winner": describe(expected.argmax(1)),
            "random": describe(torch.zeros(1)),
        },
        "atol": 1e-12,
    }

    def adapt(golden: Golden) -> Case:
        a, b = Part(), Part()

        def run(inputs: Mapping[str, Tensor]) -> dict[str, adaptors.Value]:
            assert not torch.is_grad_enabled()
            with torch.enable_grad():
                leaf = inputs["x"].clone().requires_grad_()
                out = b(a(leaf))
                loss = out.square().mean()
                (gradient,) = torch.autograd.grad(loss, leaf)
            return {"out": out, "grad100": 100 * gradient.numpy(), "loss": float(loss), "winner": out.argmax(1)}

        def convert(state: adaptors.State) -> adaptors.State:
            return state | {"b/norm.weight": state.pop("b/scale.weight")}

        return Case("fake", run, (("a/", a), ("b/", b)), ("mask",), convert, frozenset({"random"}))

    monkeypatch.setattr(adaptors, "known_models", lambda: {"fake": SimpleNamespace(adapt=adapt)})
    result = check(table)
    assert result.status == "ok", str(result)

    table["outputs"]["grad100"]["sample"][3] += 1e-9
    assert check(table).status == "FAILED"


def test_without_initialisation_leaves_nothing_behind() -> None:
    before = nn.init.kaiming_uniform_
    with without_initialisation(), pytest.raises(NotBuiltError):
        assert nn.init.kaiming_uniform_ is not before
        raise NotBuiltError
    assert nn.init.kaiming_uniform_ is before
