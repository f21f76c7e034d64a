from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory import Case, Figures, bytes_per_pixel, peaks_table, slopes_table, write_figures
from restorekit.zoo import list_cards, load_card

ROOT = Path(__file__).parents[2]


def test_slope_without_what_every_run_takes() -> None:
    assert bytes_per_pixel({100**2: 5_000_000, 200**2: 35_000_000, 300**2: 85_000_000}) == 1008  # 1000, in steps of 16
    assert bytes_per_pixel({100**2: 9_600_000, 200**2: 38_400_000}) == 960


def test_every_tile_stays_within_the_figure() -> None:
    assert bytes_per_pixel({100**2: 20_000_000, 200**2: 40_000_000}) == 2000


def test_tables() -> None:
    results = [
        (Case("cbsn-compact", "bf16", 256, 256), Figures(64 * 2**20, 0, "")),
        (Case("cbsn-compact", "bf16", 512, 512), Figures(260 * 2**20, 0, "")),
    ]
    table, slopes = slopes_table(results)
    assert slopes == {("cbsn-compact", "bf16"): 1056}
    assert table.splitlines()[2] == "| cbsn-compact | bf16 | 64 | 260 | 384 | 1056 |"
    peaks = peaks_table([(Case("a", "fp32", 30, 40, False), Figures(0, 2**30, "cpu, fp32, whole, 0.1 s"))])
    assert peaks.splitlines()[2] == "| a | fp32 | 40 x 30 | cpu, fp32, whole, 0.1 s | 1024 |"


def test_figures_go_into_the_card_and_change_nothing_else(tmp_path: Path) -> None:
    shipped = list_cards()[0]
    path = tmp_path / shipped.path.name
    shutil.copy(shipped.path, path)
    write_figures(path, {"fp32": 1000})
    write_figures(path, {"bf16": 512})
    card = load_card(path)
    assert card.memory is not None
    assert card.memory.bytes_per_pixel["fp32"] == 1000 and card.memory.bytes_per_pixel["bf16"] == 512
    assert {**card.to_table(), "memory": None} == {**shipped.to_table(), "memory": None}


@pytest.mark.parametrize(
    "options",
    [["--sizes", "64"], ["--image", "80x112"], ["--image", "80x112", "--strips"]],
    ids=["slope", "peak", "strips"],
)
def test_a_model_is_measured(options: list[str]) -> None:
    model = ["--models", "infwide-compact", "--precisions", "fp32"]  # needs a PSF, too
    command = [sys.executable, str(ROOT / "benchmarks" / "memory.py"), *model, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    row = done.stdout.splitlines()[2].split(" | ")
    assert row[0] == "| infwide-compact"
    if options[0] == "--image":
        assert row[2] == "112 x 80" and row[3].startswith("cpu, fp32, whole") and 100 < int(row[4].rstrip(" |")) < 4000
    else:
        assert int(row[-1].rstrip(" |")) >= 16
