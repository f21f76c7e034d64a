"""The scores of a set of images, and their summary, for people and for machines."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from restorekit.errors import UnknownNameError
from restorekit.evaluation.bootstrap import Difference, paired_difference
from restorekit.evaluation.measures import scale_of
from restorekit.evaluation.subjects import INPUT
from restorekit.metrics import best_overall, best_single

if TYPE_CHECKING:
    from restorekit.evaluation.alignment import Alignment
    from restorekit.evaluation.protocol import DepthProtocol, Protocol

PSNR_CEILING = 100.0
"""Decibels that stand for the infinite PSNR of equal images wherever differences are taken."""


@dataclass(frozen=True)
class Score:
    """What a subject made of one image.

    Attributes:
        name: the image's path below its folder, without the extension.
        subject: what made it.
        values: by metric. The PSNR of equal images is infinite.
        candidates: the first metric of each of the subject's candidates, by name, if they were asked for.
    """

    name: str
    subject: str
    values: Mapping[str, float]
    candidates: Mapping[str, float] = field(default_factory=dict)

    @property
    def psnr(self) -> float:
        """In decibels."""
        return self.values["psnr"]

    @property
    def ssim(self) -> float:
        """At most 1."""
        return self.values["ssim"]


@dataclass(frozen=True)
class Summary:
    """A metric over a set: mean, median, and the worst score with the image that has it."""

    mean: float
    median: float
    worst: float
    worst_name: str


@dataclass(frozen=True)
class Candidates:
    """What the candidates of a subject score with the first metric.

    Attributes:
        best_overall: mean of each image's best. Choosing it needs the target: an upper bound, not something a user gets.
        best_single: mean of the one that is best for all images together.
        single: its name: the number of a head, or "1+3" for the mean of two.
        mean: mean over candidates and images.
    """

    best_overall: float
    best_single: float
    single: str
    mean: float


@dataclass(frozen=True)
class Report:
    """Scores under one protocol. There is at least one.

    Attributes:
        protocol: what was compared.
        metrics: what was measured; the first is what images are ranked by.
        subjects: what was scored, in order.
        scores: one for each image and subject, images in order.
        notes: what did not go as asked.
        alignment: what was done about images that did not lie over their targets; None where nothing could be, as with depth.
        run: how models were run, in words, see :class:`~restorekit.evaluation.subjects.Subject`.
    """

    protocol: Protocol | DepthProtocol
    metrics: tuple[str, ...]
    subjects: tuple[str, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    alignment: Alignment | None = None
    run: str = ""

    @property
    def protocol_name(self) -> str:
        """For tables: the protocol's, what was done to lay images over their targets, and how models were run."""
        return ", ".join(filter(None, [self.protocol.name, self.alignment.name if self.alignment else "", self.run]))

    @cached_property
    def images(self) -> tuple[str, ...]:
        """Names of the images, in order."""
        return tuple(dict.fromkeys(score.name for score in self.scores))

    def of(self, subject: str) -> tuple[Score, ...]:
        """The scores of one subject, images in order; UnknownNameError for one that was not scored."""
        if subject not in self.subjects:
            raise UnknownNameError("subject", subject, self.subjects)
        return tuple(score for score in self.scores if score.subject == subject)

    def summary(self, subject: str | None = None) -> dict[str, Summary]:
        """The summary of each metric for a subject; if none is named, for the first that is not the input."""
        scores = self.of(subject or next((name for name in self.subjects if name != INPUT), INPUT))
        return {metric: _summarise({s.name: s.values[metric] for s in scores}, metric) for metric in self.metrics}

    def gains(self, subject: str, over: str = INPUT, metric: str | None = None) -> dict[str, float]:
        """By image, how much better a subject scores than another with a metric, by default the first; positive is better."""
        metric = metric or self.metrics[0]
        sign = 1 if scale_of(metric).higher else -1
        before = {score.name: capped(score.values[metric], metric) for score in self.of(over)}
        return {s.name: sign * (capped(s.values[metric], metric) - before[s.name]) for s in self.of(subject)}

    def difference(self, subject: str, over: str = INPUT, metric: str | None = None) -> Difference:
        """The mean of :meth:`gains`, with its interval."""
        gains = list(self.gains(subject, over, metric).values())
        return paired_difference(gains, [0.0] * len(gains))

    def worst(self, subject: str, count: int = 5) -> list[tuple[str, float]]:
        """The images that gained least over the input, or, without an input, that score worst, and how much."""
        if INPUT in self.subjects and subject != INPUT:
            return sorted(self.gains(subject).items(), key=lambda item: item[1])[:count]
        values = {score.name: score.values[self.metrics[0]] for score in self.of(subject)}
        higher = scale_of(self.metrics[0]).higher
        return sorted(values.items(), key=lambda item: item[1] if higher else -item[1])[:count]

    def candidates(self, subject: str) -> Candidates | None:
        """The scores of a subject's candidates; None if it has none or nobody asked."""
        rows = [score.candidates for score in self.of(subject)]
        if not all(rows):
            return None
        table = torch.tensor([list(row.values()) for row in rows], dtype=torch.float64)
        if not scale_of(self.metrics[0]).higher:
            table = -table
        sign = 1 if scale_of(self.metrics[0]).higher else -1
        single = best_single(table)
        return Candidates(
            sign * best_overall(table), sign * single.score, list(rows[0])[single.index], sign * float(table.mean())
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values; what is not finite (the PSNR of equal images) becomes None, as JSON has no word for it."""
        return {
            "protocol": {
                "name": self.protocol_name,
                **asdict(self.protocol),
                **({"alignment": asdict(self.alignment)} if self.alignment else {}),
                **({"run": self.run} if self.run else {}),
            },
            "metrics": [
                {"name": name, "label": scale_of(name).label, "higher_is_better": scale_of(name).higher} for name in self.metrics
            ],
            "count": len(self.images),
            "subjects": [self._subject_to_dict(subject) for subject in self.subjects],
            "differences": [
                {"subject": a, "over": b, "metric": self.metrics[0], **asdict(self.difference(a, b))} for a, b in self._contests
            ],
            "images": [self._image_to_dict(name) for name in self.images],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """One line for each image and subject: ``image,subject,psnr,ssim,protocol``; what is not finite is ``inf``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "subject", *self.metrics, "protocol"])
        for score in self.scores:
            values = (repr(score.values[metric]) for metric in self.metrics)
            writer.writerow([score.name, score.subject, *values, self.protocol_name])
        return text.getvalue()

    @cached_property
    def _contests(self) -> list[tuple[str, str]]:
        """Who is compared with whom: everything with the input, then each with those named after it."""
        others = [subject for subject in self.subjects if subject != INPUT]
        over_input = [(subject, INPUT) for subject in others if INPUT in self.subjects]
        return [*over_input, *((a, b) for number, a in enumerate(others) for b in others[number + 1 :])]

    @cached_property
    def _by_image(self) -> dict[str, list[Score]]:
        table: dict[str, list[Score]] = {name: [] for name in self.images}
        for score in self.scores:
            table[score.name].append(score)
        return table

    def _subject_to_dict(self, subject: str) -> dict[str, Any]:
        candidates = self.candidates(subject)
        return {
            "name": subject,
            "summary": {metric: _all_finite(asdict(summary)) for metric, summary in self.summary(subject).items()},
            "worst": [name for name, _ in self.worst(subject)],
            **({"candidates": _all_finite(asdict(candidates))} if candidates else {}),
        }

    def _image_to_dict(self, name: str) -> dict[str, Any]:
        scores = self._by_image[name]
        candidates = {score.subject: _all_finite(score.candidates) for score in scores if score.candidates}
        return {
            "name": name,
            "scores": {score.subject: _all_finite(score.values) for score in scores},
            **({"candidates": candidates} if candidates else {}),
        }


def _summarise(values: Mapping[str, float], metric: str) -> Summary:
    worst = (min if scale_of(metric).higher else max)(values, key=lambda name: values[name])
    numbers = list(values.values())
    return Summary(statistics.fmean(numbers), statistics.median(numbers), values[worst], worst)


def capped(value: float, metric: str) -> float:
    """A score as differences take it: the PSNR of equal images is :data:`PSNR_CEILING`."""
    return min(value, PSNR_CEILING) if metric == "psnr" else value


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _all_finite(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _finite(value) for key, value in table.items()}
