"""What a model card says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from restorekit.errors import CardError, UnknownNameError, UsageError
from restorekit.methods import Method, get_method
from restorekit.settings import from_table, read_toml, to_table

_NO_FILE = re.compile(r'[\\/:*?"<>|\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)
"""What no name of a file holds on Windows, and the names that are devices there: cards travel."""


@dataclass(frozen=True)
class WeightsEntry:
    """The file that holds a model's weights.

    Attributes:
        file: its name, beside the card or in the folder ``../weights`` seen from the card.
        sha256: checksum of the whole file, 64 hexadecimal digits.
        bytes: its size.
    """

    file: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class MemoryEntry:
    """What running the network takes, as measured on a CPU by ``benchmarks/memory.py``.

    Attributes:
        bytes_per_pixel: by precision, what every pixel of a tile adds to the peak of the process.
    """

    bytes_per_pixel: dict[str, int]

    def __post_init__(self) -> None:
        if min(self.bytes_per_pixel.values(), default=1) < 1:
            raise ValueError("bytes_per_pixel must be at least 1")


@dataclass(frozen=True)
class SpeedEntry:
    """How long restoring takes, as measured by ``restorekit bench MODEL --size 3000x4000``.

    Attributes:
        megapixels: size of the picture.
        seconds: for the picture, without loading the model.
        hardware: on what, and in what precision.
    """

    megapixels: float
    seconds: float
    hardware: str

    def __post_init__(self) -> None:
        if self.megapixels <= 0 or self.seconds <= 0:
            raise ValueError("megapixels and seconds must be above 0")

    def __str__(self) -> str:
        """In words."""
        return f"{self.seconds:g} s for {self.megapixels:g} megapixels ({self.hardware})"


@dataclass(frozen=True)
class Score:
    """A measured score: what the model made of a set of images.

    Attributes:
        set: the images.
        metric: what was measured, for example ``"PSNR"``.
        input: score of the degraded images.
        output: score of the restored images.
        protocol: how it was measured: colours, border, rounding.
        command: what measures it again.
    """

    set: str
    metric: str
    input: float
    output: float
    protocol: str = ""
    command: str = ""


@dataclass(frozen=True)
class Card:
    """A released model: which method, which configuration, which weights, and what is known about it.

    Attributes:
        name: the name it is asked for by.
        method: the method that builds and runs its network.
        tasks: the verbs it serves, the first being its main one.
        config: keys and values of the method's configuration.
        path: the card's own file; empty for a template, which has none.
        default_for: the verbs that choose it when no model is named.
        contends_for: the verbs of several kinds of damage for which it knows one: a photograph off which it finds about as much
            to take as their default model, or more, it restores in its place, see :class:`restorekit.inference.Contest`.
        quality: what ``--quality`` asks for it by, where a verb has models of two sizes; empty where there is only one.
        summary: one line for the list of models.
        licence: licence of the weights.
        limits: what it is known to do badly.
        weights: the file with the weights; None before they are written, and for a template.
        memory: what its network takes; None if that was not measured.
        speed: how long it takes; None if that was not measured.
        training: how it was trained: data, steps, hours, hardware, and whatever else is worth keeping.
        scores: what was measured.
    """

    name: str
    method: str
    tasks: tuple[str, ...]
    config: dict[str, Any]
    path: Path = Path()
    default_for: tuple[str, ...] = ()
    contends_for: tuple[str, ...] = ()
    quality: Literal["", "fast", "best"] = ""
    summary: str = ""
    licence: str = ""
    limits: str = ""
    weights: WeightsEntry | None = None
    memory: MemoryEntry | None = None
    speed: SpeedEntry | None = None
    training: dict[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or self.name.startswith(".") or _NO_FILE.search(self.name):
            raise ValueError(f"name {self.name!r} cannot name a file")
        if not self.tasks:
            raise ValueError("tasks names no task")
        for name in ("default_for", "contends_for"):
            if stray := set(getattr(self, name)) - set(self.tasks):
                raise ValueError(f"{name} names {', '.join(sorted(stray))}, which tasks does not")

    @property
    def is_template(self) -> bool:
        """Whether this is a configuration only, made from a method's preset."""
        return self.weights is None and not self.path.name

    @property
    def is_onnx(self) -> bool:
        """Whether this is an ONNX file, which is card and network in one."""
        return self.path.suffix.lower() == ".onnx"

    @property
    def where(self) -> str:
        """What messages call the card."""
        return str(self.path) if self.path.name else f"card '{self.name}'"

    def restoration_method(self) -> Method[Any]:
        """The method; :class:`~restorekit.errors.CardError` if there is none of that name."""
        try:
            return get_method(self.method, self.where)
        except UnknownNameError as error:
            raise CardError(error.problem, error.remedy) from None

    def parsed_config(self) -> Any:
        """The method's configuration dataclass; :class:`~restorekit.errors.CardError` for keys and values that do not hold."""
        kind = self.restoration_method().config_type
        try:
            return from_table(kind, self.config, f"{self.where} [config]")
        except UsageError as error:
            raise CardError(error.problem, error.remedy) from None

    def weights_path(self) -> Path:
        """Where the weights lie; :class:`~restorekit.errors.CardError` if they do not."""
        if self.is_template:
            raise CardError(
                f"'{self.name}' is a configuration without weights",
                "Import its authors' with `restorekit import CHECKPOINT`, or train some with `restorekit train`",
            )
        if self.weights is None:
            raise CardError(f"{self.where} names no weights", "Add [weights] with file, sha256 and bytes")
        folder = self.path.parent
        folders = dict.fromkeys((folder, self.path.resolve().parent))  # a link to a card finds its weights
        for place in (at / self.weights.file for own in folders for at in (own, own.parent / "weights")):
            if place.is_file():
                return place
        raise CardError(f"the weights {self.weights.file} of {self.where} are missing", f"Put the file into {folder}")

    def to_table(self) -> dict[str, Any]:
        """The card as plain values, the way it stands in its file; what is empty is left out."""
        table: dict[str, Any] = to_table(self)
        del table["path"]
        return {key: value for key, value in table.items() if value not in ("", [], {})}


def read_card(path: Path) -> Card:
    """The card in a file; :class:`~restorekit.errors.CardError` says what does not hold, and where."""
    try:
        table = read_toml(path)
        if "path" in table:
            raise UnknownNameError("key", "path", (), str(path))
        card = from_table(Card, {**table, "path": str(path)}, str(path))
    except UsageError as error:
        raise CardError(error.problem, error.remedy) from None
    card.parsed_config()
    return card
