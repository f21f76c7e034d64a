"""The benchmark of quality, on pictures and a model that take no time."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks import quality
from tests.cli.conftest import save_photo
from tests.tiny import write_tiny_card


def test_the_table_has_every_trial_and_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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


def test_every_trial_has_its_degradation() -> None:
    from restorekit.degradations import get_degradation
    from restorekit.evaluation.baselines import find_baseline

    for task in quality.TASKS.values():
        assert all(find_baseline(name) for name in task.baselines)
        for trial in (*task.trials, *task.keeps):
            table = {**quality.recipe_settings("multi-output-compact", trial.degradation), **trial.settings}
            assert callable(get_degradation(trial.degradation, table, whole=not trial.settings))


def test_a_verb_of_several_models_is_measured_as_it_restores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, line, scale in (("weak", "default_for", 0.02), ("strong", "contends_for", 0.5)):
        card = write_tiny_card(tmp_path / "zoo", name, scale)
        card.write_text(f'{line} = ["deblur"]\n' + card.read_text())
    monkeypatch.setattr("restorekit.zoo.find._shipped_folder", lambda: tmp_path / "zoo")
    save_photo(tmp_path / "clean/a.png")
    arguments = ["--task", "deblur", "--clean", tmp_path / "clean", "--no-baselines", "--recipe", "none"]
    figures = {}
    for name, options in {"verb": [], "strong": ["--model", tmp_path / "zoo/strong.toml"]}.items():
        monkeypatch.setattr(sys, "argv", ["quality.py", *map(str, [*arguments, *options, "--json", tmp_path / f"{name}.json"])])
        quality.main()
        figures[name] = json.loads((tmp_path / f"{name}.json").read_text())
    assert "weak or strong" in capsys.readouterr().out
    found = figures["verb"]["weak or strong: only turn"]["subjects"][1]["summary"]
    assert found == figures["strong"]["strong: only turn"]["subjects"][1]["summary"]


def test_what_is_to_stay_is_compared_with_itself(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png", size=(60, 50))
    (trial,) = quality.TASKS["dereflect"].keeps
    (sample,) = quality.kept(trial, [tmp_path], "none", 1)
    (taken,) = quality.degraded(trial, [tmp_path], "none", 1)
    assert (sample.image == taken.image).all() and sample.target is sample.image
    assert (taken.image != taken.target).any()
