"""Many images: overlapped, resumable, and none spoils another."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit import images
from restorekit.errors import ImageError, UsageError
from restorekit.images import Image
from restorekit.images.atomic import TEMPORARY_SUFFIX, replacing
from restorekit.inference import folder
from restorekit.inference.folder import Batch, Compute, Outcome, Products, exit_code
from restorekit.inference.inputs import Job, plan
from restorekit.inference.journal import FILE_NAME, Journal
from tests.inference.conftest import save

PATIENCE = 10.0
"""Seconds until a thread that does not come is given up."""


def value_of(path: Path) -> int:
    return int(np.asarray(PillowImage.open(path))[0, 0, 0])


def invert(image: Image, job: Job) -> Products:
    return Products(image.replace_pixels(255 - image.pixels))


class Calls:
    """A compute that inverts and remembers what it was called for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self) -> Compute:
        def compute(image: Image, job: Job) -> Products:
            self.names.append(job.source.name if job.source else "-")
            return invert(image, job)

        return compute


def batch(source: Path, out: Path, settings: dict[str, Any] | None = None, **options: Any) -> Batch:
    overwrite = options.pop("overwrite", False)
    return Batch(plan([str(source)], suffix="new", output=str(out), **options), settings or {}, overwrite=overwrite)


def statuses(outcomes: list[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


def test_every_image_gets_its_result_and_the_observer_hears_of_all(source: Path, out: Path) -> None:
    heard: list[Outcome] = []
    outcomes = batch(source, out).run(Calls(), observe=heard.append)
    assert statuses(outcomes) == ["done"] * 4 and exit_code(outcomes) == 0
    assert [value_of(out / f"{n}.png") for n in range(4)] == [255, 254, 253, 252]
    assert [outcome.written for outcome in outcomes] == [(out / f"{n}.png",) for n in range(4)]
    assert heard == outcomes
    assert sorted(p.name for p in out.iterdir()) == [FILE_NAME, "0.png", "1.png", "2.png", "3.png"]


def test_a_second_run_does_nothing_and_does_not_even_prepare(source: Path, out: Path) -> None:
    batch(source, out).run(Calls())
    again = batch(source, out)
    assert again.pending == []

    def unwanted() -> Compute:
        raise AssertionError("prepared for nothing")

    assert statuses(again.run(unwanted)) == ["skipped"] * 4


def test_what_changed_is_done_again_and_the_rest_is_not(source: Path, out: Path) -> None:
    batch(source, out).run(Calls())
    save(source / "2.png", 100)
    (out / "3.png").unlink()
    calls = Calls()
    assert statuses(batch(source, out).run(calls)) == ["skipped", "skipped", "done", "done"]
    assert calls.names == ["2.png", "3.png"]
    assert value_of(out / "2.png") == 155


def test_other_settings_and_overwrite_do_everything_again(source: Path, out: Path) -> None:
    batch(source, out, {"strength": 1.0}).run(Calls())
    assert len(batch(source, out, {"strength": 0.5}).pending) == 4
    assert len(batch(source, out, {"strength": 1.0}, overwrite=True).pending) == 4
    assert len(batch(source, out, {"strength": 1.0}).pending) == 0


def test_a_file_that_is_not_ours_is_left_alone_unless_overwritten(source: Path, out: Path) -> None:
    save(out / "1.png", 77)
    outcomes = batch(source, out).run(Calls())
    assert statuses(outcomes) == ["done", "failed", "done", "done"] and exit_code(outcomes) == 1
    assert "1.png exists already" in outcomes[1].error and "--overwrite" in outcomes[1].error
    assert value_of(out / "1.png") == 77
    assert statuses(batch(source, out, overwrite=True).run(Calls())) == ["done"] * 4
    assert value_of(out / "1.png") == 254


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_appears_during_the_run_is_left_alone_too(source: Path, out: Path, overwrite: bool) -> None:
    def compute(image: Image, job: Job) -> Products:
        if job.source and job.source.name == "2.png" and job.target:
            job.target.write_bytes(b"theirs")
        return invert(image, job)

    outcomes = batch(source, out, overwrite=overwrite).run(lambda: compute)
    assert statuses(outcomes) == ["done", "done", "done" if overwrite else "failed", "done"]
    assert ((out / "2.png").read_bytes() == b"theirs") is not overwrite
    assert overwrite or "exists already" in str(outcomes[2].error)


def test_errors_of_the_work_are_not_taken_for_the_journals(source: Path, out: Path) -> None:
    def prepare() -> Compute:
        raise FileNotFoundError(2, "No such file or directory", "model.bin")

    with pytest.raises(FileNotFoundError, match=r"model\.bin"):
        batch(source, out).run(prepare)

    def observe(outcome: Outcome) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        batch(source, out).run(Calls(), observe=observe)


def test_a_result_retouched_by_hand_is_not_replaced_for_other_settings(source: Path, out: Path) -> None:
    batch(source, out, {"strength": 1.0}).run(Calls())
    PillowImage.new("L", (80, 60), 99).save(out / "0.png")
    outcomes = batch(source, out, {"strength": 0.5}).run(Calls())
    assert statuses(outcomes) == ["failed", "done", "done", "done"]
    assert PillowImage.open(out / "0.png").size == (80, 60)


@pytest.mark.parametrize("name", ["0", "1", "2", "3"])
def test_a_damaged_result_is_reported(source: Path, out: Path, name: str) -> None:
    batch(source, out).run(Calls())
    (out / f"{name}.png").write_text("garbage")
    outcomes = batch(source, out).run(Calls())
    assert [outcome.job.source and outcome.job.source.stem for outcome in outcomes if outcome.status == "failed"] == [name]
    assert statuses(outcomes).count("skipped") == 3
    assert (out / f"{name}.png").read_text() == "garbage"


def test_another_folder_does_not_replace_the_results_of_the_first(source: Path, out: Path, tmp_path: Path) -> None:
    save(tmp_path / "more" / "1.png", 50), save(tmp_path / "more" / "9.png", 60)
    batch(source, out).run(Calls())
    outcomes = batch(tmp_path / "more", out).run(Calls())
    assert statuses(outcomes) == ["failed", "done"] and exit_code(outcomes) == 1
    assert f"{out / '1.png'} exists already" in outcomes[0].error and "--overwrite" in outcomes[0].error
    assert [value_of(out / f"{n}.png") for n in (1, 9)] == [254, 195]
    assert statuses(batch(source, out).run(Calls())) == ["skipped"] * 4
    assert statuses(batch(tmp_path / "more", out, overwrite=True).run(Calls())) == ["done"] * 2
    assert value_of(out / "1.png") == 205


def test_candidates_of_another_folder_are_not_replaced_either(source: Path, out: Path, tmp_path: Path) -> None:
    save(tmp_path / "more" / "1.png", 50)
    first, second = (
        plan([str(inputs)], suffix="new", output=str(out), candidates=True) for inputs in (source, tmp_path / "more")
    )
    Batch(first, {}).run(lambda: with_extras)
    (out / "1.png").unlink()
    (outcome,) = Batch(second, {}).run(lambda: with_extras)
    assert "1-1.png exists already" in outcome.error and value_of(out / "1-1.png") == 1
    assert statuses(Batch(first, {}).run(lambda: with_extras)) == ["skipped", "done", "skipped", "skipped"]


def test_a_single_result_is_never_taken_for_that_of_another_input_or_other_settings(source: Path, out: Path) -> None:
    one, other = (plan([str(source / name)], suffix="new", output=str(out / "o.png")) for name in ("0.png", "1.png"))
    assert statuses(Batch(one, {}).run(Calls())) == ["done"]
    for made, settings in ((one, {}), (one, {"strength": 0.5}), (other, {})):
        outcomes = Batch(made, settings).run(Calls())
        assert statuses(outcomes) == ["failed"] and exit_code(outcomes) == 1
        assert f"{out / 'o.png'} exists already" in outcomes[0].error
        assert value_of(out / "o.png") == 255
    assert statuses(Batch(other, {}, overwrite=True).run(Calls())) == ["done"]
    assert value_of(out / "o.png") == 254


def test_a_single_result_that_a_batch_made_is_known(source: Path, out: Path) -> None:
    batch(source, out).run(Calls())
    calls = Calls()
    assert statuses(batch(source / "2.png", out).run(calls)) == ["skipped"]
    assert statuses(batch(source / "2.png", out, {"strength": 0.5}).run(calls)) == ["done"]
    assert calls.names == ["2.png"]


def test_a_map_is_not_replaced_where_the_result_goes_to_standard_output(source: Path, tmp_path: Path) -> None:
    there = save(tmp_path / "map.png", 77)
    made = plan([str(source / "0.png")], suffix="new", output="-", maps={"spread": str(there)})
    (outcome,) = Batch(made, {}).run(lambda: with_extras)
    assert "map.png exists already" in outcome.error and value_of(there) == 77


def test_a_name_too_long_fails_alone_and_before_any_work(source: Path, out: Path) -> None:
    long = save(source / f"{'x' * 248}.png")
    calls = Calls()
    outcomes = Batch(plan([str(source)], suffix="restored"), {}).run(calls)
    assert statuses(outcomes) == ["done"] * 4 + ["failed"] and long.name not in calls.names
    assert outcomes[-1].error.endswith("x-restored.png cannot be written: the name is too long. Name another output with -o.")


def test_a_bad_file_fails_alone_and_is_tried_again(source: Path, out: Path) -> None:
    (source / "1.png").write_bytes(b"no image at all")
    outcomes = batch(source, out).run(Calls())
    assert statuses(outcomes) == ["done", "failed", "done", "done"] and exit_code(outcomes) == 1
    assert str(source / "1.png") in outcomes[1].error
    assert not (out / "1.png").exists()
    save(source / "1.png", 5)
    assert statuses(batch(source, out).run(Calls())) == ["skipped", "done", "skipped", "skipped"]


def test_an_error_of_our_own_making_fails_alone_with_its_traceback(source: Path, out: Path) -> None:
    def compute(image: Image, job: Job) -> Products:
        if job.source and job.source.name == "2.png":
            raise ZeroDivisionError("by zero")
        return invert(image, job)

    outcomes = batch(source, out).run(lambda: compute)
    assert statuses(outcomes) == ["done", "done", "failed", "done"]
    assert outcomes[2].error == "internal error: ZeroDivisionError: by zero"
    assert "Traceback" in outcomes[2].details and "test_folder.py" in outcomes[2].details


def test_what_is_wrong_for_all_stops_all(source: Path, out: Path) -> None:
    calls = []

    def compute(image: Image, job: Job) -> Products:
        calls.append(job)
        raise UsageError("this model gives no candidates")

    with pytest.raises(UsageError, match="no candidates"):
        batch(source, out).run(lambda: compute)
    assert len(calls) == 1


def test_the_next_image_is_read_and_the_last_one_written_while_one_is_computed(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading: dict[str, threading.Event] = {f"{n}.png": threading.Event() for n in range(4)}
    computing = {name: threading.Event() for name in reading}
    met: list[bool] = []
    read, write = images.read, images.write

    def noted_read(path: Path, **options: Any) -> Image:
        reading[path.name].set()
        return read(path, **options)

    def slow_write(image: Image, path: Path, **options: Any) -> None:
        if path.name != "3.png":
            met.append(computing[f"{int(path.stem) + 1}.png"].wait(PATIENCE))
        write(image, path, **options)

    def compute(image: Image, job: Job) -> Products:
        assert job.source is not None
        number = int(job.source.stem)
        computing[job.source.name].set()
        if number < 3:
            met.append(reading[f"{number + 1}.png"].wait(PATIENCE))
        met.append(not any(reading[f"{n}.png"].is_set() for n in range(number + 2, 4)))
        return invert(image, job)

    monkeypatch.setattr(images, "read", noted_read)
    monkeypatch.setattr(images, "write", slow_write)
    assert statuses(batch(source, out).run(lambda: compute)) == ["done"] * 4
    assert met == [True] * 10


def test_ctrl_c_leaves_whole_files_only_and_the_next_run_goes_on(source: Path, out: Path) -> None:
    def compute(image: Image, job: Job) -> Products:
        if job.source and job.source.name == "2.png":
            raise KeyboardInterrupt
        return invert(image, job)

    heard: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        batch(source, out).run(lambda: compute, observe=heard.append)
    assert [outcome.written for outcome in heard] == [(out / "0.png",), (out / "1.png",)]
    assert sorted(p.name for p in out.iterdir()) == [FILE_NAME, "0.png", "1.png"]
    calls = Calls()
    batch(source, out).run(calls)
    assert calls.names == ["2.png", "3.png"]


KILLED = """
import sys, time
from restorekit.inference.folder import Batch, Products, exit_code
from restorekit.inference.inputs import plan

source, out, log, hang_at = sys.argv[1:]

def compute(image, job):
    with open(log, "a") as file:
        file.write(job.source.name + "\\n")
    if job.source.name == hang_at:
        time.sleep(1000)
    return Products(image)

batch = Batch(plan([source], suffix="new", output=out), {})
outcomes = batch.run(lambda: compute, observe=lambda outcome: print(outcome.error, file=sys.stderr))
sys.exit(exit_code(outcomes))
"""


def test_killed_half_way_and_started_again_nothing_is_done_twice(tmp_path: Path, out: Path) -> None:
    for number in range(20):
        save(tmp_path / "in" / f"{number:02}.png", number)
    (tmp_path / "in" / "07.png").write_bytes((tmp_path / "in" / "07.png").read_bytes()[:40])
    log = tmp_path / "log"
    command = [sys.executable, "-c", KILLED, str(tmp_path / "in"), str(out), str(log)]
    process = subprocess.Popen([*command, "11.png"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 6 * PATIENCE
    while len(finished := {p.name for p in out.glob("*.png")}) < 10 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(finished) == 10
    first = log.read_text().split()
    log.unlink()

    second = subprocess.run([*command, "never"], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "07.png" in second.stderr
    results = sorted(p.name for p in out.iterdir() if p.name != FILE_NAME)
    assert results == sorted({f"{n:02}.png" for n in range(20)} - {"07.png"})
    assert [value_of(out / name) for name in results] == [int(name[:2]) for name in results]
    assert set(log.read_text().split()) == set(results) - finished
    assert finished < set(first)


def test_what_a_killed_write_left_is_swept_away_unless_somebody_is_at_work(source: Path, out: Path) -> None:
    save(source / "deep" / "4.png")
    leftovers = [out / f".0123{TEMPORARY_SUFFIX}", out / "deep" / f".4567{TEMPORARY_SUFFIX}"]
    (out / "deep").mkdir(parents=True)
    for path in leftovers:
        path.write_bytes(b"half")
    with Journal(out, create=True).working([]):
        batch(source, out, recursive=True).run(Calls())
        assert all(path.exists() for path in leftovers)
    (source / "5.png").write_bytes((source / "1.png").read_bytes())
    batch(source, out, recursive=True).run(Calls())
    assert not any(path.exists() for path in leftovers)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == [
        "0.png",
        "1.png",
        "2.png",
        "3.png",
        "5.png",
        "deep/4.png",
    ]


def test_what_others_are_writing_is_not_swept_away(source: Path, out: Path) -> None:
    out.mkdir()
    with replacing(out / "single.png") as file:
        file.write(b"whole")
        batch(source, out).run(Calls())
    assert (out / "single.png").read_bytes() == b"whole"


def with_extras(image: Image, job: Job) -> Products:
    grey = Image(np.full((image.height, image.width, 1), 9, np.uint16))
    return Products(image, (image, image), {"spread": grey})


def test_candidates_and_spread_are_written_too(source: Path, out: Path, tmp_path: Path) -> None:
    made = plan(
        [str(source / "0.png")],
        suffix="new",
        output=str(out / "r.png"),
        candidates=True,
        maps={"spread": str(tmp_path / "m" / "map.png")},
    )
    (outcome,) = Batch(made, {}).run(lambda: with_extras)
    assert outcome.written == (out / "r-1.png", out / "r-2.png", tmp_path / "m" / "map.png", out / "r.png")
    assert np.asarray(PillowImage.open(tmp_path / "m" / "map.png")).max() == 9
    assert not (out / FILE_NAME).exists()


def test_extras_do_not_replace_what_is_not_ours_either(source: Path, out: Path) -> None:
    save(out / "r-2.png", 50)
    made = plan([str(source / "0.png")], suffix="new", output=str(out / "r.png"), candidates=True)
    (outcome,) = Batch(made, {}).run(lambda: with_extras)
    assert "r-2.png exists already" in outcome.error
    assert sorted(p.name for p in out.iterdir()) == ["r-2.png"]
    (outcome,) = Batch(made, {}, overwrite=True).run(lambda: with_extras)
    assert outcome.status == "done" and value_of(out / "r-2.png") == 0


def test_a_missing_spread_map_is_made_though_the_result_stands(source: Path, out: Path, tmp_path: Path) -> None:
    made = plan([str(source)], suffix="new", output=str(out), maps={"spread": str(tmp_path / "maps")})
    Batch(made, {}).run(lambda: with_extras)
    (tmp_path / "maps" / "1.png").unlink()
    assert [job.source for job in Batch(made, {}).pending] == [source / "1.png"]
    assert statuses(Batch(made, {}).run(lambda: with_extras)) == ["skipped", "done", "skipped", "skipped"]
    assert (tmp_path / "maps" / "1.png").exists()


@pytest.mark.parametrize("where", ["file.txt", "file.txt/deeper"])
def test_a_folder_that_cannot_be_is_refused_before_any_work(source: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "file.txt").touch()
    with pytest.raises(ImageError, match="cannot be made"):
        batch(source, tmp_path / where / "x")


def test_a_folder_that_cannot_be_written_to_is_refused_before_any_work(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(path: Path, mode: int) -> bool:
        return path != out

    out.mkdir()
    monkeypatch.setattr(folder.os, "access", deny)
    with pytest.raises(ImageError, match=f"{out} cannot be written to"):
        batch(source, out)


def test_metadata_is_left_out_and_quality_obeyed(tmp_path: Path, out: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    PillowImage.fromarray(noise).save(tmp_path / "in" / "a.jpg", dpi=(300, 300), quality=90)
    identity: Callable[[Image, Job], Products] = lambda image, job: Products(image)  # noqa: E731
    for name, options in (("kept", folder.FileOptions()), ("small", folder.FileOptions(quality=20, strip=True))):
        batch(tmp_path / "in", out / name).run(lambda: identity, options)
    kept, small = (PillowImage.open(out / name / "a.jpg") for name in ("kept", "small"))
    assert kept.info["dpi"] == (300, 300) and "dpi" not in small.info
    assert (out / "small" / "a.jpg").stat().st_size < 0.5 * (out / "kept" / "a.jpg").stat().st_size


def test_an_image_too_large_is_refused_and_the_limit_can_be_lifted(source: Path, out: Path) -> None:
    outcomes = batch(source, out).run(Calls(), folder.FileOptions(max_pixels=47))
    assert statuses(outcomes) == ["failed"] * 4
    assert statuses(batch(source, out).run(Calls(), folder.FileOptions(max_pixels=48))) == ["done"] * 4
    assert statuses(batch(source, out, overwrite=True).run(Calls(), folder.FileOptions(max_pixels=0))) == ["done"] * 4
