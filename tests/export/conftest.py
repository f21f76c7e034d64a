"""A tiny model and its graph; what is kept between runs goes to a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.export import export
from restorekit.zoo import load_card
from tests.tiny import write_tiny_card


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("RESTOREKIT_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_card(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def model(card: Path) -> Path:
    return export(load_card(card), card.with_name("tiny.onnx")).path
