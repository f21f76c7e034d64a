"""Batches that are stopped on the way, and go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from restorekit import Restorer
from restorekit.inference.journal import FILE_NAME
from tests.cli.conftest import Run, pixels, save_photo


def test_the_summary_of_an_interrupted_batch_counts_what_stands(run: Run, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        save_photo(Path(f"in/{number}.png"), number)
    call, calls = Restorer.__call__, []

    def interrupted(self: Restorer, image: Any, **options: Any) -> Any:
        calls.append(image)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return call(self, image, **options)

    monkeypatch.setattr(Restorer, "__call__", interrupted)
    stopped = run("infer", "-m", card, "in", "-o", "out")
    assert stopped.exit_code == 130 and "restorekit: interrupted; 2 done in" in stopped.stderr
    assert [number for number in range(4) if f"in/{number}.png -> out/{number}.png" in stopped.stderr] == [0, 1]
    assert "2 done, 2 up to date" in run("infer", "-m", card, "in", "-o", "out").stderr
    again = run("infer", "-m", card, "in", "-o", "out").stderr
    assert "4 up to date" in again and "(up to date" not in again  # a count, not the last of them by its name


def test_twenty_images_one_broken_killed_then_interrupted_then_finished(tmp_path: Path, card: Path) -> None:
    for number in range(20):  # large enough that a run of them does not end before it is seen and stopped
        save_photo(tmp_path / "in" / f"{number:02}.png", number, (1024, 768))
    broken = tmp_path / "in" / "03.png"
    broken.write_bytes(broken.read_bytes()[:200])
    out = tmp_path / "out"

    process = start(card, tmp_path)
    wait_for_results(out, 4, process)
    process.kill()
    _, errors = process.communicate()
    killed = stamps(out)
    assert 4 <= len(killed) < 19, errors

    process = start(card, tmp_path)
    wait_for_results(out, len(killed) + 4, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    interrupted = stamps(out)
    assert len(killed) < len(interrupted) < 19, errors
    assert process.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors

    process = start(card, tmp_path, "--json")
    output, errors = process.communicate()
    finished = stamps(out)
    assert process.returncode == 1
    assert "03.png" in errors
    assert {p.name for p in out.iterdir()} - finished.keys() == {FILE_NAME}
    assert sorted(finished) == [f"{n:02}.png" for n in range(20) if n != 3]
    assert all(pixels(out / name).shape == (768, 1024, 3) for name in finished)
    assert killed.items() <= interrupted.items() <= finished.items()
    assert (
        json.loads(output)["totals"].items() >= {"done": 19 - len(interrupted), "skipped": len(interrupted), "failed": 1}.items()
    )


def start(card: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "restorekit",
        "infer",
        "-m",
        str(card),
        str(folder / "in"),
        "-o",
        str(folder / "out"),
        *options,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_results(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*.png"))) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def stamps(folder: Path) -> dict[str, int]:
    """When each result was written; a result that is made again has another stamp."""
    return {p.name: p.stat().st_mtime_ns for p in folder.glob("*.png")}
