"""The benchmark of ``restorekit auto``, on a small picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import diagnosis
from restorekit import images
from restorekit.images import Image


def test_each_kind_has_a_line_and_each_line_every_photograph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, (128, 128, 3)).clip(0, 1)
    folder, out = Path(":cat:"), tmp_path / "out.json"
    (tmp_path / folder).mkdir()
    for name in ("a.png", "b.png"):
        images.write(Image(images.quantise(values.astype(np.float32), np.uint8)), tmp_path / folder / name)
    monkeypatch.chdir(tmp_path)
    arguments = ["--clean", folder, "--as-they-are", folder, "--kinds", "noise", "haze", "--seed", "7", "--json", out]
    monkeypatch.setattr(sys, "argv", ["diagnosis.py", *map(str, arguments)])
    diagnosis.main()
    counts = json.loads(out.read_text())
    assert list(counts)[:3] == ["clean", "noise", "haze"] or list(counts)[2].startswith("noise above")
    assert all(sum(verbs.values()) == 2 for verbs in counts.values())
    assert counts["clean"] == counts[str(folder)] == {"denoise": 2}
    shown = capsys.readouterr().out
    assert "| clean" in shown and "| :cat:" in shown
