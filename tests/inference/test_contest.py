"""Which of several models a photograph gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from restorekit import images
from restorekit.inference import Contest, Restorer, change_by, restore, taken_off_by
from restorekit.inference.contest import WINDOW, WINDOWS, _windows
from restorekit.zoo import find
from tests.inference.networks import METHOD, SHORT, Mean3, network_of, picture, restorer_of
from tests.tiny import write_other_card, write_tiny_card

SETTINGS: dict[str, Any] = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def contest() -> Contest:
    """One that changes all pictures, and one that changes hardly anything but grain."""
    mean = Mean3()
    steady = Restorer(METHOD, SHORT, network_of(SHORT, 0.2), name="steady", **SETTINGS)
    return Contest([steady, Restorer(mean, 0, mean.build(0), name="soften", **SETTINGS)])


def smooth(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 0.5, np.float32) + np.linspace(-0.2, 0.2, width, dtype=np.float32)[:, None]


def grainy(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (height, width, 3)).astype(np.float32)


def test_another_restores_what_it_changes_about_as_much_as_the_first(contest: Contest) -> None:
    assert contest.name == "steady or soften"
    for given_, name in ((smooth(300, 500), "steady"), (grainy(300, 500), "soften")):
        chosen = contest.choose(images.Image.from_array(given_))
        assert chosen.name == name
        result = contest(given_)
        assert result.run.model == name
        assert (result.to_array() == chosen(given_).to_array()).all()


def test_where_nothing_changes_the_first_restores() -> None:
    idle = [restorer_of(SHORT, name=name) for name in ("first", "second")]
    for restorer in idle:
        for parameter in restorer._engine.backend.network.parameters():  # type: ignore[union-attr]
            torch.nn.init.zeros_(parameter)
    assert Contest(idle).choose(images.Image.from_array(grainy(40, 50))).name == "first"


def test_how_much_another_must_change(monkeypatch: pytest.MonkeyPatch) -> None:
    contest = Contest([restorer_of(SHORT, name=name) for name in ("first", "second", "third")])
    for changes, name in (
        ((0.1, 0.081, 0.0), "second"),
        ((0.1, 0.079, 0.0), "first"),
        ((0.1, 0.09, 0.095), "third"),
        ((0.001, 0.017, 0.0), "second"),
        ((0.001, 0.015, 0.0), "first"),
    ):
        found = dict(zip(("first", "second", "third"), changes, strict=True))
        monkeypatch.setattr("restorekit.inference.contest.change_by", lambda restorer, image, found=found: found[restorer.name])
        assert contest.choose(images.Image.from_array(grainy(20, 30))).name == name


def test_what_changes_hardly_anything_takes_no_place() -> None:
    mean = Mean3()
    for amount, name in ((0.01, "steady"), (0.5, "soften")):
        steady = Restorer(mean, 0, torch.nn.Identity(), name="steady", **SETTINGS)
        contest = Contest([steady, Restorer(mean, 0, mean.build(0), name="soften", **SETTINGS)])
        assert contest.choose(images.Image.from_array(0.25 + amount * grainy(200, 210))).name == name
        assert contest(grainy(20, 20), strength=0).run.model == "steady"


def test_one_alone_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = restorer_of(SHORT)
    monkeypatch.setattr(Restorer, "change", None)
    assert Contest([restorer]).choose(images.Image.from_array(grainy(20, 30))) is restorer


def test_what_is_wanted_besides_is_asked_of_the_first_and_not_of_trials(contest: Contest) -> None:
    values = grainy(300, 500)
    told: list[tuple[int, int]] = []
    result = contest(values, progress=lambda done, tiles: told.append((done, tiles)), on_note=lambda text: None)
    assert told == [(0, 1), (1, 1)] and result.run.model == "soften"
    more = contest(values, candidates=True, spread=True)
    assert more.run.model == "steady" and len(more.candidates) == 3 and more.spread is not None


def test_parts_are_of_the_photograph_and_of_all_of_it() -> None:
    values = np.arange(500 * 330, dtype=np.float32).reshape(500, 330, 1)
    parts = [part.pixels for part in _windows(images.Image(values))]
    assert len(parts) == 6 and {part.shape for part in parts} == {(WINDOW, WINDOW, 1)}  # three times two have room
    assert parts[0][0, 0] == 0 and parts[-1][-1, -1] == values.max()
    assert [part.pixels.shape for part in _windows(images.Image(values[:50, :400]))] == [(50, WINDOW, 1)] * 2
    assert len(list(_windows(images.Image(np.zeros((3000, 4000, 3), np.uint8))))) == WINDOWS**2


def test_what_a_model_changes_is_a_root_mean_square() -> None:
    mean = Mean3()
    restorer = Restorer(mean, 0, mean.build(0), **SETTINGS)
    values = grainy(120, 130)
    expected = float(np.sqrt(((restorer(values).to_array() - values) ** 2).mean()))
    assert change_by(restorer, images.Image(values)) == pytest.approx(expected, rel=1e-5)
    cut = Restorer(mean, 0, mean.build(0), tile=16, memory=1, **SETTINGS)  # which is for what is restored
    assert change_by(cut, images.Image(values)) == change_by(restorer, images.Image(values))
    eight = images.quantise(values, "uint8")
    assert change_by(restorer, images.Image(eight)) == pytest.approx(expected, rel=1e-2)


def test_an_image_in_its_file_gets_the_same_one(contest: Contest, tmp_path: Path) -> None:
    for number, values in enumerate((smooth(400, 410), grainy(400, 410))):
        path = tmp_path / f"{number}.tif"
        tifffile.imwrite(path, images.quantise(values, "uint16"))
        large = images.open_large(path, scratch=tmp_path)
        assert large is not None
        assert contest.choose(large) is contest.choose(images.read(path))


def test_restoring_without_a_model_holds_the_contest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line, scale in (("weak", "default_for", 0.02), ("strong", "contends_for", 0.5)):
        path = write_tiny_card(tmp_path, name, scale)
        path.write_text(f'{line} = ["deblur"]\n' + path.read_text())
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path)
    values = picture(60, 50)
    result = restore(values, **SETTINGS)
    assert result.run.model == "strong"
    assert (result.to_array() == restore(values, "strong", **SETTINGS).to_array()).all()
    assert restore(values, "weak", **SETTINGS).run.model == "weak"


def test_more_than_the_answer_can_be_asked_for_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_card(tmp_path, "plain")
    path.write_text('default_for = ["deblur"]\n' + path.read_text())
    psf = write_other_card(tmp_path, "infwide")
    psf.rename(tmp_path / "a.toml")  # comes first
    (tmp_path / "a.toml").write_text('default_for = ["deblur"]\n' + (tmp_path / "a.toml").read_text())
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path)
    told: list[tuple[int, int]] = []
    progress = lambda done, tiles: told.append((done, tiles))  # noqa: E731
    result = restore(picture(60, 50), candidates=True, spread=True, progress=progress, on_note=print, **SETTINGS)
    assert result.run.model == "plain" and len(result.candidates) == 2 and result.spread is not None
    assert told == [(0, 1), (1, 1)]


def test_a_model_is_loaded_when_it_is_first_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_card(tmp_path, "plain")
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path)
    ask = taken_off_by("deblur", **SETTINGS)  # there is no default yet
    path.write_text('default_for = ["deblur"]\n' + path.read_text())
    image = images.Image(picture(60, 50))
    assert ask(image) == change_by(Restorer.from_card(path, **SETTINGS), image) > 0
    path.unlink()
    assert ask(image) > 0  # it is kept


def test_a_copy_of_the_whole_is_tried_on_if_asked_for(tmp_path: Path) -> None:
    restorer = Restorer.from_card(write_tiny_card(tmp_path, "plain"), **SETTINGS)
    small = images.Image(picture(60, 50))
    assert change_by(restorer, small, whole=True) == pytest.approx(change_by(restorer, small), rel=1e-5)
    large = images.Image(picture(60, 50).repeat(16, 0).repeat(16, 1))
    means = images.to_float(picture(60, 50).repeat(8, 0).repeat(8, 1))
    assert change_by(restorer, large, whole=True) == pytest.approx(restorer.change(images.Image(means)) ** 0.5, rel=1e-5)
