"""Graphs in int8: near PyTorch on photographs like those they were shown, or not written."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restorekit.errors import NumericalError, UsageError
from restorekit.export import checking, export
from restorekit.export.quantising import middle, quantised
from restorekit.inference import Restorer
from restorekit.zoo import load_card
from tests.inference.networks import picture

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, side in enumerate((90, 300)):
        Image.fromarray((picture(side, 120 + number) * 255).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def test_int8_is_near_on_photographs_like_those_shown(card: Path, photographs: Path, tmp_path: Path) -> None:
    done = export(load_card(card), tmp_path / "small.onnx", size=(64, 96), precision="int8", calibrate=photographs)
    assert 40 < done.psnr < 80 and len(done.checks) == 3
    types = {node.op_type for node in onnx.load(done.path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= types
    restorer = Restorer.from_card(done.path)
    expected = Restorer.from_card(card, precision="fp32", device="cpu")
    small = picture(64, 96)
    found = restorer(small)
    assert found.run.precision == "int8"
    error = found.image.pixels - expected(small).image.pixels
    assert 0 < float(np.square(error).mean()) < 1e-4


@pytest.mark.parametrize("region", [0, 40])
def test_a_cautious_answer_survives_int8(card: Path, photographs: Path, tmp_path: Path, region: int) -> None:
    """The input travels through the graph as it is, and caution is made of it outside."""
    careful = load_card(card)
    careful = replace(careful, config={**careful.config, "answer": "cautious", "doubt_region": region})
    done = export(careful, tmp_path / "small.onnx", size=(64, 96), precision="int8", calibrate=photographs)
    assert done.facts.maps == (("heads", "given", "evidence") if region else ("heads", "given"))
    makers = {name: node.op_type for node in onnx.load(done.path).graph.node for name in node.output}
    assert makers["given_out"] == "Identity"
    small = picture(64, 96)
    found, near, mean = (
        Restorer.from_card(model, device="cpu")(small).image.pixels for model in (done.path, careful, load_card(card))
    )
    assert np.square(found - near).mean() < 1e-4 and np.square(near - mean).mean() > 4 * np.square(found - near).mean()


def test_int8_that_is_not_near_is_not_written(
    card: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "LEAST_PSNR", 90.0)
    with pytest.raises(NumericalError, match="dB from PyTorch, and 90 is the least"):
        export(load_card(card), tmp_path / "out" / "small.onnx", size=(64, 64), precision="int8", calibrate=photographs)
    assert not list(tmp_path.rglob("*.onnx"))


def test_int8_needs_photographs_and_nothing_else_does(card: Path, tmp_path: Path) -> None:
    target, model = tmp_path / "x.onnx", load_card(card)
    with pytest.raises(UsageError, match="needs photographs"):
        export(model, target, precision="int8")
    with pytest.raises(UsageError, match="only int8"):
        export(model, target, calibrate=tmp_path)
    with pytest.raises(UsageError, match="holds no photographs"):
        export(model, target, precision="int8", calibrate=tmp_path)


def test_the_middle_of_a_photograph() -> None:
    photograph = np.arange(3 * 5 * 4, dtype=np.float32).reshape(1, 3, 5, 4)
    assert np.array_equal(middle(photograph, (3, 2)), photograph[:, :, 1:4, 1:3])
    larger = middle(photograph, (5, 9))
    assert larger.shape == (1, 3, 5, 9) and np.array_equal(larger[..., :4], photograph)


def test_a_folder_that_cannot_be_removed_spoils_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where ONNX Runtime may have a file of it open still."""

    def held(path: str, **options: int | None) -> None:
        if Path(path).name.startswith("tmp"):  # ONNX Runtime has folders of its own, with other names
            raise OSError(errno.EBUSY, "held")
        rmdir(path, **options)

    rmdir = os.rmdir
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    answer = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2, 8, 8])
    weights = onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32) / 3, "w")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Conv", ["x", "w"], ["y"])], "mean", [value], [answer], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", held)
        done = quantised(model, [{"x": np.ones((1, 3, 8, 8), np.float32)}])
    assert "QuantizeLinear" in {node.op_type for node in done.graph.node} and list(tmp_path.iterdir())
