"""How a run tells where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from restorekit.training.checkpoint import Progress as RunProgress
from restorekit.training.recipe import Recipe


class Reporter:
    """Hears what happens in a run and says nothing."""

    @contextmanager
    def running(self, recipe: Recipe, progress: RunProgress, device: str) -> Iterator[None]:
        """Called around all steps."""
        yield

    def logged(self, step: int, values: dict[str, float]) -> None:
        """Called with the losses after ``step`` steps."""

    def validated(self, step: int, values: dict[str, float], summary: str) -> None:
        """Called with the validation's scores after ``step`` steps."""

    def passed_over(self, step: int, count: int) -> None:
        """Called when the ``count`` steps up to ``step`` were passed over, because their gradients were not finite."""

    def stopped(self, step: int) -> None:
        """Called when the run ends before its end, as it was asked to, with a checkpoint after ``step`` steps."""


class ConsoleReporter(Reporter):
    """A progress bar with rate and time left on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    @contextmanager
    def running(self, recipe: Recipe, progress: RunProgress, device: str) -> Iterator[None]:
        """Show the bar."""
        begin = f"from step {progress.step} " if progress.step else ""
        self.console.print(f"Training {recipe.name} ({recipe.method}) {begin}on {device}, {recipe.train.precision}")
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

    def validated(self, step: int, values: dict[str, float], summary: str) -> None:
        """Print the scores."""
        self.console.print(f"step {step}: validation {summary}, after {values['hours']:.2f} h", soft_wrap=True)

    def passed_over(self, step: int, count: int) -> None:
        """Print a warning."""
        self.console.print(f"step {step}: the gradient is not finite, {count} in a row passed over", soft_wrap=True)

    def stopped(self, step: int) -> None:
        """Print how to go on."""
        self.console.print(f"Stopped after step {step}; the same command goes on from there", soft_wrap=True)
