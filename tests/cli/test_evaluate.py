"""``restorekit evaluate``."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.cli.conftest import Run, pixels, save_photo


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Targets, and the same 5 levels brighter."""
    for name in ("a", "b"):
        target = save_photo(tmp_path / "targets" / f"{name}.png", ord(name))
        (tmp_path / "brighter").mkdir(exist_ok=True)
        PillowImage.fromarray(pixels(target) + np.uint8(5)).save(tmp_path / "brighter" / f"{name}.png")
    return tmp_path / "brighter", tmp_path / "targets"


@pytest.mark.usefixtures("folders")
def test_scores_are_right_and_name_their_protocol(run: Run) -> None:
    report = json.loads(run("evaluate", "brighter", "targets", "--json").stdout)
    expected = 20 * math.log10(255 / 5)
    assert [image["name"] for image in report["images"]] == ["a", "b"]
    assert report["summary"]["psnr"]["mean"] == pytest.approx(expected, abs=1e-3)
    assert report["protocol"].items() >= {"colour": "rgb", "border": 0, "eight_bit": True}.items()


@pytest.mark.usefixtures("folders")
def test_the_table_has_every_image_and_the_protocol(run: Run) -> None:
    result = run("evaluate", "brighter", "targets", "--colour", "y", "--border", "2", "--no-round")
    assert result.exit_code == 0
    assert "Y, border 2, not rounded" in result.stdout
    assert [line.split()[0] for line in result.stdout.splitlines()[2:]] == ["a", "b", "mean", "median", "worst"]


@pytest.mark.usefixtures("folders")
def test_a_model_is_scored_with_its_inputs(run: Run, card: Path) -> None:
    report = json.loads(run("evaluate", "brighter", "targets", "--model", card, "--json").stdout)
    assert report["summary"]["input_psnr"]["mean"] == pytest.approx(34.15, abs=0.01)
    assert report["summary"]["psnr"]["mean"] != report["summary"]["input_psnr"]["mean"]


@pytest.mark.usefixtures("folders")
def test_what_does_not_pair_is_named(run: Run) -> None:
    Path("brighter/a.png").rename("brighter/c.png")
    result = run("evaluate", "brighter", "targets")
    assert result.exit_code == 1
    assert "brighter/c.png has no partner" in result.stderr and "targets/a.png has no partner" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "targets"], 1, "nowhere does not exist"),
        (["brighter", "targets", "--border", "-1"], 2, "--border"),
        (["brighter", "targets", "--colour", "cmyk"], 2, "cmyk"),
        (["brighter", "targets", "--model", "nobody"], 2, "unknown model 'nobody'"),
    ],
)
@pytest.mark.usefixtures("folders", "zoo")
def test_hostile_options(run: Run, arguments: list[str], code: int, message: str) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == code and message in result.stderr
