"""The command line, run in this process, and a tiny model for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from restorekit.cli.app import app
from restorekit.zoo import find
from tests.tiny import write_tiny_card

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``restorekit ARGUMENTS`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str | Path, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, prog_name="restorekit")

    return invoke


@pytest.fixture
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny card of the user's own, outside the working folder."""
    return write_tiny_card(tmp_path_factory.mktemp("run"))


@pytest.fixture
def zoo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo whose only card, ``tiny-deblur``, is the default for deblurring."""
    folder = tmp_path_factory.mktemp("models")
    path = write_tiny_card(folder, "tiny-deblur")
    path.write_text('default_for = ["deblur"]\n' + path.read_text())
    monkeypatch.setattr(find, "_shipped_folder", lambda: folder)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "photo.png")


def save_photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """A small picture with some structure, the same for the same seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(70, 180, (4, 5, 3), dtype=np.uint8)
    PillowImage.fromarray(values).resize(size, PillowImage.Resampling.BICUBIC).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(PillowImage.open(path))
