"""The benchmark of what commands take besides networks, on a tiny card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import starting
from restorekit import images
from restorekit.images import Image
from tests.tiny import write_tiny_card


def test_an_exported_model_needs_no_torch_and_its_card_does(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    images.write(Image(np.full((80, 90, 3), 128, np.uint8)), photo)
    found = list(starting.starts(str(write_tiny_card(tmp_path)), photo, 1))
    assert [start.torch for start in found] == [False, True, False, False, False, False]
    assert all(start.seconds > 0 for start in found)


def test_a_command_that_fails_is_shown() -> None:
    with pytest.raises(SystemExit, match=r"unknown model .nobody."):
        starting.measure("infer", starting.NONE, ["infer", "--model", "nobody", "photo.png"], 1)
