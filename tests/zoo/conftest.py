"""A tiny card of the user's own: random weights, fast to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiny import write_tiny_card


@pytest.fixture
def card_path(tmp_path: Path) -> Path:
    return write_tiny_card(tmp_path / "run")
