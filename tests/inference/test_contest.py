"""Which of several models a photograph gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit import images
from restorekit.inference import Contest, Restorer, restore
from restorekit.inference.contest import WINDOW, WINDOWS, _windows
from restorekit.zoo import find
from tests.inference.networks import SHORT, Mean3, picture, restorer_of
from tests.tiny import write_tiny_card

SETTINGS: dict[str, Any] = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def contest() -> Contest:
    """One that changes all pictures a little, and one that changes nothing but grain."""
    mean = Mean3()
    return Contest([restorer_of(SHORT, name="steady"), Restorer(mean, 0, mean.build(0), name="soften", **SETTINGS)])


def smooth(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 0.5, np.float32) + np.linspace(-0.2, 0.2, width, dtype=np.float32)[:, None]


def grainy(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (height, width, 3)).astype(np.float32)


def test_the_one_that_changes_a_photograph_most_restores_it(contest: Contest) -> None:
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


def test_one_alone_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    restorer = restorer_of(SHORT)
    monkeypatch.setattr(Restorer, "__call__", None)
    assert Contest([restorer]).choose(images.Image.from_array(grainy(20, 30))) is restorer


@given(height=st.integers(1, 700), width=st.integers(1, 700))
def test_parts_lie_inside_are_small_and_spread(height: int, width: int) -> None:
    rows = np.arange(height, dtype=np.float32)[:, None, None].repeat(width, 1)
    columns = np.arange(width, dtype=np.float32)[None, :, None].repeat(height, 0)
    parts = list(_windows(images.Image(rows))), list(_windows(images.Image(columns)))
    for side, found, axis in ((height, parts[0], 0), (width, parts[1], 1)):
        assert 1 <= len(found) <= WINDOWS**2
        length = min(side, WINDOW)
        assert {part.pixels.shape[axis] for part in found} == {length}
        first, last = min(part.pixels.min() for part in found), max(part.pixels.max() for part in found)
        assert abs(first - (side - 1 - last)) <= 1  # as far from one side as from the other
        if side >= WINDOW * WINDOWS:
            assert len({float(part.pixels.min()) for part in found}) == WINDOWS


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
