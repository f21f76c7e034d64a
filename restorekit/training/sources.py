"""What a recipe's ``[data]`` stands for: batches to train on, and a set to validate on."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch

from restorekit.data import (
    CleanPhotographs,
    HeldBack,
    NoisyBatches,
    PairedBatches,
    PairedSet,
    RenoisedBatches,
    SyntheticBatches,
    SyntheticSet,
    find_images,
    get_layout,
    load_rgb,
    noisy_photographs,
)
from restorekit.data.cache import DecodedImages
from restorekit.data.clips import OnNote, load_clips
from restorekit.data.egomotion import with_motion
from restorekit.data.flow import with_flow
from restorekit.data.pairs import at_least, unusable
from restorekit.data.problems import refuse
from restorekit.data.streams import ALL
from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, as_clip
from restorekit.data.videos import DepthSet, VideoTriplets, held_back_triplets
from restorekit.degradations import get_degradation
from restorekit.errors import DataError, SettingError
from restorekit.methods import Batch
from restorekit.training.data_settings import DataSettings, PairFolder, pair_folder, video_folder
from restorekit.training.recipe import SMALLEST, Recipe
from restorekit.zoo import load_card, load_network

CORRIDOR_FRAMES = 16
"""Frames of a drawn video."""

_REMEDY = "Add what is missing, and correct or remove the rest"


class Source(Protocol):
    """Training batches by number: batch ``step`` depends on the seed and ``step`` alone, so a resumed run continues with the very
    same pairs.
    """

    def __len__(self) -> int:
        """How many photographs, or pairs, there are."""
        ...

    @property
    def complete(self) -> bool:
        """Whether everything is in memory."""
        ...

    def batch(self, step: int, count: int, patch: int, own: slice = ALL) -> Batch:
        """The pairs ``own`` of ``count`` of ``patch`` x ``patch`` pixels; the extras hold ``step``, for losses that ramp up."""
        ...


class ValidationSet(Protocol):
    """Batches of one photograph each, whole or cut to its middle, the same every time.

    Attributes:
        truth: what targets are: clean images, depths, or nothing that is known to be true.
    """

    @property
    def truth(self) -> Literal["image", "depth", "none"]: ...
    @property
    def names(self) -> list[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Batch: ...


def load_data(recipe: Recipe, device: torch.device, on_note: OnNote | None = None) -> tuple[Source, ValidationSet | None]:
    """What the recipe trains on, and what it validates on, if anything; see :func:`training_source`.

    Raises:
        DataError: naming all that is wrong with the data, of pairs on both sides at once.
    """
    problems: list[str] = []
    source = training_source(recipe, device, on_note, problems)
    validation = validation_set(recipe, source, problems)
    refuse(problems, _REMEDY)
    for note in (_overlap(source, validation), _idle_settings(recipe)):
        if note and on_note is not None:
            on_note(note)
    return source, validation


def _overlap(source: Source, validation: ValidationSet | None) -> str:
    """What to note where photographs are trained on and validated on; empty where none are."""
    if isinstance(source, PairedBatches) and isinstance(validation, PairedSet):
        what, ours, theirs = "pairs", [image for image, _ in source.pairs], [image for image, _ in validation.pairs]
    elif isinstance(source, SyntheticBatches) and isinstance(validation, SyntheticSet):
        what, ours, theirs = "photographs", source.photographs.files, validation.paths
    else:
        return ""
    both = {path.resolve() for path in ours} & {path.resolve() for path in theirs}
    told = f"{len(both)} of the {len(theirs)} {what} that are validated on are trained on too: scores will be too good"
    return told if both else ""


def _idle_settings(recipe: Recipe) -> str:
    """What to note where a recipe says how clean photographs are to be treated, and has none; empty where it does not."""
    data, usual = recipe.data, DataSettings()
    if not data.pairs:
        return ""
    idle = [f"data.{key}" for key in ("halve", "pyramid", "cloth", "soften") if getattr(data, key) != getattr(usual, key)]
    if not data.validation:
        idle += ["data.degradation"] if data.degradation != usual.degradation else []
        idle += ["[degradation]"] if recipe.degradation else []
    named = " and ".join(filter(None, (", ".join(idle[:-1]), *idle[-1:])))
    return f"Pairs are taken as they are, and {named} {'means' if len(idle) == 1 else 'mean'} nothing for them" if idle else ""


def training_source(
    recipe: Recipe, device: torch.device, on_note: OnNote | None = None, problems: list[str] | None = None
) -> Source:
    """What the recipe trains on.

    Args:
        recipe: what names it.
        device: where photographs are kept.
        on_note: told what is worth knowing of the data.
        problems: takes up what is wrong with pairs, for the caller to refuse; None to have it refused here.

    Raises:
        DataError: naming all that is wrong with the data.
    """
    data, seed = recipe.data, recipe.train.seed
    memory = int(data.memory * 2**30)
    if device.type == "cuda":
        memory = min(memory, torch.cuda.mem_get_info(device)[0] // 2)
    if data.pairs:
        wrong: list[str] = [] if problems is None else problems
        found = _pairs(data.pairs, "train", wrong)
        source = PairedBatches(found, seed, augment=data.augment, device=device, memory=memory, problems=wrong)
        if problems is None:
            refuse(wrong, _REMEDY)
        return source
    if data.denoiser:
        return _renoised(recipe, device)
    if data.noisy:
        return NoisyBatches(data.noisy, seed, match=data.match, device=device, memory=memory)
    if data.videos or data.corridors:
        return _videos(recipe, on_note)
    photographs = CleanPhotographs(
        data.clean,
        halve=data.halve,
        pyramid=data.pyramid,
        cloth=data.cloth,
        soften=data.soften,
        augment=data.augment,
        device=device,
        memory=memory,
    )
    return SyntheticBatches(photographs, get_degradation(data.degradation, recipe.degradation), seed)


def validation_set(recipe: Recipe, source: Source, problems: list[str]) -> ValidationSet | None:
    """What the recipe validates on, if anything. Who trains on noisy photographs or videos alone may hold back some of them.

    Every file is read once, so that none is found to be wrong after hours of training; ``problems`` takes up what is wrong.
    """
    count, patch = recipe.data.held_back, recipe.train.size_at(0)[1]
    if isinstance(source, (NoisyBatches, RenoisedBatches)) and count:
        crops = [source.held_back(index, patch) for index in range(count)]
        return HeldBack("crop", crops, "none" if isinstance(source, NoisyBatches) else "image")
    if isinstance(source, VideoTriplets) and count:
        return held_back_triplets(source, count)
    data, crop = recipe.data, recipe.report.validation_crop
    if data.validation_pairs:
        pairs = _pairs(data.validation_pairs, "test", problems)
        problems += unusable(pairs, SMALLEST)
        return PairedSet(pairs, crop)
    if data.validation_depth:
        depths = [DepthSet(folder, data.depth_unit) for folder in data.validation_depth]
        problems += unusable([pair for part in depths for pair in part.pairs])
        if not problems and not any(part.tells(index) for part in depths for index in range(len(part))):
            names = ", ".join(map(str, data.validation_depth))
            raise DataError(f"no depth in {names} lies between 0.001 and 80", f"Correct data.depth_unit, {data.depth_unit:g}")
        return Chained(depths)
    if data.validation:
        degradation = get_degradation(data.degradation, recipe.degradation)
        photographs = SyntheticSet(data.validation, degradation, recipe.report.validation_seed, crop)
        problems += DecodedImages(photographs.paths, lambda path: (at_least(load_rgb(path), SMALLEST, path),), 0).load()
        return photographs
    return None


def _renoised(recipe: Recipe, device: torch.device) -> RenoisedBatches:
    data = recipe.data
    paths = noisy_photographs(data.noisy, data.match)
    refuse(DecodedImages(paths, lambda path: (load_rgb(path),), 0).load(), "Correct or remove these files")
    card = load_card(data.denoiser)
    method, network = card.restoration_method(), load_network(card).to(device)
    if method.extra_inputs:
        raise SettingError(f"'{data.denoiser}' needs more than a photograph", "Name another model as data.denoiser")

    def denoise(photograph: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            maps = method.predict(network, photograph[None])
            return method.finish(maps, card.parsed_config()).image[0].float()

    return RenoisedBatches(paths, denoise, recipe.train.seed, device=device)


def _videos(recipe: Recipe, on_note: OnNote | None) -> Source:
    data, config, seed = recipe.data, recipe.method_config(), recipe.train.seed
    if not hasattr(config, "height"):
        raise SettingError(f"{recipe.method} does not learn from video", "Give it data.clean, data.pairs or data.noisy")
    size = config.height, config.width
    clips = [
        clip
        for video in map(video_folder, data.videos)
        for clip in load_clips(video.folder, size, video.intrinsics, on_note, video.layout)
    ]
    if data.flow == "dis":
        clips = [with_flow(clip, gap) for gap in data.gaps for clip in clips]
    else:
        clips = [replace(clip, gap=gap) for gap in data.gaps for clip in clips]
    if data.corridors:
        posters = [load_rgb(path).float() / 255 for path in find_images(data.posters)] if data.posters else []
        settings = CorridorSettings(width=size[1], height=size[0])
        videos = [CorridorVideo(number, settings, posters) for number in range(data.corridors)]
        with_truth = data.flow != "none"
        clips += [as_clip(video, CORRIDOR_FRAMES, gap, with_flow=with_truth) for gap in data.gaps for video in videos]
    if data.motion == "flow":
        clips = [clip if clip.flow is None else with_motion(clip) for clip in clips]  # those too short for their gap have none
    return VideoTriplets(clips, seed)


class Chained:
    """Validation sets of one kind of truth, one after another."""

    def __init__(self, sets: Sequence[ValidationSet]) -> None:
        self.truth = sets[0].truth
        self.places = [(part, index) for part in sets for index in range(len(part))]
        self.names = [name for part in sets for name in part.names]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Batch:
        part, inside = self.places[index]
        return part[inside]


def _pairs(entries: Sequence[PairFolder | Path], split: str, problems: list[str]) -> list[tuple[Path, Path]]:
    pairs = []
    for entry in map(pair_folder, entries):
        layout = get_layout(entry.layout, entry.input, entry.target)
        if entry.split and not layout.has_parts:
            raise SettingError(
                f"{entry.folder} has no part '{entry.split}': nothing in its layout depends on the part",
                "Leave out split, or give templates with {split}",
            )
        try:
            found, missing = layout.find(entry.folder, entry.split or split)
        except DataError as error:
            problems.append(error.problem)
            continue
        pairs += _drawn(found, entry) if entry.count else found
        problems += missing
    return pairs


def _drawn(pairs: list[tuple[Path, Path]], entry: PairFolder) -> list[tuple[Path, Path]]:
    if len(pairs) < entry.count:
        raise DataError(f"{entry.folder} holds {len(pairs)} pairs, fewer than count = {entry.count}", "Lower it, or leave it out")
    drawn = np.random.default_rng(0).permutation(len(pairs))[: entry.count]
    return [pairs[index] for index in sorted(drawn)]


class Ahead:
    """Makes the next step's batch in a thread of its own while a step runs, where files must be decoded for it; of every batch
    the share of process number ``rank`` of ``processes``.
    """

    def __init__(self, source: Source, rank: int = 0, processes: int = 1) -> None:
        self.source, self.rank, self.processes = source, rank, processes
        self._pool = None if source.complete else ThreadPoolExecutor(1)
        self._next: tuple[int, Future[Batch]] | None = None

    def batch(self, step: int, size: tuple[int, int], next_size: tuple[int, int]) -> Batch:
        """Batch number ``step``, of ``size`` pairs and pixels; ``next_size`` is that of the batch after it."""
        if self._pool is None:
            return self._share(step, *size)
        made = self._next[1].result() if self._next and self._next[0] == step else self._share(step, *size)
        self._next = step + 1, self._pool.submit(self._share, step + 1, *next_size)
        return made

    def _share(self, step: int, count: int, patch: int) -> Batch:
        share = count // self.processes
        return self.source.batch(step, count, patch, slice(self.rank * share, (self.rank + 1) * share))
