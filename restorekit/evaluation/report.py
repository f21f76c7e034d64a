"""The scores of a set of images, and their summary, for people and for machines."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from restorekit.evaluation.protocol import Protocol

LABELS = {"psnr": "PSNR", "ssim": "SSIM", "input_psnr": "PSNR in", "input_ssim": "SSIM in", "gain": "gain"}
_DECIMALS = {"psnr": 2, "ssim": 4, "input_psnr": 2, "input_ssim": 4, "gain": 2}


@dataclass(frozen=True)
class Score:
    """One image against its target.

    Attributes:
        name: the image's path below its folder, without the extension.
        psnr: in decibels; infinite for equal images.
        ssim: at most 1.
        input_psnr: of the image before restoration, where it was at hand.
        input_ssim: the same for SSIM.
    """

    name: str
    psnr: float
    ssim: float
    input_psnr: float | None = None
    input_ssim: float | None = None

    @property
    def gain(self) -> float | None:
        """PSNR gained over the input, in decibels."""
        return None if self.input_psnr is None else self.psnr - self.input_psnr

    def values(self) -> dict[str, float]:
        """The numbers there are, by metric."""
        return {metric: value for metric in LABELS if (value := getattr(self, metric)) is not None}


@dataclass(frozen=True)
class Summary:
    """A metric over a set: mean, median, and the lowest score with the image that has it."""

    mean: float
    median: float
    worst: float
    worst_name: str


@dataclass(frozen=True)
class Table:
    """A report as text: column titles, a row for each image, and the rows ``mean``, ``median`` and ``worst``."""

    columns: tuple[str, ...]
    images: tuple[tuple[str, ...], ...]
    summary: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """Scores under one protocol. There is at least one."""

    protocol: Protocol
    scores: tuple[Score, ...]

    def summary(self) -> dict[str, Summary]:
        """The summary of each metric every image has."""
        rows = [score.values() for score in self.scores]
        return {metric: self._summarise(metric) for metric in LABELS if all(metric in row for row in rows)}

    def to_table(self) -> Table:
        """The report as text, PSNR with two and SSIM with four decimals."""
        summary = self.summary()
        images = tuple((score.name, *_texts((m, score.values()[m]) for m in summary)) for score in self.scores)
        last = tuple((what, *_texts((m, getattr(s, what)) for m, s in summary.items())) for what in ("mean", "median", "worst"))
        return Table(("image", *(LABELS[metric] for metric in summary)), images, last)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values; what is not finite (the PSNR of equal images) becomes None, as JSON has no word for it."""
        return {
            "protocol": {"name": self.protocol.name, **asdict(self.protocol)},
            "count": len(self.scores),
            "summary": {metric: _finite(asdict(summary)) for metric, summary in self.summary().items()},
            "images": [{"name": score.name, **_finite(score.values())} for score in self.scores],
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def _summarise(self, metric: str) -> Summary:
        values = {score.name: score.values()[metric] for score in self.scores}
        worst = min(values, key=lambda name: values[name])
        numbers = list(values.values())
        return Summary(statistics.fmean(numbers), statistics.median(numbers), values[worst], worst)


def _texts(values: Iterable[tuple[str, float]]) -> Iterable[str]:
    return (f"{value:+.{_DECIMALS[m]}f}" if m == "gain" else f"{value:.{_DECIMALS[m]}f}" for m, value in values)


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in table.items()}
