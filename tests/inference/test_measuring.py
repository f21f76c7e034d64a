"""What is measured is what the engine does; wall-clock times are only asked to be there."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from restorekit.errors import OutOfMemoryError, RestoreKitError, SettingError, UnknownNameError
from restorekit.inference import measuring
from restorekit.inference.measuring import Case, Figures, apart, bench, measure, usable
from restorekit.zoo import Card, load_card
from tests.tiny import TINY, write_tiny_card


def here(function: object, *arguments: object) -> object:
    return function(*arguments)  # type: ignore[operator]


def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "apart", here)


def end() -> None:
    os._exit(1)


def fail(error: RestoreKitError) -> None:
    raise error


def test_a_case_is_a_run_of_the_engine(tmp_path: Path) -> None:
    card = write_tiny_card(tmp_path)
    case = Case(str(card), (50, 120), {"device": "cpu", "precision": "fp32", "tile": 64, "overlap": 8}, passes=3)
    figures = measure(case, {})
    assert (figures.device, figures.precision, figures.tile) == ("cpu", "fp32", (50, 64))
    assert figures.tiles == 3 and figures.pixels == 6000 and len(figures.seconds) == 3
    assert 0 < figures.best <= figures.median and figures.first > 0
    assert 10**8 < figures.memory < 2**35 and figures.device_memory is None


def test_slow_models_do_fewer_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "ENOUGH_SECONDS", 0.0)
    figures = measure(Case(str(write_tiny_card(tmp_path)), (16, 16), {"device": "cpu"}), {})
    assert len(figures.seconds) == 1


def test_rate_is_of_the_pass_in_the_middle() -> None:
    figures = Figures("cpu", "fp32", None, 1, 3_000_000, 9.0, (2.0, 1.5, 40.0), 1)
    assert (figures.megapixels, figures.median, figures.best) == (1.5, 2.0, 1.5)


def test_a_configuration_without_weights_runs_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    seen: list[Path] = []
    measured = measuring.measure

    def noted(case: Case, extras: dict[str, np.ndarray]) -> Figures:
        seen.append(Path(case.model))
        assert case.cache == str(seen[-1].parent)  # graphs of weights nobody has are no use later
        return measured(case, extras)

    monkeypatch.setattr(measuring, "measure", noted)
    monkeypatch.setenv("RESTOREKIT_CACHE", "elsewhere")
    card = Card(name="some", method="multi-output", tasks=("deblur",), config=TINY)
    (figures,) = bench(card, [{"device": "cpu"}], (32, 48), passes=1)
    assert isinstance(figures, Figures) and figures.pixels == 32 * 48
    assert len(seen) == 1 and not seen[0].exists()


def test_what_cannot_run_keeps_nothing_else_from_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_this_process(monkeypatch)
    card = load_card(write_tiny_card(tmp_path))
    wrong, right = bench(card, [{"device": "cpu", "tile": 1}, {"device": "cpu"}], (16, 16), passes=1)
    assert isinstance(wrong, SettingError) and isinstance(right, Figures)

    monkeypatch.setattr(measuring, "measure", lambda *_: fail(MemoryError()))  # type: ignore[arg-type]
    (ended,) = bench(card, [{}], (16, 24))
    assert isinstance(ended, OutOfMemoryError) and "24x16" in str(ended)


def test_onnx_is_exported_first_so_that_it_counts_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noted(function: object, *arguments: object) -> None:
        order.append(function.__name__)  # type: ignore[attr-defined]

    monkeypatch.setattr(measuring, "apart", noted)
    list(bench(load_card(write_tiny_card(tmp_path)), [{"backend": "torch"}, {"backend": "onnx"}], (16, 16)))
    assert order == ["measure", "_export", "measure"]


def test_another_process_answers_or_raises() -> None:
    assert apart(os.getpid) != os.getpid()
    with pytest.raises(UnknownNameError, match="unknown device 'cudo'") as caught:
        apart(fail, UnknownNameError("device", "cudo", ["cuda", "cpu"]))
    assert caught.value.near == ["cuda", "cpu"]
    with pytest.raises(OutOfMemoryError, match="killed"):
        apart(end)


def test_a_case_is_measured_apart(tmp_path: Path) -> None:
    config = {"feat": 2, "width": 4, "n_resblock": 1, "n_conv": 2, "denoise": [4, 4, 4, 4]}  # needs a PSF, too
    card = Card(name="i", method="infwide", tasks=("deblur",), config=config)
    (figures,) = bench(card, [{"device": "cpu"}], (40, 40), passes=2)
    assert isinstance(figures, Figures) and len(figures.seconds) == 2 and figures.memory > 10**8


def test_a_folder_that_cannot_be_removed_spoils_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a file of it may be open still."""

    def held(*_: object, **__: object) -> None:
        raise OSError(errno.EBUSY, "held")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", held)
        with usable(Card(name="some", method="multi-output", tasks=("deblur",), config=TINY)) as (model, cache):
            assert Path(model).is_file() and cache is not None
    assert Path(cache).exists()
