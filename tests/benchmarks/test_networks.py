from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.networks import Case, Figures, markdown

ROOT = Path(__file__).parents[2]


def test_a_row_for_each_network_and_size() -> None:
    results = [
        (Case("a", "compact", 256, 1, 3), Figures(2_000_000, 2_210_000_000, 0.4, 2**20)),
        (Case("a", "compact", 256, 2, 3), Figures(2_000_000, 2_210_000_000, 0.25, 3 * 2**20)),
        (Case("a", "compact", 512, 1, 3), None),
        (Case("a", "compact", 512, 2, 3), None),
    ]
    assert markdown(results, [1, 2]).splitlines() == [
        "| method | preset | parameters | size | GMACs | s, 1 thread | s, 2 threads | MiB |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| a | compact | 2.00 M | 256 x 256 | 2.2 | 0.40 | 0.25 | 3 |",
        "| a | compact | - | 512 x 512 | - | - | - | - |",
    ]


def test_a_case_is_measured(tmp_path: Path) -> None:
    method, out = "infwide", tmp_path / "figures.json"  # needs a PSF, too
    # several times the 64 x 64 of the first pass: the peak of an equal one may not stand out from what that has left
    options = f"--methods {method} --presets compact --sizes 192 --threads 1 --passes 1 --json {out}"
    command = [sys.executable, str(ROOT / "benchmarks" / "networks.py"), *options.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    assert f"| {method} | compact | " in done.stdout
    (figures,) = json.loads(out.read_text())
    assert 1e6 < figures["parameters"] < 4e6
    assert figures["macs"] > 1e9
    assert figures["seconds"] > 0
    assert figures["bytes"] > 4 * figures["parameters"]
