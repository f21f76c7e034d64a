"""What a run leaves: weights and a card that ``--model`` takes at once."""

from __future__ import annotations

import math
import platform
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import nn

from restorekit.errors import CardError
from restorekit.images.atomic import replacing
from restorekit.training.checkpoint import Progress
from restorekit.training.recipe import Recipe, load_recipe, shipped_recipes
from restorekit.training.validation import Scores
from restorekit.zoo import Score, load_card, load_network, write_card


def write_result(recipe: Recipe, folder: Path, network: nn.Module, facts: dict[str, Any], scores: Scores | None) -> Path:
    """Write ``<name>.safetensors`` and ``<name>.toml``, which tells the ``facts``, into ``folder``, and beside them the resolved
    recipe, ``<name>.recipe.toml``; return the card's path.
    """
    told = () if scores is None or math.isnan(scores.input) else (validation_score(recipe, scores),)
    path = write_card(replace(recipe.to_card(), training=facts, scores=told), network.state_dict(), folder)
    _write_recipe(recipe, path)
    return path


def carry_over(recipe: Recipe, folder: Path, name: str) -> bool:
    """Give the best weights so far, which a run wrote as ``name`` before its recipe had another, the recipe's name too; whether
    there were any.
    """
    try:
        before = load_card(folder / f"{name}.toml")
        network = load_network(before)
    except CardError:
        return False
    card = replace(before, name=recipe.name, training={**before.training, "recipe": recipe.name})
    _write_recipe(recipe, write_card(card, network.state_dict(), folder))
    return True


def _write_recipe(recipe: Recipe, card: Path) -> None:
    import tomli_w

    with replacing(card.with_name(_recipe_beside(recipe.name))) as file:
        file.write(tomli_w.dumps(recipe.to_table(), multiline_strings=True).encode())


def _recipe_beside(name: str) -> str:
    return f"{name}.recipe.toml"


def _is_shipped(recipe: Recipe) -> bool:
    """Whether the recipe of this name that comes with the package says the same."""
    return recipe.name in shipped_recipes() and load_recipe(recipe.name).digest() == recipe.digest()


def training_facts(recipe: Recipe, progress: Progress, device: torch.device, processes: int, precision: str) -> dict[str, Any]:
    """What a card says of how its weights came about; ``precision`` is the one that was computed in."""
    return {
        "data": recipe.card.data or recipe.data.described(),
        **({"degradation": recipe.data.degradation} if recipe.data.clean else {}),
        "recipe": recipe.name,
        "recipe_sha256": recipe.digest(),
        "steps": progress.step,
        "of_steps": recipe.train.steps,
        "pairs": recipe.train.pairs_before(progress.step),
        "patch": recipe.train.size_at(max(progress.step - 1, 0))[1],
        "precision": precision,
        "hours": round(progress.seconds / 3600, 2),
        "hardware": hardware(device, processes),
        "torch": torch.__version__,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def hardware(device: torch.device, processes: int) -> str:
    """In words, what ``processes`` train on: a device like this one each."""
    if device.type == "cuda":
        name, many = torch.cuda.get_device_name(device), f"{processes} x "
    else:
        name, many = f"{torch.get_num_threads()} CPU threads ({platform.machine()})", f"{processes} processes of "
    return name if processes == 1 else many + name


def validation_score(recipe: Recipe, scores: Scores) -> Score:
    """The score of the run's own validation."""
    crop, seed = recipe.report.validation_crop, recipe.report.validation_seed
    part = f"middle {crop} x {crop} at most" if crop else "whole photographs"
    if tile := recipe.report.validation_tile:
        part += f" in tiles of {tile}"
    protocols = {
        "psnr": f"RGB, {part}" + (f", degraded with seed {seed}" if recipe.data.validation else ""),
        "abs_rel": "median scaling, 0.001 to 80; the input's is that of one depth for the whole image",
    }
    digits = {"psnr": 2, "abs_rel": 4}[scores.metric]
    return Score(
        set=" + ".join(recipe.data.validation_names),
        metric={"psnr": "PSNR"}.get(scores.metric, scores.metric),
        input=round(scores.input, digits),
        output=round(scores.output, digits),
        protocol=protocols[scores.metric],
        command=f"restorekit train {recipe.name if _is_shipped(recipe) else _recipe_beside(recipe.name)}",
    )
