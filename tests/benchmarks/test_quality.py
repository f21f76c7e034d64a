"""The benchmark of quality, on pictures and a model that take no time."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.conftest import save_photo
from tests.tiny import write_tiny_card

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "quality.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="the benchmarks are not part of this distribution")


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "quality", module)
    spec.loader.exec_module(module)
    return module


def test_the_table_has_every_trial_and_method(
    quality: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, name in enumerate(("a/x.png", "b/x.png", "b/y.png")):
        save_photo(tmp_path / "clean" / name, seed)
    card = write_tiny_card(tmp_path / "card")
    out = tmp_path / "out"
    arguments = ["--model", card, "--task", "deblur", "--clean", tmp_path / "clean", "--json", out / "q.json", "--report", out]
    monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, arguments)])
    quality.main()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line]
    trials = ["motion blur, mixed", "only shake", "only turn", "only object"]
    expected = [[trial, "3", name] for trial in trials for name in ("input", "tiny", "wiener", "richardson-lucy")]
    assert [line[:3] for line in lines[2:]] == [*expected, ["sharp, left alone", "3", "tiny"]]
    figures = json.loads((out / "q.json").read_text())
    turn = figures["tiny: only turn"]
    assert f"{turn['subjects'][1]['summary']['psnr']['mean']:.2f}" == lines[2 + 9][3]
    assert len({image["name"] for image in turn["images"]}) == 3  # though two are called x
    assert (out / "tiny-only-turn.html").is_file()


def test_every_trial_has_its_degradation(quality: ModuleType) -> None:
    from restorekit.degradations import get_degradation
    from restorekit.evaluation.baselines import find_baseline

    for task in quality.TASKS.values():
        assert all(find_baseline(name) for name in task.baselines)
        for trial in task.trials:
            table = {**quality.recipe_settings("multi-output-compact", trial.degradation), **trial.settings}
            assert callable(get_degradation(trial.degradation, table, whole=not trial.settings))
