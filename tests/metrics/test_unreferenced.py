"""BRISQUE, with support vectors of our own."""

from __future__ import annotations

import math
import pickle
import sys
from pathlib import Path

import pytest
import torch

from restorekit.errors import DataError, SettingError, UsageError
from restorekit.metrics import brisque, brisque_file
from tests.metrics.support_vectors import write_support_vectors

RHO = 153.591
"""What piq adds to the sum over support vectors, as the authors' script does."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for torch.hub's weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    return tmp_path / "checkpoints"


def noise(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 40, 48, generator=torch.Generator().manual_seed(0))


def test_the_score_is_the_sum_over_support_vectors(hub: Path) -> None:
    write_support_vectors(hub, 0.0)
    assert brisque(noise()).tolist() == pytest.approx([RHO, RHO], abs=1e-4)
    write_support_vectors(hub, -100.0)
    images = torch.cat([noise(), noise(1).sqrt()])
    scores = brisque(images)
    # exp(-0.05 |f|^2) of the image's features f, so between 0 and 1, and not the same for all
    assert bool(((scores > RHO - 100) & (scores < RHO)).all()) and scores[0] != scores[2]
    assert scores[1:2].tolist() == brisque(images[1:2]).tolist()  # each image by itself
    write_support_vectors(hub, -50.0)
    assert (brisque(images) - RHO).tolist() == pytest.approx(((scores - RHO) / 2).tolist(), rel=1e-3)


def test_missing_weights_are_named_with_what_fetches_them(hub: Path) -> None:
    assert brisque_file() == hub / "brisque_svm_weights.pt"
    with pytest.raises(
        DataError, match=r"weights brisque_svm_weights.pt are not on this machine. Fetch them once with torch.hub"
    ):
        brisque(noise())


def test_what_would_run_code_is_not_loaded(hub: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "ran",)

    hub.mkdir()
    for content in (pickle.dumps(Hostile(), protocol=2), b"not weights", b""):
        brisque_file().write_bytes(content)
        with pytest.raises(DataError, match="does not hold the support vectors"):
            brisque(noise())
    torch.save((torch.zeros(1), Hostile()), brisque_file())
    with pytest.raises(DataError, match="does not hold the support vectors"):
        brisque(noise())
    torch.save((torch.zeros(3), torch.zeros(2, 36)), brisque_file())
    with pytest.raises(DataError, match="does not hold the support vectors"):
        brisque(noise())
    assert not (tmp_path / "ran").exists()


def test_without_piq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(SettingError, match=r"BRISQUE needs piq. Install it: pip install piq"):
        brisque(noise())


def test_what_has_no_score(hub: Path) -> None:
    write_support_vectors(hub)
    with pytest.raises(DataError, match="a flat image has no BRISQUE"):
        brisque(torch.full((1, 3, 40, 48), 0.5))
    with pytest.raises(UsageError, match=r"cannot be taken of the shape \(2, 1, 40, 48\)"):
        brisque(noise()[:, :1])
    with pytest.raises(UsageError, match="at least 14 x 14"):
        brisque(noise()[:, :, :13])
    assert math.isfinite(float(brisque(noise(1)[:, :, :14, :14])))
