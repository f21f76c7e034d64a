from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from restorekit.training.report import AdaptingReporter, ConsoleReporter


@pytest.fixture
def paper() -> Console:
    return Console(file=io.StringIO(), width=60)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_an_early_end_tells_which_weights_are_kept(paper: Console) -> None:
    ConsoleReporter(paper).gave_up(80, 20)
    assert written(paper) == "Ended after step 80, as nothing got better since step 20, whose weights are kept\n"


def test_notes_are_written_as_they_are(paper: Console) -> None:
    ConsoleReporter(paper).noted("film[1].mp4: 2 cuts and 13 repeated frames, left out, which is a long line indeed")
    assert written(paper).startswith("film[1].mp4: 2 cuts and 13 repeated") and written(paper).count("\n") == 1


def test_adapting_tells_how_far_it_came(paper: Console) -> None:
    reporter = AdaptingReporter(kept=False, console=paper)
    for step, loss in ((0, 0.8), (10, 0.76), (20, 0.78)):
        reporter.validated(step, {"blind": loss, "hours": 0.1}, "", -loss)
    reporter.ended(Path("card.toml"))
    assert written(paper).endswith("Best after step 10: blind 0.7600, 5.0% below the beginning\n")
    reporter.stopped(3)
    assert "nothing was kept. Add --keep RUN" in written(paper)


def test_adapting_knows_what_is_better_the_higher_it_is(paper: Console) -> None:
    reporter = AdaptingReporter(kept=False, console=paper)
    for step, psnr in ((0, 17.69), (10, 19.22), (20, 18.77)):
        reporter.validated(step, {"psnr": psnr, "hours": 0.1}, "", psnr)
    reporter.ended(Path("card.toml"))
    assert written(paper).endswith("Best after step 10: psnr 19.2200, 1.53 dB above the beginning\n")


def test_adapting_that_brings_nothing_says_so(paper: Console) -> None:
    reporter = AdaptingReporter(kept=True, console=paper)
    reporter.ended(Path("card.toml"))
    assert written(paper) == ""  # it went on from a checkpoint, and its beginning was not seen
    for step, loss in ((0, 0.8), (10, 0.81)):
        reporter.validated(step, {"blind": loss, "hours": 0.1}, "", -loss)
    reporter.ended(Path("card.toml"))
    assert written(paper).endswith("No step made the model better; it is used as it was\n")
    reporter.stopped(3)
    assert "the same command goes on from there" in written(paper)
