"""What a recipe's ``[data]`` says: where photographs, pairs and videos come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class PairFolder:
    """A data set that holds both sides of its pairs. In a recipe a path alone stands for one with all defaults.

    Attributes:
        folder: where it lies, relative to where the command is run.
        layout: how it lies there; a key of :data:`restorekit.data.LAYOUTS`.
        input: template of the inputs' files, instead of a layout; see :mod:`restorekit.data.templates`.
        target: template of the targets'.
        split: the part of it that is used; if empty, ``"train"`` to train on and ``"test"`` to validate on.
        count: how many of its pairs are used, drawn once, the same in every run; 0 for all.
    """

    folder: Path
    layout: str = "folders"
    input: str = ""
    target: str = ""
    split: str = ""
    count: int = 0

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be negative")


@dataclass(frozen=True)
class VideoFolder:
    """Videos. In a recipe a path alone stands for one with all defaults.

    Attributes:
        folder: a video file, a folder of frames, or a folder of those, relative to where the command is run.
        intrinsics: fx, fy, cx, cy of the camera, as shares of the frames' width and height; without them a file ``K.txt`` beside
            the frames tells, or their EXIF data, or a focal length of 0.866 widths is assumed.
        layout: ``"kitti"`` for KITTI's raw recordings as they unpack: the two colour cameras of each drive, with their
            calibration. ``"folders"`` for all else.
    """

    folder: Path
    intrinsics: tuple[float, ...] = ()
    layout: str = "folders"

    def __post_init__(self) -> None:
        if len(self.intrinsics) not in (0, 4):
            raise ValueError("intrinsics are four numbers: fx, fy, cx, cy")


@dataclass(frozen=True)
class DataSettings:
    """Where photographs come from: ``clean``, ``pairs``, ``noisy``, or ``videos`` and ``corridors``. Paths are relative to where
    the command is run.

    Attributes:
        clean: folders of clean photographs, degraded while training.
        pairs: data sets that hold both sides already; each a path or a table, see :class:`PairFolder`.
        noisy: folders of noisy photographs without clean ones, for methods that teach themselves.
        match: file-name patterns of the noisy photographs that are used; empty for all.
        denoiser: a model, by name or card, whose answers to the noisy photographs, reduced, stand for clean ones, with the noise
            measured in the photographs on them: see :mod:`restorekit.data.renoised`.
        held_back: crops of the noisy photographs, or triplets of the videos, to validate on by the loss where there is no truth.
        videos: videos, for methods that learn depth from motion; each a path or a table, see :class:`VideoFolder`.
        gaps: frames from one to its neighbour in a triplet; of several, each video gives triplets of each.
        flow: optical flow that comes with the videos: ``"dis"``: found once by dense inverse search, and kept; corridors know
            theirs. It costs 8 bytes of memory a pixel and frame. ``"none"``: none but that of a network the method may have.
        motion: the camera's motion that comes with the videos: ``"flow"``: found once, from the flow, see
            :mod:`restorekit.data.egomotion`; ``"none"``: none but that of a network the method may have.
        corridors: drawn videos of 16 frames that are trained on too; see :mod:`restorekit.data.synthetic_video`.
        posters: folders of photographs that hang on the corridors' walls.
        validation: folders of clean photographs to validate on, degraded by the same degradation.
        validation_pairs: data sets of pairs to validate on.
        validation_depth: folders with ``frames`` and ``depth`` to validate on.
        depth_unit: metres of one step of those depth maps' integers.
        augment: crops of clean photographs and of pairs lie in one of the eight ways a square can: mirrored, upside down, turned.
        halve: file-name patterns of clean photographs to reduce to half size first.
        pyramid: cut crops from half-size copies of clean photographs as well.
        cloth: share of crops of clean photographs that have drawn stripes, checks or threads over a part of them.
        soften: between which standard deviations, in pixels, crops of clean photographs are blurred by a Gaussian first:
            photographs at 1:1 are softer than reduced ones.
        degradation: name of the degradation that makes the other side of clean photographs.
        memory: GiB that decoded photographs may take in each process, on the device that trains, and at most half of what a GPU
            has free; those beyond are decoded anew for each crop.
    """

    clean: tuple[Path, ...] = ()
    pairs: tuple[PairFolder | Path, ...] = ()
    noisy: tuple[Path, ...] = ()
    match: tuple[str, ...] = ()
    denoiser: str = ""
    held_back: int = 0
    videos: tuple[VideoFolder | Path, ...] = ()
    gaps: tuple[int, ...] = (1,)
    flow: Literal["none", "dis"] = "none"
    motion: Literal["none", "flow"] = "none"
    corridors: int = 0
    posters: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()
    validation_pairs: tuple[PairFolder | Path, ...] = ()
    validation_depth: tuple[Path, ...] = ()
    depth_unit: float = 1e-3
    augment: bool = True
    halve: tuple[str, ...] = ()
    pyramid: bool = True
    cloth: float = 0.0
    soften: tuple[float, float] = (0.0, 0.0)
    degradation: str = "motion"
    memory: float = 4.0

    def __post_init__(self) -> None:
        if sum(map(bool, self._kinds)) > 1:
            raise ValueError("clean, pairs, noisy and videos or corridors exclude each other: leave one of them")
        if sum(map(bool, (self.validation, self.validation_pairs, self.validation_depth))) > 1:
            raise ValueError("validation, validation_pairs and validation_depth exclude each other: leave one of them")
        if self.held_back and (self.validation or self.validation_pairs or self.validation_depth):
            raise ValueError("held_back is where there is no validation, validation_pairs or validation_depth")
        if self.held_back and not (self.noisy or self.videos or self.corridors):
            raise ValueError("held_back is of noisy photographs or videos: set validation or validation_pairs")
        if not 0 <= self.cloth <= 1:
            raise ValueError("cloth must be from 0 to 1")
        if not 0 <= self.soften[0] <= self.soften[1]:
            raise ValueError("soften must be two numbers from 0, the smaller first")
        if not self.memory >= 0 or min(self.held_back, self.corridors) < 0:  # nan is neither
            raise ValueError("memory, held_back and corridors must not be negative")
        if min(self.gaps, default=0) < 1 or not self.depth_unit > 0:
            raise ValueError("gaps must be at least 1, depth_unit positive")
        if self.denoiser and not self.noisy:
            raise ValueError("denoiser is for noisy photographs: set noisy too")
        if self.motion == "flow" and self.flow == "none":
            raise ValueError('motion = "flow" needs flow = "dis"')

    @property
    def _kinds(self) -> tuple[Any, ...]:
        return self.clean, self.pairs, self.noisy, self.videos or self.corridors

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to train on."""
        return not any(self._kinds)

    def described(self) -> str:
        """What is trained on, in words, folders by their names."""
        sources: dict[str, Sequence[Path]] = {
            "photographs": self.clean,
            "pairs": [pair_folder(entry).folder for entry in self.pairs],
            "noisy photographs": self.noisy,
            "videos": [video_folder(entry).folder for entry in self.videos],
        }
        told = [f"{what} in {' and '.join(path.name or '.' for path in paths)}" for what, paths in sources.items() if paths]
        return " and ".join([*told, f"{self.corridors} drawn videos"] if self.corridors else told)

    @property
    def validation_names(self) -> list[str]:
        """What is validated on, by the folders' names."""
        folders = [pair_folder(entry).folder for entry in (*self.validation, *self.validation_pairs)]
        return [folder.name for folder in (*folders, *self.validation_depth)]


def video_folder(entry: VideoFolder | Path) -> VideoFolder:
    """An entry of ``data.videos`` in full."""
    return VideoFolder(entry) if isinstance(entry, Path) else entry


def pair_folder(entry: PairFolder | Path) -> PairFolder:
    """An entry of ``data.pairs`` in full."""
    return PairFolder(entry) if isinstance(entry, Path) else entry
