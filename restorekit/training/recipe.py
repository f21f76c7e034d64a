"""Recipes: everything that decides what a training gives, in one TOML file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods import Method, get_method
from restorekit.settings import from_table, override, read_toml, to_table


@dataclass(frozen=True)
class DataSettings:
    """Where photographs come from. Paths are relative to where the command is run.

    Attributes:
        clean: folders of clean photographs to train on.
        validation: folders of clean photographs to validate on.
        halve: file-name patterns of training photographs to reduce to half size first.
        pyramid: cut crops from half-size copies as well.
        degradation: name of the degradation that makes the other side of each pair.
    """

    clean: tuple[Path, ...]
    validation: tuple[Path, ...] = ()
    halve: tuple[str, ...] = ()
    pyramid: bool = True
    degradation: str = "motion"


@dataclass(frozen=True)
class TrainSettings:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        batch: pairs in a step.
        patch: side of a pair in pixels.
        learning_rate: peak of the cosine.
        final_learning_rate: its end.
        warmup: steps of linear rise to the peak.
        weight_decay: AdamW's, decoupled.
        betas: AdamW's.
        clip: largest global norm of the gradient; 0 for no clipping.
        ema: decay of the averaged weights, the ones that are validated and shipped; 0 keeps the raw ones.
        seed: fixes the first weights, the pairs and with them, on a CPU, every bit of the result.
        precision: ``"fp32"``, or ``"bf16"`` for mixed precision.
        compile: compile the network with ``torch.compile``; slow to start, faster to run.
        channels_last: keep maps pixel by pixel in memory; faster wherever it was measured.
        init: name or path of a card whose weights are the first weights; empty for fresh ones.
    """

    steps: int
    batch: int = 8
    patch: int = 128
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-7
    warmup: int = 0
    weight_decay: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.9)
    clip: float = 0.01
    ema: float = 0.999
    seed: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    channels_last: bool = True
    init: str = ""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.learning_rate <= 0 or not 0 <= self.ema < 1 or self.clip < 0:
            raise ValueError("learning_rate must be positive, ema in [0, 1) and clip not negative")


@dataclass(frozen=True)
class ReportSettings:
    """How often a run looks up from its work.

    Attributes:
        log_every: steps between lines of the log.
        validate_every: steps between validations; also validated at the end.
        checkpoint_every: steps between checkpoints.
        samples: validation photographs that are saved as pictures.
        validation_crop: side of the middle square validated on, 0 for whole photographs.
        validation_seed: fixes the degraded side of the validation photographs.
    """

    log_every: int = 50
    validate_every: int = 2000
    checkpoint_every: int = 500
    samples: int = 6
    validation_crop: int = 0
    validation_seed: int = 2022


@dataclass(frozen=True)
class CardSettings:
    """What the card of the result says of itself; see :class:`restorekit.zoo.Card`."""

    tasks: tuple[str, ...] = ()
    default_for: tuple[str, ...] = ()
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

    def to_table(self) -> dict[str, Any]:
        """The resolved recipe as plain values, as stored in checkpoints and cards."""
        table: dict[str, Any] = to_table(self)
        return table

    def digest(self) -> str:
        """SHA-256 of the resolved recipe: equal digests mean equal trainings."""
        return hashlib.sha256(json.dumps(self.to_table(), sort_keys=True).encode()).hexdigest()


def shipped_recipes() -> dict[str, Path]:
    """The recipes inside the package, by name."""
    folder = Path(str(resources.files("restorekit"))) / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_recipe(source: str | Path, assignments: Sequence[str] = ()) -> Recipe:
    """The recipe in a file, or the shipped one of that name, with ``"section.key=value"`` assignments applied.

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
    table = override(read_toml(path), assignments)
    recipe = from_table(Recipe, {"name": path.stem, **table}, str(path))
    if not recipe.data.clean:
        raise SettingError(f"{path} names no clean photographs", 'Add clean = ["folder"] to [data]')
    tasks = recipe.card.tasks or get_method(recipe.method).tasks
    return replace(recipe, card=replace(recipe.card, tasks=tasks))
