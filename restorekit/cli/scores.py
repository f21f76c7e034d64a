"""Scores as tables on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restorekit.cli.console import print_tables

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from restorekit.evaluation import Report


def print_scores(scores: Report, protocol: str) -> None:
    """Means and medians, the worst images, and the scores of candidates if there are any, to standard output."""
    count = len(scores.images)
    title = f"{protocol}: {scores.protocol_name}; {count} {'image' if count == 1 else 'images'}"
    tables: list[RenderableType] = [title, _summary(scores), "", _worst(scores)]
    if candidates := _candidates(scores):
        tables += ["", candidates]
    print_tables(*tables)


def _summary(scores: Report) -> Table:
    from rich.table import Table

    from restorekit.evaluation import INPUT, scale_of

    gained = INPUT in scores.subjects and len(scores.subjects) > 1
    main = scale_of(scores.metrics[0]).label
    table = Table("", box=None, pad_edge=False, header_style="bold")
    for metric in scores.metrics:
        table.add_column(scale_of(metric).label, justify="right")
        table.add_column("median", justify="right")
    if gained:
        table.add_column(f"{main} gain", justify="right")
        table.add_column("95 % interval", justify="right")
        table.add_column("better on", justify="right")
    for subject in scores.subjects:
        row = [subject]
        for metric, summary in scores.summary(subject).items():
            digits = scale_of(metric).decimals
            row += [f"{summary.mean:.{digits}f}", f"{summary.median:.{digits}f}"]
        if gained and subject != INPUT:
            found, digits = scores.difference(subject), scale_of(scores.metrics[0]).decimals
            row += [
                signed(found.mean, digits),
                f"{signed(found.low, digits)} to {signed(found.high, digits)}" if found.count > 1 else "of one: none",
                f"{found.wins} of {found.count}",
            ]
        table.add_row(*row)
    return table


def signed(value: float, digits: int) -> str:
    """``+1.20``, ``-0.35`` or ``0.00``: nothing is neither gained nor lost."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def _worst(scores: Report) -> Table:
    from rich.table import Table

    from restorekit.evaluation import INPUT, scale_of

    table = Table(box=None, pad_edge=False, show_header=False)
    gained = INPUT in scores.subjects and len(scores.subjects) > 1
    digits = scale_of(scores.metrics[0]).decimals
    show = signed if gained else lambda value, digits: f"{value:.{digits}f}"
    for subject in scores.subjects:
        if not gained or subject != INPUT:
            table.add_row(
                f"worst of {subject}", ", ".join(f"{name} {show(value, digits)}" for name, value in scores.worst(subject))
            )
    return table


def _candidates(scores: Report) -> Table | None:
    from rich.table import Table

    from restorekit.evaluation import scale_of

    found = {subject: candidates for subject in scores.subjects if (candidates := scores.candidates(subject))}
    if not found:
        return None
    metric = scale_of(scores.metrics[0])
    table = Table(
        f"{metric.label} of the candidates",
        "best overall (chosen by the target)",
        "best single",
        "mean",
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for subject, them in found.items():
        d = metric.decimals
        table.add_row(subject, f"{them.best_overall:.{d}f}", f"{them.best_single:.{d}f} (#{them.single})", f"{them.mean:.{d}f}")
    return table
