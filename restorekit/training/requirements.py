"""What a recipe, its method and its data must have for each other; refused before anything is learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from restorekit.errors import SettingError
from restorekit.methods import Method, get_method
from restorekit.training.recipe import Recipe, TrainSettings
from restorekit.training.sources import ValidationSet


def require_shares(settings: TrainSettings, parts: int) -> None:
    """:class:`SettingError` for a batch, of any stage, that cannot be cut into so many parts."""
    for (batch, _), step in settings.sizes().items():
        if batch % parts:
            when = f" from step {step}" if step else ""
            problem = f"{batch} pairs of a step{when} cannot be shared out equally to {parts} parts"
            raise SettingError(problem, "Make train.batch, and that of stages, a multiple of processes times train.accumulate")


def require_truth(recipe: Recipe) -> None:
    """:class:`SettingError` for photographs without a clean side where only such a side could teach anything."""
    if not recipe.data.noisy or recipe.data.denoiser:
        return
    objective = get_method(recipe.method).objective(recipe.method_config(), recipe.objective)
    if not objective.self_supervised:
        raise SettingError(
            f"recipe '{recipe.name}' has noisy photographs alone, and its loss compares with clean ones",
            "Set objective.supervised=false where the method has that, name a data.denoiser, or give pairs or clean photographs",
        )


def require_kernels(method: Method[Any], recipe: Recipe) -> None:
    """:class:`SettingError` for pairs to train on that lack what the network needs beside them."""
    if method.extra_inputs and recipe.data.pairs:
        raise SettingError(
            f"{method.name} needs the {' and '.join(method.extra_inputs)} of each photograph, and data.pairs have none",
            "Give clean photographs as data.clean, which are degraded with one that is known",
        )


def require_extras(method: Method[Any], validation: ValidationSet | None) -> None:
    """:class:`SettingError` for photographs to validate on that lack what the network needs beside them."""
    if validation is None or not len(validation) or not method.extra_inputs:
        return
    missing = [name for name in method.extra_inputs if name not in validation[0].extras]
    if missing:
        raise SettingError(
            f"{method.name} needs the {' and '.join(missing)} of each photograph, and the validation's have none",
            "Give clean photographs as data.validation, which are degraded with one that is known",
        )


def require_answer(method: Method[Any], validation: ValidationSet | None) -> None:
    """:class:`SettingError` for a validation of depth where photographs are restored, or the other way round."""
    if validation is None or validation.truth == "none":
        return
    if (validation.truth == "depth") != ("depth" in method.tasks):
        sees = "depth" in method.tasks
        problem = f"{method.name} answers with {'depth' if sees else 'images'}, and what it is to be validated on is not"
        raise SettingError(problem, f"Set data.{'validation_depth' if sees else 'validation or data.validation_pairs'}")


def require_other_folder(recipe: Recipe, folder: Path) -> None:
    """:class:`SettingError` for a fresh run that is to begin with a card which it removes first."""
    card = folder / f"{recipe.name}.toml"
    if recipe.train.init and Path(recipe.train.init).expanduser().resolve() == card.resolve():
        raise SettingError(f"the run is to begin with {card}, which --fresh removes", "Name another folder for the run")
