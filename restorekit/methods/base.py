"""The one abstraction: a :class:`Method` is what a paper contributes.

To add one: a package under ``restorekit/methods`` whose ``__init__`` defines ``METHOD``, and a card under ``models``. A method
answers five questions: what it is, how its network is built, how it is run, how it is taught, and where its authors' weights keep
things.

This module does not import torch; a method's package must not either, outside the functions that need it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from restorekit.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

ConfigT = TypeVar("ConfigT")

Maps = dict[str, "Tensor"]
"""Named maps ``(B, C, H, W)`` aligned with the image: what a network gives for a tile, and what tiles are merged of."""


@dataclass(frozen=True)
class Paper:
    """Where a method was published."""

    title: str
    venue: str
    year: int
    url: str


@dataclass(frozen=True)
class Tiling:
    """What the engine must know to cut an image into tiles for a network.

    Attributes:
        multiple: tiles start and end at multiples of this many pixels.
        halo: pixels on each side that can change an answer, once the whole was measured (:meth:`Method.measure`); None where
            every pixel of the image can ("global").
        overlap: pixels of context on each side of what a tile answers for, by default; neighbours share twice that. At least
            ``halo`` makes tiles exact; less is a compromise that the feathered merge hides.
        minimum: smallest sensible tile side, in pixels.
        bytes_per_pixel: memory one pixel of a tile takes while the network runs, in float32.
        whole: whether images are never cut, whatever their size: tiles would be answers to another question. The rest then
            matters little; ``minimum`` is the side of an image to try the network out on.
        anchor: side, in pixels, of the cells in which tiles are given the means of what the network says of a reduced copy of
            the whole image, so that all have one tone; 0 where every tile stands for itself. Not for networks whose extra
            inputs are measured in pixels, as a PSF is.
    """

    multiple: int
    halo: int | None
    overlap: int
    minimum: int
    bytes_per_pixel: int
    whole: bool = False
    anchor: int = 0

    def is_exact(self, overlap: int) -> bool:
        """Whether tiles with this overlap give what the whole image would."""
        return self.halo is not None and overlap >= self.halo


@dataclass(frozen=True)
class Prediction:
    """What a method gives for an image: every tensor ``(B, ..., H, W)``, in the image's range, not clipped.

    Methods with more to say return a subclass with more fields.
    """

    image: Tensor


@dataclass(frozen=True)
class Batch:
    """Training examples: ``input`` and ``target`` are ``(B, 3, H, W)``, RGB in [0, 1]; ``extras`` holds what else a method
    needs (a PSF), and while training ``step``, how far it is, for terms that begin late. In a validation by losses there is
    ``draw`` too, the number of the batch, by which an objective that draws lots draws the same each time.
    """

    input: Tensor
    target: Tensor
    extras: Mapping[str, Tensor]

    def part(self, rows: slice) -> Batch:
        """These pairs alone. Extras with a value for each pair are cut too, others stay whole."""
        count = self.input.shape[0]
        extras = {name: value[rows] if value.dim() and len(value) == count else value for name, value in self.extras.items()}
        return Batch(self.input[rows], self.target[rows], extras)


class Objective(ABC):
    """How a method is taught: called with the network (perhaps compiled or wrapped) and a batch, it gives named losses to be
    summed.

    Attributes:
        self_supervised: whether it looks at no clean side.
        discriminator: what learns beside the network; None, as by default, where nothing does.
    """

    self_supervised: bool = False
    discriminator: nn.Module | None = None

    @abstractmethod
    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]: ...

    def prepare(self, network: Any) -> None:  # noqa: B027 - a hook, which few methods need
        """Called once with a fresh network, before the first step; by default nothing."""

    def discriminator_loss(
        self, network: nn.Module, batch: Batch, discriminator: nn.Module | None = None, *, keep: bool = True
    ) -> dict[str, Tensor]:
        """The named losses of :attr:`discriminator`, called before the network's own of the same batch; empty while it takes no
        part.

        Args:
            network: perhaps compiled or wrapped.
            batch: as it is called with.
            discriminator: what to call in place of its own, for several processes.
            keep: whether what the network gave may be kept for its own losses, which are asked for next.
        """
        return {}

    def appraise(self, network: nn.Module, batch: Batch) -> dict[str, float]:
        """What a network that has learnt, in eval mode, makes of a batch of a video's frames: whether there was anything to learn
        from. ``explained`` is the share of the pixels, 0 to 1, that what it learnt explains, ``parallax`` the median flow, in
        pixels, that the camera's way causes. Empty, as by default, where the method cannot tell.
        """
        return {}


@dataclass(frozen=True)
class Lesson:
    """How a network goes on learning from the very images or videos it is to restore, which have no truth.

    Attributes:
        learning_rate: the peak.
        objective: settings of the loss.
        crop: side in pixels of the crops it is shown, at most; of frames, which it sees whole, how wide they are.
        multiple: crops have sides that are multiples of this.
        config: what differs from the network's configuration while it learns.
        rates: factors of the learning rate for parts of the network, by how the names of their weights begin.
        finds_flow: whether optical flow, and the motion that follows from it, is to be found for it in videos.
    """

    learning_rate: float
    objective: Mapping[str, Any]
    crop: int
    multiple: int = 1
    config: Mapping[str, Any] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    finds_flow: bool = False


class Method(ABC, Generic[ConfigT]):
    """A published restoration method. Subclasses are stateless; the registry holds one instance of each.

    Class attributes:
        name: the name used in cards and on the command line.
        tasks: the verbs it can serve, for example ``("deblur",)``.
        paper: where it was published.
        config_type: a frozen dataclass that holds a network's hyper-parameters.
        presets: named configurations; every method has ``"paper"`` and ``"compact"``.
        extra_inputs: what a network needs beside the image, for example ``("psf",)``.
        optional_inputs: what else it can be told of an image, and does without; no graph takes it.
        parts: what else is in a network and can be exported by itself, by name, and which images each part takes, for example
            ``{"pose": ("first", "second")}``.
        views: of how many mirror images ``--quality best`` takes the mean; 2 where a picture upside down means something else.
        alone: the verbs among its tasks that even a fresh network can learn from the inputs alone, see :meth:`lesson`.
        with_truth: settings of the loss for pictures whose truth is known, where the loss does without by default.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[str, ...]]
    paper: ClassVar[Paper]
    config_type: ClassVar[type[Any]]
    presets: ClassVar[Mapping[str, Any]]
    extra_inputs: ClassVar[tuple[str, ...]] = ()
    optional_inputs: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    views: ClassVar[int] = 4
    alone: ClassVar[tuple[str, ...]] = ()
    with_truth: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def build(self, config: ConfigT) -> nn.Module:
        """A network with fresh weights, whose state dict has the authors' keys and shapes."""

    @abstractmethod
    def tiling(self, config: ConfigT) -> Tiling:
        """How images are cut for a network of this configuration."""

    @abstractmethod
    def predict(self, network: nn.Module, image: Tensor, **extras: Tensor) -> Maps:
        """Run the network on ``(B, 3, H, W)``, RGB in [0, 1], any size, and name what it gives; ``extras`` are its
        ``extra_inputs``, those of its ``optional_inputs`` that are known, and what :meth:`measure` gives.
        """

    @abstractmethod
    def finish(self, maps: Maps, config: ConfigT) -> Prediction:
        """Make a typed result of merged maps. Works pixel by pixel, so that the engine may call it on parts of an image.

        It keeps to operators, indices and what else tensors and NumPy arrays have in common: a process without PyTorch gives
        arrays.
        """

    @abstractmethod
    def objective(self, config: ConfigT, settings: Mapping[str, Any]) -> Objective:
        """The loss, with the recipe's ``[objective]`` table as settings."""

    def lesson(self, config: ConfigT, steps: int, *, fresh: bool, frame: tuple[int, int] = (0, 0)) -> Lesson | None:
        """How ``--adapt`` teaches a network on the inputs themselves; None, as by default, where that needs some truth.

        Args:
            config: of the network.
            steps: optimiser steps at most.
            fresh: whether it begins with fresh weights; else with those that it has learnt already.
            frame: rows and columns of the frames of a video; (0, 0) for photographs.
        """
        return None

    @abstractmethod
    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> ConfigT:
        """The hyper-parameters that keys and shapes of a checkpoint tell.

        Raises:
            CheckpointError: naming what is missing, if the keys are not this method's.
        """

    def convert_state_dict(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The authors' checkpoint under our keys; by default the keys are theirs already."""
        return dict(state)

    def read_checkpoint(self, path: Path) -> Mapping[str, Any] | None:
        """The tensors or arrays in a file of a format of the authors' own, by name; None, as by default, for any other file.

        PyTorch's files and safetensors are read without it.

        Raises:
            CheckpointError: if it is such a file and cannot be read.
        """
        return None

    def measure(self, image: Tensor) -> dict[str, Tensor]:
        """What :meth:`predict` must know of a whole image ``(B, 3, H, W)``, as extras, to give for tiles what it gives for the
        whole. By default nothing. Like :meth:`finish`, it takes tensors or NumPy arrays.
        """
        return {}

    def run_part(self, part: str, network: Any, *images: Tensor) -> dict[str, Tensor]:
        """Run one of :attr:`parts` on its images ``(B, 3, H, W)``, RGB in [0, 1], and name what it gives, ``(B, ...)``.

        Raises:
            SettingError: if there is no such part.
            UsageError: if the network was built without it.
        """
        known = " and ".join(self.parts) or "none"
        raise SettingError(f"{self.name} has no part '{part}' that could run by itself: it has {known}", "Name another, or none")

    def own_size(self, config: ConfigT, height: int, width: int) -> tuple[int, int] | None:
        """Rows and columns that :meth:`predict` brings a whole image to before the network sees it; None, as by default, where
        it sees the image as it is.

        An exported graph holds the network alone: whoever runs it brings the image there, and what is answered back.
        """
        return None

    def longest_exported_side(self, config: ConfigT) -> int | None:
        """The longest side of an image that an exported graph serves, in pixels; None, as by default, where there is no limit."""
        return None

    def example_extras(self, height: int, width: int) -> dict[str, NDArray[np.float32]]:
        """Some ``extra_inputs`` that fit an image of this size, for trying a network out; a method that has any gives them.

        They are arrays, as a process without PyTorch tries networks too.
        """
        return {}
