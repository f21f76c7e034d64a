"""Teaching a model on the very photographs it is to restore, for methods that need no truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from restorekit import images
from restorekit.errors import UsageError
from restorekit.methods.dcpi_depth import DcpiDepthConfig
from restorekit.methods.dcpi_depth.fitting import fitted_size
from restorekit.settings import to_table
from restorekit.training.data_settings import DataSettings, VideoFolder
from restorekit.training.footage import Footage
from restorekit.training.recipe import CardSettings, Recipe, ReportSettings, TrainSettings, load_recipe, shipped_recipes
from restorekit.zoo import Card

_STRIDES = 10
"""Crops for ``cbsn`` are multiples of both its strides, 5 and 2."""
_CROP = 240
"""Side of crops in pixels: the sub-images of the blind pass are a fifth of that, and must hold what a network sees."""
_RENOISED_CROP = 80
"""Side of crops that no blind pass sees, of photographs at half size."""
_PATIENCE = 6
"""Validations, twenty to a run, without anything better that end it."""


def adapt_to_noise(card: Card, photographs: Sequence[Path], steps: int, *, fresh: bool = False, seed: int = 0) -> Recipe:
    """A recipe that teaches a denoiser on ``photographs``, noisy as they are.

    A network that was taught on clean pictures, as all are but those of ``cbsn`` without ``skip``, would forget what those taught
    it under C-BSN's loss. It learns from its own answers, reduced, with the photographs' noise on them
    (:mod:`restorekit.data.renoised`); such pairs that are held back tell when to stop.

    For ``cbsn`` otherwise it is the paper's loss. From taught weights on all terms count at once and the rate is low; a fresh
    network needs the ramp, and a high rate. Crops that are held back tell by L_blind, which cannot be cheated, when to stop, and
    whether the card's weights are beaten at all.

    Args:
        card: whose weights, or for ``fresh`` whose configuration, to begin with.
        photographs: files.
        steps: optimiser steps at most.
        fresh: begin with fresh weights, which only ``cbsn`` can.
        seed: fixes the crops.

    Raises:
        UsageError: if the card is for something else than noise, or a photograph is too small; if it is to begin with fresh
            weights and its method needs clean photographs.
    """
    if "denoise" not in card.tasks:
        raise UsageError(f"'{card.name}' is for {' and '.join(card.tasks)}, not for noise", "Use a model for denoise")
    if fresh and card.method != "cbsn":
        raise UsageError(f"'{card.name}' cannot begin afresh: {card.method} needs clean photographs for that", "Use a cbsn model")
    renoised = not fresh and (card.method != "cbsn" or bool(card.config.get("skip")))
    model = str(card.path or card.name)
    rate = 1e-3 if fresh else 3e-4 if renoised else 1e-4
    every = max(steps // 20, 1)
    return Recipe(
        name=f"{card.name}-adapted",
        method=card.method,
        data=DataSettings(noisy=tuple(photographs), held_back=64 if renoised else 8, denoiser=model if renoised else ""),
        train=TrainSettings(
            steps=steps,
            batch=4,
            patch=_crop_side(photographs, 2, _RENOISED_CROP) if renoised else _crop_side(photographs, 1, _CROP),
            optimiser="adam",
            learning_rate=rate,
            final_learning_rate=rate / 10,
            weight_decay=0.0,
            betas=(0.9, 0.999),
            clip=1.0,
            ema=0.98 if renoised else 0.99,
            seed=seed,
            precision="fp32",
            init="" if fresh else model,
        ),
        config=dict(card.config),
        objective=_with_truth(card) if renoised else {"ramp": round(0.4 * steps) if fresh else 0},
        report=ReportSettings(
            log_every=max(steps // 100, 1),
            validate_every=every,
            validate_first=not fresh,
            checkpoint_every=every,
            samples=0,
            give_up_after=0 if fresh or renoised else _PATIENCE,
        ),
        card=CardSettings(
            tasks=card.tasks,
            summary=f"{card.name}, taught further on {len(photographs)} noisy photograph{'s' if len(photographs) > 1 else ''}",
            licence=card.licence,
            data="the noisy photographs themselves" + (", and their noise on what the model made of them" if renoised else ""),
            limits="For photographs of the same camera and sensitivity.",
        ),
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
    """A recipe that teaches ``dcpi-depth`` on videos, without any depth (the specification's section 9.3).

    Frames are seen in the video's own aspect, if the card's network keeps it. A card without a pose network gets a light one,
    which has to learn faster than depth, whose weights are taught already. Optical flow is that of the card's network, or else
    found by dense inverse search, and then motion is found from it; of frames twice as far apart, too, for the parallax. The
    terms that compare with flow alone begin after a fifth of the steps. Normalisation keeps the card's
    statistics, as batches are small. Found flow is too rough for its derivatives to mean anything, so differential property
    correlation is left out with it. Triplets that are held back tell by the photometric error when to stop.

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
    config = card.parsed_config()
    if not isinstance(config, DcpiDepthConfig):
        raise UsageError(f"'{card.name}' cannot be adapted: {card.method} does not learn from video", "Use a dcpi-depth model")
    height, width = config.height, config.width
    if config.keep_aspect:
        height, width = fitted_size(footage.size, (height, width))
    new_pose, found_flow = config.pose == "none", config.flow == "none"
    rate = 5e-4 if fresh or new_pose else 1e-4
    slower = 0.1 if new_pose else 0.3
    every = max(steps // 20, 1)
    return Recipe(
        name=f"{card.name}-adapted",
        method=card.method,
        data=DataSettings(
            videos=tuple(VideoFolder(path, intrinsics) for path in videos),
            gaps=(footage.gap, 2 * footage.gap) if found_flow else (footage.gap,),
            flow="dis" if found_flow else "none",
            motion="flow" if found_flow else "none",
            held_back=8,
        ),
        train=TrainSettings(
            steps=steps,
            batch=4,
            patch=width,
            learning_rate=rate,
            final_learning_rate=rate / 10,
            weight_decay=1e-2,
            betas=(0.9, 0.999),
            clip=1.0,
            ema=0.99,
            seed=seed,
            rates={} if fresh else dict.fromkeys(("encoder", "decoder"), slower),
            init="" if fresh else str(card.path or card.name),
            keep_statistics=not fresh,
        ),
        config=to_table(replace(config, height=height, width=width, pose="light" if new_pose else config.pose)),
        objective={
            "dense_after": steps // 5,
            **({"divergence": 0.0, "own_unit": True} if found_flow else {"divergence_after": 2 * steps // 3}),
        },
        report=ReportSettings(
            log_every=max(steps // 100, 1),
            validate_every=every,
            validate_first=not fresh,
            checkpoint_every=every,
            samples=0,
            give_up_after=0 if fresh else _PATIENCE,
        ),
        card=CardSettings(
            tasks=card.tasks,
            summary=f"{card.name}, taught further on video",
            licence=card.licence,
            data="the frames themselves, without depth",
            limits="For scenes and a camera like those of the video.",
        ),
    )


def _with_truth(card: Card) -> dict[str, Any]:
    """The loss of a denoiser that is shown clean pictures: that of the recipe that taught it, if it is ours."""
    if card.method == "cbsn":
        return {"supervised": True, "blind_share": 0.0}
    name = str(card.training.get("recipe", ""))
    recipe = load_recipe(name) if name in shipped_recipes() else None
    return dict(recipe.objective) if recipe is not None and recipe.method == card.method else {}


def _crop_side(photographs: Sequence[Path], reduced: int, most: int) -> int:
    """As large as all photographs allow once they are ``reduced`` so many times, up to ``most`` pixels."""
    sides = {path: min(images.read(path).size) for path in photographs}
    smallest = min(sides, key=lambda path: sides[path])
    side = min(most, sides[smallest] // reduced // _STRIDES * _STRIDES)
    if side < 3 * _STRIDES:
        raise UsageError(f"{smallest} is too small to learn from", "Leave it out, or restore it without --adapt")
    return side
