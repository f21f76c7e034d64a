"""Candidates and maps, which lie beside results: replaced and missed if they are ours, else left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit import images
from restorekit.images import Image
from restorekit.inference.folder import Batch, Products
from restorekit.inference.inputs import Job, Plan, plan
from tests.inference.test_folder import Calls, batch, statuses, value_of, with_extras


def brighter(image: Image, job: Job) -> Products:
    """Extras and results that are not those of :func:`with_extras`."""
    grey = Image(np.full((image.height, image.width, 1), 90, np.uint16))
    made = image.replace_pixels(image.pixels + 100)
    return Products(made, (made, made), {"spread": grey})


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    return tmp_path / "maps"


@pytest.fixture
def everything(source: Path, out: Path, maps: Path) -> Plan:
    """Results, candidates and maps of a folder."""
    return plan([str(source)], suffix="new", output=str(out), candidates=True, maps={"spread": str(maps)})


def test_candidates_and_maps_of_ours_are_made_again_with_the_result(everything: Plan, out: Path, maps: Path) -> None:
    Batch(everything, {"strength": 1.0}).run(lambda: with_extras)
    assert statuses(Batch(everything, {"strength": 1.0}).run(lambda: brighter)) == ["skipped"] * 4
    for strength, compute, added in ((0.5, brighter, 100), (1.0, with_extras, 0)):
        assert statuses(Batch(everything, {"strength": strength}).run(lambda made=compute: made)) == ["done"] * 4
        for number in range(4):
            names = (f"{number}.png", f"{number}-1.png", f"{number}-2.png")
            assert [value_of(out / name) for name in names] == [number + added] * 3
        assert np.asarray(PillowImage.open(maps / "0.png")).max() == (90 if added else 9)


@pytest.mark.parametrize("name", ["out/2-2.png", "maps/2.png"])
@pytest.mark.parametrize("earlier", [False, True], ids=["there before", "changed since"])
def test_what_is_not_ours_beside_a_result_of_ours_is_left_alone(
    source: Path, out: Path, everything: Plan, tmp_path: Path, name: str, earlier: bool
) -> None:
    if earlier:
        Batch(everything, {"strength": 1.0}).run(lambda: with_extras)
    else:
        batch(source, out).run(Calls())
    other = tmp_path / name
    other.parent.mkdir(exist_ok=True)
    PillowImage.new("L", (80, 60), 99).save(other)
    before = other.read_bytes(), (out / "2.png").read_bytes()
    for _ in range(2):
        outcomes = Batch(everything, {"strength": 0.5}).run(lambda: brighter)
        assert [outcome.status == "failed" for outcome in outcomes] == [False, False, True, False]
        assert f"{other} exists already" in outcomes[2].error and "--overwrite" in outcomes[2].error
        assert (other.read_bytes(), (out / "2.png").read_bytes()) == before
    assert statuses(Batch(everything, {"strength": 0.5}, overwrite=True).run(lambda: brighter)) == ["done"] * 4
    assert other.read_bytes() != before[0] and value_of(out / "2.png") == 102
    assert statuses(Batch(everything, {"strength": 1.0}).run(lambda: with_extras)) == ["done"] * 4


def test_a_link_to_nowhere_beside_a_result_is_left_alone_too(source: Path, out: Path, everything: Plan) -> None:
    batch(source, out).run(Calls())
    (out / "1-1.png").symlink_to("nowhere")
    outcomes = Batch(everything, {"strength": 0.5}).run(lambda: brighter)
    assert "1-1.png exists already" in outcomes[1].error and (out / "1-1.png").is_symlink()


def test_a_result_that_has_lost_a_candidate_is_made_again(everything: Plan, source: Path, out: Path) -> None:
    Batch(everything, {}).run(lambda: with_extras)
    (out / "1-2.png").unlink()
    assert [job.source for job in Batch(everything, {}).pending] == [source / "1.png"]
    assert statuses(Batch(everything, {}).run(lambda: brighter)) == ["skipped", "done", "skipped", "skipped"]
    assert [value_of(out / name) for name in ("1.png", "1-1.png", "1-2.png")] == [101] * 3
    assert Batch(everything, {}).pending == []


@pytest.mark.parametrize("fatal", ["1-1.png", "1-2.png", "1.png"])
@pytest.mark.parametrize("again", [False, True], ids=["the first time", "made again"])
@pytest.mark.parametrize("strength", [0.5, 0.25])
def test_what_a_killed_run_wrote_beside_a_result_is_ours(
    everything: Plan, out: Path, monkeypatch: pytest.MonkeyPatch, fatal: str, again: bool, strength: float
) -> None:
    if again:
        Batch(everything, {"strength": 1.0}).run(lambda: with_extras)
    write = images.write

    def killed(image: Image, path: Path, **options: Any) -> None:
        if path == out / fatal:
            raise KeyboardInterrupt
        write(image, path, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(images, "write", killed)
        Batch(everything, {"strength": 0.5}).run(lambda: with_extras)
    outcomes = Batch(everything, {"strength": strength}).run(lambda: brighter)
    assert statuses(outcomes)[1:] == ["done"] * 3, outcomes[1].error
    assert [value_of(out / name) for name in ("1.png", "1-1.png", "1-2.png")] == [101] * 3
