from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.export import Figures, Row, markdown

ROOT = Path(__file__).parents[2]


def test_a_row_for_each_network_and_part() -> None:
    rows = [
        Row("a-compact", "", Figures(1.25e-7, 3 * 2**20, 0.5), Figures(2e-6, 2**21, None)),
        Row("a-compact", "pose", Figures(3e-9, 2**20, None), None),
    ]
    assert markdown(rows, 256).splitlines() == [
        "| model | 256 x 256: largest error | 256 x 256: MiB | 256 x 256: ONNX / torch "
        "| any size: largest error | any size: MiB | any size: ONNX / torch |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| a-compact | 1.2e-07 | 3.0 | 0.50 | 2.0e-06 | 2.0 | - |",
        "| a-compact, pose | 3.0e-09 | 1.0 | - | - | - | - |",
    ]


@pytest.mark.slow
def test_a_model_is_exported_and_timed() -> None:
    pytest.importorskip("onnxscript")
    options = ["--methods", "cbsn", "--presets", "compact-l", "--size", "66", "--passes", "1"]
    command = [sys.executable, str(ROOT / "benchmarks" / "export.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    model, *cells = done.stdout.splitlines()[2].strip("| ").split(" | ")
    assert model == "cbsn-compact-l"
    for error, size, ratio in (cells[:3], cells[3:]):
        assert 0 < float(error) < 1e-4 and 0.5 < float(size) < 2 and float(ratio) > 0
