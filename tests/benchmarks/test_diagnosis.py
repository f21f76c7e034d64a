"""The benchmark of ``restorekit auto``, on a small picture."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from restorekit import images
from restorekit.images import Image

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "diagnosis.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the benchmarks are not part of this distribution")


def test_each_kind_has_a_line_and_each_line_every_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("diagnosis_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "diagnosis_benchmark", module)
    spec.loader.exec_module(module)
    values = np.random.default_rng(0).normal(0.5, 0.1, (128, 128, 3)).clip(0, 1)
    for name in ("in/a.png", "in/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        images.write(Image(images.quantise(values.astype(np.float32), np.uint8)), tmp_path / name)
    folder, out = tmp_path / "in", tmp_path / "out.json"
    arguments = ["--clean", folder, "--as-they-are", folder, "--kinds", "noise", "haze", "--seed", "7", "--json", out]
    monkeypatch.setattr(sys, "argv", ["diagnosis.py", *map(str, arguments)])
    module.main()
    counts = json.loads(out.read_text())
    assert list(counts)[:3] == ["clean", "noise", "haze"] or list(counts)[2].startswith("noise above")
    assert all(sum(verbs.values()) == 2 for verbs in counts.values())
    assert counts["clean"] == counts[str(folder)] == {"denoise": 2}
    assert "| clean" in capsys.readouterr().out and "seed 7" not in json.dumps(counts)
