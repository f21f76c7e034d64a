"""What tests of batches share: a folder of photographs, and one for results."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as PillowImage


def save(path: Path, value: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (8, 6), (value, value, value)).save(path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for number in range(4):
        save(tmp_path / "in" / f"{number}.png", number)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
