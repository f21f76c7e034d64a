"""``--adapt``: a model is taught on the very inputs before it restores them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from restorekit.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from restorekit.training.recipe import Recipe
    from restorekit.training.report import Reporter
    from restorekit.zoo import Card

PANEL = "Adapting"


@dataclass(frozen=True)
class AdaptOptions:
    """Whether to teach the model first, and how long."""

    adapt: Annotated[
        bool, typer.Option("--adapt", help="Teach the model on the inputs themselves first.", rich_help_panel=PANEL)
    ] = False
    adapt_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Steps at most; it may end earlier when nothing gets better. By default 200 for noise and 500 for depth.",
            rich_help_panel=PANEL,
        ),
    ] = None
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Folder for the adapted model, to be used with --model; started again, it goes on from there.",
            rich_help_panel=PANEL,
        ),
    ] = None
    from_scratch: Annotated[
        bool,
        typer.Option("--from-scratch", help="Begin with weights that know nothing: no model is needed.", rich_help_panel=PANEL),
    ] = False

    def check(self) -> None:
        """Raise :class:`UsageError` for options that mean nothing without ``--adapt``."""
        given = {"--adapt-steps": self.adapt_steps, "--keep": self.keep, "--from-scratch": self.from_scratch}
        stray = [name for name, value in given.items() if value]
        if stray and not self.adapt:
            raise UsageError(f"{stray[0]} means nothing without --adapt", "Add --adapt")

    def steps(self, usual: int) -> int:
        """The steps asked for, else the usual ones, five times as many from scratch."""
        return self.adapt_steps or usual * (5 if self.from_scratch else 1)

    def fingerprint(self, steps: int, sources: list[str]) -> dict[str, Any]:
        """What shapes the adapted model, as plain values; empty without ``--adapt``."""
        if not self.adapt:
            return {}
        return {"adapt": {"steps": steps, "from_scratch": self.from_scratch, "sources": sorted(sources)}}


class Adaptation:
    """A model that is taught when it is first needed.

    Attributes:
        card: the adapted one, once :meth:`run` was called.
        folder: of the run.
    """

    def __init__(
        self,
        make: Callable[[], Recipe],
        folder: Path,
        kept: bool,
        device: str,
        quiet: bool,
        judge: Callable[[Recipe, Card], None] | None = None,
    ) -> None:
        self._make, self.folder, self._kept, self._device, self._quiet, self._judge = make, folder, kept, device, quiet, judge
        self.card: Card | None = None

    def run(self) -> None:
        """Teach it.

        Raises:
            typer.Exit: with code 130, if it was interrupted.
            RestoreKitError: as :func:`restorekit.training.train` does.
        """
        from restorekit.training import Hardware, train
        from restorekit.zoo import load_card

        hardware = Hardware(self._device)
        recipe = self._make()
        try:
            path = train(recipe, self.folder, hardware=hardware, reporter=self._reporter())
        except CheckpointError as error:
            raise CheckpointError(error.problem, "Name another folder with --keep, or delete this one") from None
        if path is None:
            raise typer.Exit(130)
        self.card = load_card(path)
        if self._judge is not None:
            self._judge(recipe, self.card)

    def adapted(self) -> Card:
        """The card that :meth:`run` made."""
        if self.card is None:
            raise RuntimeError("the model was not adapted yet")
        return self.card

    def _reporter(self) -> Reporter:
        from restorekit.training.report import AdaptingReporter, Reporter

        return Reporter() if self._quiet else AdaptingReporter(self._kept)


@contextmanager
def adapting(
    options: AdaptOptions,
    make: Callable[[], Recipe],
    device: str,
    quiet: bool,
    judge: Callable[[Recipe, Card], None] | None = None,
) -> Iterator[Adaptation | None]:
    """What teaches the model by a recipe, for as long as its folder is there; None without ``--adapt``.

    Args:
        options: what was asked for.
        make: gives the recipe, once it is needed.
        device: where to train.
        quiet: say nothing but errors.
        judge: called with the recipe and the adapted card.
    """
    from tempfile import TemporaryDirectory

    if not options.adapt:
        yield None
    elif options.keep is not None:
        yield Adaptation(make, options.keep, True, device, quiet, judge)
    else:
        with TemporaryDirectory(prefix="restorekit-", ignore_cleanup_errors=True) as folder:
            yield Adaptation(make, Path(folder), False, device, quiet, judge)
