"""How a run tells where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from restorekit.training.checkpoint import Progress as RunProgress
from restorekit.training.recipe import Recipe


class Reporter:
    """Hears what happens in a run and says nothing."""

    @contextmanager
    def running(self, recipe: Recipe, progress: RunProgress, place: str) -> Iterator[None]:
        """Called around all steps."""
        yield

    def logged(self, step: int, values: dict[str, float]) -> None:
        """Called with the losses after ``step`` steps."""

    def noted(self, text: str) -> None:
        """Called with what is worth knowing of the data."""

    def validated(self, step: int, values: dict[str, float], summary: str, merit: float) -> None:
        """Called with the validation's scores after ``step`` steps; ``merit`` grows as the network gets better."""

    def passed_over(self, step: int, count: int) -> None:
        """Called when the ``count`` steps up to ``step`` were passed over, because their gradients were not finite."""

    def gave_up(self, step: int, best: int) -> None:
        """Called when the run ends after ``step`` steps because since those up to ``best`` nothing got better."""

    def stopped(self, step: int) -> None:
        """Called when the run ends before its end, as it was asked to, with a checkpoint after ``step`` steps."""

    def ended(self, card: Path) -> None:
        """Called when the run has come to its end and its ``card`` is written."""


class ConsoleReporter(Reporter):
    """A progress bar with rate and time left on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, emoji=False)

    @contextmanager
    def running(self, recipe: Recipe, progress: RunProgress, place: str) -> Iterator[None]:
        """Show the bar."""
        begin = f"from step {progress.step} " if progress.step else ""
        self.console.print(f"Training {recipe.name} ({recipe.method}) {begin}on {place}")
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, speed_estimate_period=300, disable=not self.console.is_terminal) as bar:
            self._bar, self._task = bar, bar.add_task("steps", total=recipe.train.steps, completed=progress.step)
            yield

    def logged(self, step: int, values: dict[str, float]) -> None:
        """Move the bar."""
        losses = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        self._bar.update(self._task, completed=step, description=losses)
        if not self.console.is_terminal:
            self.console.print(f"step {step}: {losses}", soft_wrap=True)

    def noted(self, text: str) -> None:
        """Print it."""
        self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def validated(self, step: int, values: dict[str, float], summary: str, merit: float) -> None:
        """Print the scores."""
        self.console.print(f"step {step}: validation {summary}, after {values['hours']:.2f} h", soft_wrap=True)

    def passed_over(self, step: int, count: int) -> None:
        """Print a warning."""
        self.console.print(f"step {step}: the gradient is not finite, {count} in a row passed over", soft_wrap=True)

    def gave_up(self, step: int, best: int) -> None:
        """Print which weights are kept."""
        told = f"Ended after step {step}, as nothing got better since step {best}, whose weights are kept"
        self.console.print(told, soft_wrap=True)

    def stopped(self, step: int) -> None:
        """Print how to go on."""
        self.console.print(f"Stopped after step {step}; the same command goes on from there", soft_wrap=True)

    def ended(self, card: Path) -> None:
        """Print how to use it."""
        told = f"The card is written; use it with --model {card}"
        self.console.print(told, soft_wrap=True, markup=False, highlight=False)


class AdaptingReporter(ConsoleReporter):
    """Tells also how much better the weights have become than those they began as, by what decides in validations.

    Args:
        kept: whether the run's folder outlives the command, so that a run that was stopped can go on.
        console: where to.
    """

    def __init__(self, kept: bool, console: Console | None = None) -> None:
        super().__init__(console)
        self.kept = kept
        self._seen: dict[int, tuple[float, str, float]] = {}

    def validated(self, step: int, values: dict[str, float], summary: str, merit: float) -> None:
        """Print the scores."""
        super().validated(step, values, summary, merit)
        self._seen[step] = (merit, *next(iter(values.items())))

    def stopped(self, step: int) -> None:
        """Print how to go on, or how that would have been possible."""
        if self.kept:
            super().stopped(step)
        else:
            self.console.print(f"Stopped after step {step}; nothing was kept. Add --keep RUN to go on another time")

    def ended(self, card: Path) -> None:
        """Print it, if the first weights were validated in this run."""
        if 0 not in self._seen:
            return
        best = max(self._seen, key=lambda step: self._seen[step][0])
        _, name, value = self._seen[best]
        before = self._seen[0][2]
        better = f"{value - before:.2f} dB above" if value > before else f"{1 - value / before:.1%} below"  # a PSNR, or a loss
        told = f"Best after step {best}: {name} {value:.4f}, {better} the beginning"
        self.console.print(told if best else "No step made the model better; it is used as it was", soft_wrap=True)
