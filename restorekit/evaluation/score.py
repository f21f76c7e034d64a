"""Scoring: folders, files, or images in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from restorekit import images
from restorekit.errors import DataError
from restorekit.evaluation.alignment import Alignment
from restorekit.evaluation.gallery import Gallery
from restorekit.evaluation.measures import DEFAULT, check_targets, get_metric, usable
from restorekit.evaluation.pairs import Pair, check_pairs, find_pairs
from restorekit.evaluation.protocol import Protocol
from restorekit.evaluation.report import Report, Score
from restorekit.evaluation.subjects import INPUT, RESTORED, Picture, Sample, Subject, as_it_is, check_subjects, to_floats
from restorekit.images.folders import files_below
from restorekit.images.psf import read_psf

Progress = Callable[[int, int, Score], None]
"""Called after each score with the number of images begun, the number in all (0 if nobody knows), and the newest score."""


def evaluate(
    restored: str | Path,
    targets: str | Path | None,
    protocol: Protocol | None = None,
    *,
    subjects: Sequence[Subject] = (),
    metrics: Sequence[str] = DEFAULT,
    alignment: Alignment | None = None,
    psf: str | Path | None = None,
    gallery: Gallery | None = None,
    progress: Progress | None = None,
    max_pixels: int | None = images.DEFAULT_MAX_PIXELS,
) -> Report:
    """Score restored images against what they should look like, or, with metrics that need no target, by themselves.

    Args:
        restored: a folder, sub-folders included, or one file.
        targets: a folder with the same names (extensions may differ), or one file; None if nobody knows.
        protocol: what is compared; None for RGB, no border, rounded to 8 bits.
        subjects: given, ``restored`` holds images that still are to be restored, and these restore them, for example
            ``from_restorer(restorer)`` or ``from_baseline("nlm")``. The inputs are scored too, so that the report tells what was
            gained.
        metrics: names of :data:`~restorekit.evaluation.METRICS`. Those this machine has no weights for are left out, and the
            report's notes say so.
        alignment: what is done about images that do not lie over their targets; None for nothing.
        psf: a folder with a PSF for each image, by name, or one file for all; see :func:`restorekit.images.psf.read_psf`.
        gallery: is offered the pictures.
        progress: see :data:`Progress`.
        max_pixels: largest image to read, in pixels; None for no limit.

    Raises:
        DataError: naming everything that is wrong with the pairs, before anything is restored or scored; or an image whose
            restoration has another size.
        UsageError: for a metric that needs a target where there is none.
    """
    problems: list[str] = []
    apart = [] if psf is None else [Path(psf)]
    return evaluate_files(
        find_pairs(Path(restored), None if targets is None else Path(targets), problems=problems, apart=apart),
        protocol,
        subjects=subjects or (as_it_is(RESTORED),),
        metrics=metrics,
        alignment=alignment,
        psf=psf,
        gallery=gallery,
        progress=progress,
        max_pixels=max_pixels,
        problems=problems,
    )


def evaluate_files(
    pairs: Sequence[Pair],
    protocol: Protocol | None = None,
    *,
    subjects: Sequence[Subject],
    metrics: Sequence[str] = DEFAULT,
    alignment: Alignment | None = None,
    psf: str | Path | None = None,
    gallery: Gallery | None = None,
    progress: Progress | None = None,
    max_pixels: int | None = images.DEFAULT_MAX_PIXELS,
    problems: Sequence[str] = (),
) -> Report:
    """The same as :func:`evaluate` for pairs that were found some other way, for example by :func:`find_layout_pairs`.

    The inputs are scored too, unless a subject has the name :data:`RESTORED`: then the images were restored before. ``problems``
    are told with all else that is wrong, see :func:`find_pairs`.
    """
    protocol = protocol or Protocol()
    metrics, notes = usable(metrics)
    check_pairs(pairs, protocol, max_pixels, metrics=metrics, alignment=alignment, problems=problems)
    kernels = _find_psfs(pairs, None if psf is None else Path(psf))
    if not {INPUT, RESTORED} & {subject.name for subject in subjects}:
        subjects = (as_it_is(INPUT), *subjects)

    def samples() -> Iterator[Sample]:
        for pair in pairs:
            target = None if pair.target is None else images.read(pair.target, max_pixels=max_pixels)
            image = images.read(pair.image, max_pixels=max_pixels)
            yield Sample(pair.name, image, target, read_psf(kernels[pair.name]) if kernels else None)

    report = evaluate_samples(
        samples(),
        subjects,
        protocol,
        metrics=metrics,
        alignment=alignment,
        gallery=gallery,
        progress=progress,
        total=len(pairs),
    )
    return replace(report, notes=notes)


def evaluate_samples(
    samples: Iterable[Sample],
    subjects: Sequence[Subject],
    protocol: Protocol | None = None,
    *,
    metrics: Sequence[str] = DEFAULT,
    alignment: Alignment | None = None,
    gallery: Gallery | None = None,
    progress: Progress | None = None,
    total: int = 0,
) -> Report:
    """Score any number of subjects on samples that come one after the other.

    Args:
        samples: may be a generator that makes or reads them when they are wanted.
        subjects: what restores them.
        protocol: what is compared; None for RGB, no border, rounded to 8 bits.
        metrics: names of :data:`~restorekit.evaluation.METRICS`.
        alignment: what is done about images that do not lie over their targets; None for nothing.
        gallery: is offered the pictures.
        progress: see :data:`Progress`.
        total: how many samples there will be, for the progress.

    Raises:
        DataError: when sizes differ, or there is no sample.
        UsageError: when there is no subject, or two have one name, or a metric needs a target that a sample has not.
    """
    check_subjects(subjects)
    protocol, alignment = protocol or Protocol(), alignment or Alignment()
    metrics, notes = usable(metrics)
    scores: list[Score] = []
    for number, sample in enumerate(samples, 1):
        if sample.target is None:
            check_targets(metrics)
        pictures: dict[str, Picture] = {}
        for subject in subjects:
            answer = subject.restore(sample)
            pictures[subject.name] = answer.image
            score = _score(sample, subject.name, answer.image, answer.candidates, protocol, metrics, alignment)
            scores.append(score)
            if progress is not None:
                progress(number, total, score)
        if gallery is not None:
            gallery.offer(sample.name, pictures, sample.target, scores[-len(subjects) :])
    if not scores:
        raise DataError("there are no images to score")
    run = " or ".join(dict.fromkeys(subject.run for subject in subjects if subject.run))
    return Report(protocol, metrics, tuple(subject.name for subject in subjects), tuple(scores), notes, alignment, run)


def score_pair(
    name: str,
    restored: Picture,
    target: Picture,
    protocol: Protocol,
    metrics: Sequence[str] = DEFAULT,
    alignment: Alignment | None = None,
) -> Score:
    """The score of one image in memory.

    Alpha is left out. A grey image is compared with a colour one as if it held the same grey in all three channels.

    Raises:
        DataError: when the sizes differ.
    """
    return _score(Sample(name, restored, target), RESTORED, restored, {}, protocol, metrics, alignment or Alignment())


@torch.no_grad()
def _score(
    sample: Sample,
    subject: str,
    picture: Picture,
    candidates: Mapping[str, Picture],
    protocol: Protocol,
    metrics: Sequence[str],
    alignment: Alignment,
) -> Score:
    target = None if sample.target is None else _tensor(sample.target)

    def measure(picture: Picture, names: Sequence[str]) -> dict[str, float]:
        a = b = _tensor(picture)
        if target is not None:
            channels = max(a.shape[1], target.shape[1])
            a, b = (x.expand(-1, channels, -1, -1) for x in (a, target))
            a, b = alignment.apply(sample.name, a, b, protocol)
        try:
            return {name: float(get_metric(name).compute(a, b, protocol)) for name in names}
        except DataError as error:
            raise DataError(f"{sample.name}, {subject}: {error.problem}", error.remedy) from None

    first = metrics[:1]
    others = {number: measure(candidate, first)[first[0]] for number, candidate in candidates.items()}
    return Score(sample.name, subject, measure(picture, metrics), others)


def _tensor(picture: Picture) -> Tensor:
    """``(1, C, H, W)`` float32 in [0, 1], C = 1 or 3."""
    return torch.from_numpy(to_floats(picture)).permute(2, 0, 1).unsqueeze(0)


def _find_psfs(pairs: Sequence[Pair], psf: Path | None) -> dict[str, Path]:
    if psf is None:
        return {}
    if psf.is_file():
        return {pair.name: psf for pair in pairs}
    found = {path.relative_to(psf).with_suffix("").as_posix(): path for path in files_below(psf)}
    if missing := [pair.name for pair in pairs if pair.name not in found]:
        raise DataError(f"{psf} has no PSF for {', '.join(missing[:5])}", "Name the PSFs as the images")
    return found
