"""``restorekit bench``: a row for every model and backend, and what is said where one does not run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from restorekit.errors import RestoreKitError, SettingError
from restorekit.inference import measuring
from restorekit.inference.measuring import Figures
from restorekit.zoo import Card
from tests.cli.conftest import Run

FAST = Figures("cpu", "fp32", None, 1, 2_000_000, 3.0, (0.5, 0.25, 2.0), 300 * 2**20)
CUT = Figures("cuda:0", "bf16", (512, 640), 6, 2_000_000, 9.0, (4.0,), 600 * 2**20, 2**30)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], tuple[int, int], int]]:
    """What was to be measured; onnx fails, and compiled is slow."""
    seen: list[tuple[str, dict[str, Any], tuple[int, int], int]] = []

    def bench(
        card: Card, engines: Sequence[Mapping[str, Any]], size: tuple[int, int], passes: int
    ) -> Iterator[Figures | RestoreKitError]:
        for engine in engines:
            seen.append((card.name, dict(engine), size, passes))
            yield {"onnx": SettingError("no such thing", "Leave it"), "compiled": CUT}.get(engine["backend"], FAST)

    monkeypatch.setattr(measuring, "bench", bench)
    return seen


def test_a_row_for_every_model_and_backend(run: Run, card: Path, asked: list[Any]) -> None:
    done = run("bench", card, "cbsn-compact", "--backend", "torch,compiled", "--size", "100x200", "--passes", "2")
    assert done.exit_code == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split("  ")[0] == "Model" and "Mpixel/s" in head and "On device, MiB" in head
    assert rows[0].split() == ["tiny", "torch", "cpu", "fp32", "whole", "4", "0.500", "0.250", "3.000", "300", "-"]
    assert rows[1].split()[:7] == ["tiny", "compiled", "cuda:0", "bf16", "6", "of", "640x512"] and rows[1].split()[-1] == "1024"
    assert [(name, engine["backend"]) for name, engine, _, _ in asked] == [
        ("tiny", "torch"),
        ("tiny", "compiled"),
        ("cbsn-compact", "torch"),
        ("cbsn-compact", "compiled"),
    ]
    assert asked[0][2:] == ((100, 200), 2)


def test_json_has_all_figures_and_errors(run: Run, card: Path, asked: list[Any]) -> None:
    done = run("bench", card, "--backend", "torch", "--backend", "onnx", "--json")
    assert done.exit_code == 1
    assert "restorekit: tiny with onnx: no such thing. Leave it." in done.stderr
    report = json.loads(done.stdout)
    assert report["command"] == "bench" and report["size"] == [1024, 1024]
    torch, onnx = report["results"]
    assert torch["seconds"] == [0.5, 0.25, 2.0] and (torch["median"], torch["best"]) == (0.5, 0.25)
    assert torch["megapixels_per_second"] == 4.0 and torch["memory"] == 300 * 2**20 and torch["error"] is None
    assert onnx == {"model": "tiny", "backend": "onnx", "error": "no such thing. Leave it."}


def test_a_device_is_a_provider_to_onnxruntime_and_nothing_to_pytorch(run: Run, card: Path, asked: list[Any]) -> None:
    run("bench", card, "--backend", "onnx,torch", "--device", "cuda:1")
    assert [engine["provider"] for _, engine, _, _ in asked] == ["cuda", "auto"]
    run("bench", card, "--backend", "onnx,torch", "--provider", "openvino", "--tile", "64")
    assert [(engine["provider"], engine["tile"]) for _, engine, _, _ in asked[2:]] == [("openvino", 64), ("auto", 64)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "unknown model 'nonsense'"),
        (["cbsn-compact", "--backend", "onyx"], "unknown backend 'onyx'. Did you mean 'onnx'?"),
        (["cbsn-compact", "--size", "512"], "'512' is not a size"),
        (["cbsn-compact", "--size", "0x512"], "'0x512' is not a size"),
        (["cbsn-compact", "--backend", "onnx"], "no such thing"),
        (["cbsn-compact", "--passes", "0"], "'--passes'"),
    ],
)
def test_what_cannot_be_right_is_said(run: Run, asked: list[Any], arguments: list[str], said: str) -> None:
    done = run("bench", *arguments)
    assert done.exit_code == 2 and said in " ".join(done.stderr.replace("│", " ").split())


def test_a_model_is_measured(run: Run, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    done = run("bench", card, "--size", "40x60", "--device", "cpu", "--precision", "fp32", "--passes", "1", "--json")
    (found,) = json.loads(done.stdout)["results"]
    assert found["device"] == "cpu" and found["tile"] is None and found["pixels"] == 2400 and found["median"] > 0
