"""Teaching a model on the very photographs it is to restore, for methods that need no truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from restorekit import images
from restorekit.errors import UsageError
from restorekit.methods import Lesson, self_taught
from restorekit.training.data_settings import DataSettings, VideoFolder
from restorekit.training.footage import Footage
from restorekit.training.recipe import CardSettings, Recipe, ReportSettings, TrainSettings, load_recipe, shipped_recipes
from restorekit.zoo import Card

_RENOISED_CROP = 80
"""Side of crops of photographs at half size."""
_MULTIPLE = 10
"""Their sides are multiples of this."""
_SMALLEST = 30
"""Side of the smallest crop that teaches anything."""
_PATIENCE = 6
"""Validations, twenty to a run, without anything better that end it."""


def adapt_to_noise(card: Card, photographs: Sequence[Path], steps: int, *, fresh: bool = False, seed: int = 0) -> Recipe:
    """A recipe that teaches a denoiser on ``photographs``, noisy as they are.

    A method that can learn from them alone does, see :meth:`~restorekit.methods.Method.lesson`: crops that are held back tell by
    its loss when to stop, and whether the card's weights are beaten at all. Any other network was taught on clean pictures, and
    learns from its own answers, reduced, with the photographs' noise on them (:mod:`restorekit.data.renoised`); such pairs that
    are held back tell when to stop.

    Args:
        card: whose weights, or for ``fresh`` whose configuration, to begin with.
        photographs: files.
        steps: optimiser steps at most.
        fresh: begin with fresh weights, which only a method can that learns from noisy photographs alone.
        seed: fixes the crops.

    Raises:
        UsageError: if the card is for something else than noise, or a photograph is too small; if it is to begin with fresh
            weights and its method needs clean photographs.
    """
    if "denoise" not in card.tasks:
        raise UsageError(f"'{card.name}' is for {' and '.join(card.tasks)}, not for noise", "Use a model for denoise")
    lesson = _lesson("denoise", card, steps, fresh)
    renoised = lesson is None
    if fresh and renoised:
        raise UsageError(
            f"'{card.name}' cannot begin afresh: {card.method} needs clean photographs for that", _use_one_of("denoise")
        )
    lesson = lesson or Lesson(3e-4, _with_truth(card), _RENOISED_CROP, _MULTIPLE)
    return _recipe(
        card,
        lesson,
        DataSettings(
            noisy=tuple(photographs), held_back=64 if renoised else 8, denoiser=str(card.path or card.name) if renoised else ""
        ),
        CardSettings(
            summary=f"{card.name}, taught further on {len(photographs)} noisy photograph{'s' if len(photographs) > 1 else ''}",
            data="the noisy photographs themselves" + (", and their noise on what the model made of them" if renoised else ""),
            limits="For photographs of the same camera and sensitivity.",
        ),
        fresh=fresh,
        patience=0 if fresh or renoised else _PATIENCE,
        steps=steps,
        patch=_crop_side(photographs, 2 if renoised else 1, lesson),
        optimiser="adam",
        weight_decay=0.0,
        ema=0.98 if renoised else 0.99,
        seed=seed,
        precision="fp32",
    )


def adapt_to_video(
    card: Card,
    videos: Sequence[Path],
    steps: int,
    footage: Footage,
    *,
    intrinsics: tuple[float, ...] = (),
    fresh: bool = False,
    seed: int = 0,
) -> Recipe:
    """A recipe that teaches depth on videos, without any depth, as the card's method says (:meth:`Method.lesson`).

    Flow that has to be found is found by dense inverse search, and motion from it; of frames twice as far apart, too, for the
    parallax. Normalisation keeps the card's statistics, as batches are small. Triplets that are held back tell by the
    photometric error when to stop.

    Args:
        card: whose weights, or for ``fresh`` whose configuration, to begin with.
        videos: video files, folders of frames, or folders of those.
        steps: optimiser steps at most.
        footage: what the (first) video is like.
        intrinsics: fx, fy, cx, cy as shares of width and height; empty for those beside the frames, else assumed ones.
        fresh: begin with fresh weights. That takes thousands of frames and steps.
        seed: fixes the order of the triplets.

    Raises:
        UsageError: if the card is not of a method that learns from videos.
    """
    lesson = _lesson("depth", card, steps, fresh, footage.size)
    if lesson is None:
        raise UsageError(f"'{card.name}' cannot be adapted: {card.method} does not learn from video", _use_one_of("depth"))
    found = lesson.finds_flow
    return _recipe(
        card,
        lesson,
        DataSettings(
            videos=tuple(VideoFolder(path, intrinsics) for path in videos),
            gaps=(footage.gap, 2 * footage.gap) if found else (footage.gap,),
            flow="dis" if found else "none",
            motion="flow" if found else "none",
            held_back=8,
        ),
        CardSettings(
            summary=f"{card.name}, taught further on video",
            data="the frames themselves, without depth",
            limits="For scenes and a camera like those of the video.",
        ),
        fresh=fresh,
        patience=0 if fresh else _PATIENCE,
        steps=steps,
        patch=lesson.crop,
        weight_decay=1e-2,
        ema=0.99,
        seed=seed,
        keep_statistics=not fresh,
    )


def _recipe(
    card: Card, lesson: Lesson, data: DataSettings, says: CardSettings, *, fresh: bool, patience: int, steps: int, **train: Any
) -> Recipe:
    """What all such recipes share: a short run that looks up twenty times, and where it begins.

    Args:
        card: whose network learns.
        lesson: how.
        data: on what.
        says: what the new card says of itself.
        fresh: whether it begins with fresh weights; else the card's must be beaten.
        patience: validations without anything better that end the run; 0 never does.
        steps: optimiser steps at most.
        train: the rest of the recipe's table.
    """
    often, every = max(steps // 100, 1), max(steps // 20, 1)
    return Recipe(
        name=f"{card.name}-adapted",
        method=card.method,
        data=data,
        train=TrainSettings(
            steps=steps,
            batch=4,
            learning_rate=lesson.learning_rate,
            final_learning_rate=lesson.learning_rate / 10,
            betas=(0.9, 0.999),
            clip=1.0,
            rates=dict(lesson.rates),
            init="" if fresh else str(card.path or card.name),
            **train,
        ),
        config={**card.config, **lesson.config},
        objective=dict(lesson.objective),
        report=ReportSettings(
            log_every=often,
            validate_every=every,
            validate_first=not fresh,
            checkpoint_every=every,
            samples=0,
            give_up_after=patience,
        ),
        card=replace(says, tasks=card.tasks, licence=card.licence),
    )


def _lesson(task: str, card: Card, steps: int, fresh: bool, frame: tuple[int, int] = (0, 0)) -> Lesson | None:
    """How the card's method learns a task from the inputs alone; None where it cannot."""
    method = card.restoration_method()
    return method.lesson(card.parsed_config(), steps, fresh=fresh, frame=frame) if task in method.alone else None


def _use_one_of(task: str) -> str:
    return f"Use a {' or '.join(self_taught(task))} model"


def _with_truth(card: Card) -> dict[str, Any]:
    """The loss of a denoiser that is shown clean pictures: what its method says, or else the recipe that taught it, if it is
    ours.
    """
    if settings := card.restoration_method().with_truth:
        return dict(settings)
    name = str(card.training.get("recipe", ""))
    recipe = load_recipe(name) if name in shipped_recipes() else None
    return dict(recipe.objective) if recipe is not None and recipe.method == card.method else {}


def _crop_side(photographs: Sequence[Path], reduced: int, lesson: Lesson) -> int:
    """As large as all photographs allow once they are ``reduced`` so many times, up to what the lesson says."""
    sides = {path: min(images.read(path).size) for path in photographs}
    smallest = min(sides, key=lambda path: sides[path])
    side = min(lesson.crop, sides[smallest] // reduced // lesson.multiple * lesson.multiple)
    if side < _SMALLEST:
        raise UsageError(f"{smallest} is too small to learn from", "Leave it out, or restore it without --adapt")
    return side
