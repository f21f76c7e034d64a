"""Recipes: everything that decides what a training gives, in one TOML file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from restorekit.degradations import get_degradation
from restorekit.errors import CardError, SettingError, UnknownNameError
from restorekit.methods import Method, get_method, list_methods
from restorekit.settings import from_table, read_toml, to_table
from restorekit.training.assigning import assign, in_full, key_of
from restorekit.training.data_settings import DataSettings
from restorekit.zoo import Card, load_card

SMALLEST = 11
"""Side in pixels of the smallest photograph that can be scored: the window of SSIM."""

LARGEST_SEED = 2**32 - 1
"""Step, process and seed together make the seed of each step's random numbers, of 64 bits."""


@dataclass(frozen=True)
class Stage:
    """A part of a training that grows its crops on the way.

    Attributes:
        until: the step this stage ends before.
        patch: side of a pair in pixels.
        batch: pairs in a step.
    """

    until: int
    patch: int
    batch: int

    def __post_init__(self) -> None:
        if min(self.until, self.patch, self.batch) < 1:
            raise ValueError("until, patch and batch must be at least 1")


@dataclass(frozen=True)
class TrainSettings:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: pairs in a step, over all processes.
        patch: side of a pair in pixels.
        stages: what ``batch`` and ``patch`` are in the course of time, in the order of their ends; steps after the last of them
            use ``batch`` and ``patch``.
        accumulate: parts a batch is cut into that go through the network one after the other, for want of memory.
        checkpointing: compute activations inside blocks again in the backward pass instead of keeping them.
        optimiser: AdamW decouples weight decay, Adam does not.
        learning_rate: the peak.
        final_learning_rate: the cosine's end.
        schedule: ``"cosine"``: half a cosine from the peak to the end; ``"restarts"``: one of ``period`` steps after another, its
            peak ``decay`` times the one before; ``"steps"``: ``decay`` times less every ``period`` steps.
        warmup: steps of linear rise to the peak.
        hold: steps at the peak before the cosine sets in.
        period: see ``schedule``.
        decay: see ``schedule``.
        weight_decay: the optimiser's.
        betas: the optimiser's.
        amsgrad: let the optimiser divide by the largest second moment so far.
        clip: largest global norm of the gradient; 0 for no clipping.
        clip_value: largest value of each of the gradient's elements; 0 for no clipping.
        ema: decay of the averaged weights, the ones that are validated and shipped; 0 keeps the raw ones.
        seed: fixes the first weights, the pairs and with them, on a CPU, every bit of the result.
        precision: ``"fp32"``, ``"bf16"`` for mixed precision, or ``"auto"``: bf16 on devices that compute in it natively, fp32 on
            others, where it would be many times slower.
        compile: compile the network with ``torch.compile``; slow to start, faster to run.
        channels_last: keep maps pixel by pixel in memory; faster wherever it was measured.
        rates: factors of the learning rate for parts of the network, by how the names of their weights begin, for example
            ``{ encoder = 0.3 }``; 1 for the others, and 0 for what stays as it is, which then costs no gradient.
        init: name or path of a card whose weights are the first weights; empty for fresh ones.
        grow: the network may be deeper than the card of ``init``: blocks it has no weights for begin fresh. NAF blocks begin as
            the identity, so that a network that grew by such blocks begins where the card ended.
        keep_statistics: leave the running statistics of the batch normalisation in what ``init`` has weights for as they are, and
            use them, because batches are small or unlike those that they are from.
        patience: steps in a row whose gradient may be not finite; they are passed over. One more ends the run.
    """

    steps: int
    batch: int = 8
    patch: int = 128
    stages: tuple[Stage, ...] = ()
    accumulate: int = 1
    checkpointing: bool = False
    optimiser: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-7
    schedule: Literal["cosine", "restarts", "steps"] = "cosine"
    warmup: int = 0
    hold: int = 0
    period: int = 0
    decay: float = 0.5
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.9)
    amsgrad: bool = False
    clip: float = 0.01
    clip_value: float = 0.0
    ema: float = 0.999
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    compile: bool = False
    channels_last: bool = True
    rates: dict[str, float] = field(default_factory=dict)
    init: str = ""
    grow: bool = False
    keep_statistics: bool = False
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if not (0 < self.learning_rate < math.inf and 0 <= self.final_learning_rate < math.inf and 0 < self.decay <= 1):
            raise ValueError("learning_rate must be positive, final_learning_rate not negative, decay above 0 and at most 1")
        if self.final_learning_rate > self.learning_rate:
            raise ValueError("final_learning_rate must not be above learning_rate")
        if not all(0 <= value < math.inf for value in (self.clip, self.clip_value, self.weight_decay)):
            raise ValueError("clip, clip_value and weight_decay must not be negative")
        if not all(0 <= value < 1 for value in (self.ema, *self.betas)):
            raise ValueError("ema and betas must lie in [0, 1)")
        if min(self.warmup, self.hold, self.period, self.patience) < 0:
            raise ValueError("warmup, hold, period and patience must not be negative")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ValueError(f"seed must lie from 0 to {LARGEST_SEED}")
        if not all(0 <= factor < math.inf for factor in self.rates.values()):
            raise ValueError("rates must not be negative")
        if self.keep_statistics and not self.init:
            raise ValueError("keep_statistics needs init, whose statistics are kept")
        if self.grow and not self.init:
            raise ValueError("grow needs init, whose weights are grown from")
        if self.hold and self.schedule != "cosine":
            raise ValueError('hold is for schedule = "cosine"')
        if self.hold and self.warmup + self.hold >= self.steps:
            begun = self.warmup + self.hold
            raise ValueError(
                f"hold and warmup are {begun} of {self.steps} steps, and none is left to lower the rate in: lower hold"
            )
        if self.schedule != "cosine" and self.period < 1:
            raise ValueError(f'schedule = "{self.schedule}" needs a period of at least 1')
        ends = [stage.until for stage in self.stages]
        if ends != sorted(set(ends)):
            raise ValueError("each stage must end later than the one before")

    def size_at(self, step: int) -> tuple[int, int]:
        """Pairs and their side at ``step``, from 0."""
        for stage in self.stages:
            if step < stage.until:
                return stage.batch, stage.patch
        return self.batch, self.patch

    def sizes(self) -> dict[tuple[int, int], int]:
        """Each number of pairs and their side that steps have, and the first step, from 0, that has it."""
        begins = [0, *(stage.until for stage in self.stages)]
        found: dict[tuple[int, int], int] = {}
        for begin in begins:
            if begin < self.steps:
                found.setdefault(self.size_at(begin), begin)
        return found

    @property
    def pairs(self) -> int:
        """Pairs that all steps see together."""
        return self.pairs_before(self.steps)

    def pairs_before(self, step: int) -> int:
        """Pairs that the steps before ``step`` see together."""
        seen = begin = 0
        for stage in self.stages:
            seen += stage.batch * max(0, min(stage.until, step) - begin)
            begin = stage.until
        return seen + self.batch * max(0, step - begin)


@dataclass(frozen=True)
class ReportSettings:
    """How often a run looks up from its work.

    Attributes:
        log_every: steps between lines of the log.
        validate_every: steps between validations; also validated at the end.
        validate_first: validate the first weights too, so that those after must beat them.
        checkpoint_every: steps between checkpoints.
        keep: checkpoints that are kept besides the last one.
        give_up_after: validations in a row without a better result that end the run early; 0 never does.
        samples: validation photographs that are saved as pictures.
        validation_crop: side of the middle square validated on, 0 for whole photographs.
        validation_tile: longest side of the tiles that photographs are validated in, 0 for as they are. Networks that judge an
            image as a whole answer otherwise in tiles, and large photographs may not fit a GPU in one.
        validation_seed: fixes the degraded side of the validation photographs.
    """

    log_every: int = 50
    validate_every: int = 2000
    validate_first: bool = False
    checkpoint_every: int = 500
    keep: int = 0
    give_up_after: int = 0
    samples: int = 6
    validation_crop: int = 0
    validation_tile: int = 0
    validation_seed: int = 2022

    def __post_init__(self) -> None:
        if min(self.log_every, self.validate_every, self.checkpoint_every) < 1:
            raise ValueError("log_every, validate_every and checkpoint_every must be at least 1")
        if min(self.keep, self.give_up_after, self.samples, self.validation_tile) < 0:
            raise ValueError("keep, give_up_after, samples and validation_tile must not be negative")
        if self.validation_seed < 0:
            raise ValueError("validation_seed must not be negative")
        if self.validation_crop and self.validation_crop < SMALLEST:
            raise ValueError(f"validation_crop must be 0, or at least {SMALLEST}, which scores need")


@dataclass(frozen=True)
class CardSettings:
    """What the card of the result says of itself; see :class:`restorekit.zoo.Card`."""

    tasks: tuple[str, ...] = ()
    default_for: tuple[str, ...] = ()
    contends_for: tuple[str, ...] = ()
    summary: str = ""
    licence: str = ""
    data: str = ""
    limits: str = ""


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        name: name of the card it makes.
        method: the method that is taught.
        preset: configuration the ``[config]`` table starts from.
        config: keys of the method's configuration that differ from the preset.
        objective: settings of the method's loss.
        degradation: settings of the degradation.
        data, train, report, card: see there.
    """

    name: str
    method: str
    data: DataSettings
    train: TrainSettings
    preset: str = "compact"
    config: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)
    degradation: dict[str, Any] = field(default_factory=dict)
    report: ReportSettings = field(default_factory=ReportSettings)
    card: CardSettings = field(default_factory=CardSettings)

    def __post_init__(self) -> None:
        method = get_method(self.method)
        if self.preset not in method.presets:
            raise UnknownNameError("preset", self.preset, method.presets, f"recipe '{self.name}'")
        self.method_config()

    def method_config(self) -> Any:
        """The method's configuration: the preset, with the recipe's ``[config]`` on top."""
        method: Method[Any] = get_method(self.method)
        table = to_table(method.presets[self.preset])
        return from_table(method.config_type, {**table, **self.config}, f"recipe '{self.name}' [config]")

    def to_card(self) -> Card:
        """The card of the result, as far as it is known beforehand.

        Raises:
            ValueError: if there can be no such card.
        """
        says = self.card
        return Card(
            name=self.name,
            method=self.method,
            tasks=says.tasks,
            default_for=says.default_for,
            contends_for=says.contends_for,
            summary=says.summary,
            licence=says.licence,
            limits=says.limits,
            config=to_table(self.method_config()),
        )

    def to_table(self) -> dict[str, Any]:
        """The resolved recipe as plain values, as stored in checkpoints and cards."""
        table: dict[str, Any] = to_table(self)
        return table

    def digest(self) -> str:
        """SHA-256 of the resolved recipe: equal digests mean equal trainings."""
        return hashlib.sha256(json.dumps(self.to_table(), sort_keys=True).encode()).hexdigest()


_SECTIONS = {"data": DataSettings, "train": TrainSettings, "report": ReportSettings, "card": CardSettings}


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(resources.files("restorekit"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str | Path, assignments: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, or the shipped one of that name, with ``"section.key=value"`` assignments applied.

    ``"key=value"`` will do where only one section has such a key. Data that is assigned takes the place of the recipe's, see
    :func:`restorekit.training.assigning.assign`.

    Raises:
        UnknownNameError: for a name that is neither, and for keys that no recipe has.
        SettingError: for values that do not hold.
    """
    path = Path(source)
    if path.suffix != ".toml" and len(path.parts) == 1:
        known = shipped_recipes()
        if str(source) not in known:
            raise UnknownNameError("recipe", str(source), known)
        path = known[str(source)]
    table = read_toml(path)
    assignments = in_full(assignments, table, _SECTIONS, str(path))
    recipe = from_table(Recipe, {"name": path.stem, **assign(table, assignments)}, str(path))
    assigned = set(map(key_of, assignments))
    if recipe.train.stages and assigned & {"train.batch", "train.patch"} and "train.stages" not in assigned:
        raise SettingError(
            f"{path} has stages, which say what batch and patch are", "Set train.stages too; train.stages=[] leaves them out"
        )
    if recipe.data.is_empty:
        raise SettingError(f"{path} names no photographs", 'Add clean = ["folder"], pairs, noisy or videos to [data]')
    tasks = recipe.card.tasks or get_method(recipe.method).tasks
    recipe = replace(recipe, card=replace(recipe.card, tasks=tasks))
    _check_result(recipe, str(path))
    get_degradation(recipe.data.degradation, recipe.degradation)
    if recipe.train.init.endswith((".safetensors", ".pt", ".pth", ".ckpt")):
        try:
            load_card(recipe.train.init)
        except CardError as error:
            raise SettingError(f"{path} train init: {error.problem}", error.remedy) from None
    return recipe


def _check_result(recipe: Recipe, where: str) -> None:
    """:class:`SettingError` or :class:`UnknownNameError` for what no card can say: better now than when it is written."""
    known = {task for method in list_methods() for task in get_method(method).tasks}
    for task in recipe.card.tasks:
        if task not in known:
            raise UnknownNameError("task", task, known, f"{where} card tasks")
    try:
        recipe.to_card()
    except ValueError as error:
        raise SettingError(f"{where}: {error}", "Correct it in the recipe or with --set") from None
