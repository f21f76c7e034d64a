"""What commands share: groups of options as dataclasses, and how errors leave a command.

An option that several commands take stands here once, as a field of a dataclass. A command takes the dataclass as one parameter;
its fields become the command's options. So options cannot drift apart between commands.
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, get_type_hints

import typer

from restorekit.cli.shell import of_full_output, says_nobody_reads
from restorekit.errors import RestoreKitError, UsageError

FILES = "Files"
MODEL = "Model"
ENGINE = "Engine"
REPORT = "Report"


class Precision(str, Enum):
    """Precisions a network can run in."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"


class Backend(str, Enum):
    """What can run a network."""

    auto = "auto"
    torch = "torch"
    compiled = "compiled"
    onnx = "onnx"


class Quality(str, Enum):
    """What is wanted: an answer soon, or the best there is."""

    fast = "fast"
    best = "best"


def parse_quality(text: str) -> Quality:
    """``"fast"`` or ``"best"``; a number was meant for the file."""
    if text in (quality.value for quality in Quality):
        return Quality(text)
    raise typer.BadParameter(f"'{text}' is neither fast nor best. How much a JPEG keeps is set by --file-quality.")


QualityOption = Annotated[
    Quality | None,
    typer.Option(
        "--quality",
        parser=parse_quality,
        metavar="fast|best",
        help="best takes the larger of the included models, or where there is only one to take the mean over mirror images "
        "(--views); fast the smaller.",
        rich_help_panel=MODEL,
    ),
]


def parse_bytes(text: str) -> int:
    """``"4GiB"``, ``"500MB"``, ``"2g"`` or a plain number, in bytes."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?\s*", text.lower())
    if match is None:
        raise typer.BadParameter(f"'{text}' is not a size. Write for example 4GiB or 500MB.")
    number, unit, binary = match[1], match[2], match[3]
    power = "kmgt".index(unit) + 1 if unit else 0
    size = int(float(number) * (1024 if binary or not text.lower().rstrip().endswith("b") else 1000) ** power)
    if size < 1:
        raise typer.BadParameter("must be more than nothing.")
    return size


def parse_size(text: str) -> str:
    """Rows and columns like ``"512x768"``, unchanged."""
    if not is_size(text):
        raise typer.BadParameter(f"'{text}' is not a size. Write rows x columns, for example 512x768.")
    return text


def is_size(text: str) -> bool:
    """Whether it is rows and columns, like ``"512x768"``."""
    return re.fullmatch(r"[1-9]\d{0,5}x[1-9]\d{0,5}", text) is not None


def rows_and_columns(text: str) -> tuple[int, int]:
    """``"512x768"`` as numbers."""
    rows, columns = text.split("x")
    return int(rows), int(columns)


def split(values: Sequence[str] | None) -> list[str]:
    """``["a,b", "c"]`` as ``["a", "b", "c"]``: options of several names take commas and may be repeated."""
    return [name.strip() for value in values or () for name in value.split(",") if name.strip()]


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Names of models that begin so, with their summaries, for the shell."""
    from restorekit.zoo import list_cards

    return [(card.name, card.summary) for card in list_cards() if card.name.startswith(incomplete)]


@dataclass(frozen=True)
class InputOptions:
    """What to work on."""

    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT", help="Files, folders, patterns such as '*.jpg', or - for standard input.", show_default=False
        ),
    ]
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Look into the folders of folders too.", rich_help_panel=FILES)
    ] = False
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Largest image to read, in pixels, 500 million unless set; 0 for no limit.",
            rich_help_panel=FILES,
        ),
    ] = None


@dataclass(frozen=True)
class OutputOptions:
    """Where results go and as what."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="A file, for one input; a folder, which is made and gets the inputs' names; or - for standard output. "
            "Without it results lie beside their inputs.",
            rich_help_panel=FILES,
        ),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do everything again and replace what stands there.", rich_help_panel=FILES)
    ] = False
    format: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT", help="Write png, jpg, tiff, webp, ... instead of the input's format.", rich_help_panel=FILES
        ),
    ] = None
    file_quality: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Quality of JPEG, WebP, AVIF and HEIC.", rich_help_panel=FILES)
    ] = 95
    strip: Annotated[
        bool, typer.Option("--strip", help="Leave out EXIF, XMP and resolution. The colour profile stays.", rich_help_panel=FILES)
    ] = False


@dataclass(frozen=True)
class ReportOptions:
    """What is said about the work."""

    json: Annotated[bool, typer.Option("--json", help="Print a report as JSON to standard output.", rich_help_panel=REPORT)] = (
        False
    )
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing but errors and what was asked for.", rich_help_panel=REPORT)
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.", rich_help_panel=REPORT)] = False


@dataclass(frozen=True)
class DeviceOptions:
    """Where a network is run, and in what."""

    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda[:N]|mps", help="Where to compute.", rich_help_panel=ENGINE)] = (
        "auto"
    )
    precision: Annotated[
        Precision,
        typer.Option(
            help="Precision of the network; a result that is not finite is computed again in fp32.", rich_help_panel=ENGINE
        ),
    ] = Precision.auto

    def as_arguments(self) -> dict[str, Any]:
        """The options as :class:`restorekit.Restorer` takes them."""
        return {"device": self.device, "precision": self.precision.value}


ProviderOption = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Of ONNX Runtime: cpu, cuda, tensorrt, coreml, openvino, directml.",
        rich_help_panel=ENGINE,
    ),
]

ViewsOption = Annotated[
    int | None,
    typer.Option(
        "--views",
        metavar="1|2|4",
        help="The mean over so many mirror images, in so many times the time: a little better. Else 1, or what --quality best "
        "takes.",
        show_default=False,
        rich_help_panel=ENGINE,
    ),
]

BackendOption = Annotated[
    Backend,
    typer.Option(
        "--backend",
        help="What runs the network; auto takes ONNX Runtime for .onnx files, else PyTorch. compiled is PyTorch with "
        "torch.compile, which takes minutes to start.",
        rich_help_panel=ENGINE,
    ),
]


@dataclass(frozen=True)
class RuntimeOptions(DeviceOptions):
    """What a network that sees images whole is run by."""

    provider: ProviderOption = "auto"
    backend: BackendOption = Backend.auto
    views: ViewsOption = None

    def as_arguments(self) -> dict[str, Any]:
        """The options as :class:`restorekit.Restorer` takes them."""
        more = {"provider": self.provider, "backend": self.backend.value, "views": self.views or 1}
        return {**super().as_arguments(), **more}


@dataclass(frozen=True)
class TileOptions(DeviceOptions):
    """How a network is run on tiles, whatever runs it."""

    provider: ProviderOption = "auto"
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PIXELS",
            help="Longest side of the tiles, by model at least 64 to 256; by default as large as memory allows.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    overlap: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Context on each side of a tile, so that neighbours share twice that; by default the model's.",
            rich_help_panel=ENGINE,
        ),
    ] = None
    memory: Annotated[
        int | None,
        typer.Option(
            parser=parse_bytes,
            metavar="SIZE",
            help="Memory tiles may take, for example 4GiB; by default a safe part of what is free.",
            rich_help_panel=ENGINE,
        ),
    ] = None

    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Tiles to run at once; by default as many as memory allows on a GPU, and one elsewhere.",
            rich_help_panel=ENGINE,
        ),
    ] = None

    def as_arguments(self) -> dict[str, Any]:
        """The options as :class:`restorekit.Restorer` takes them."""
        tiles = {"tile": self.tile, "overlap": self.overlap, "memory": self.memory, "batch": self.batch}
        return {**super().as_arguments(), **tiles, "provider": self.provider}


@dataclass(frozen=True)
class EngineOptions(TileOptions):
    """How a network is run."""

    backend: BackendOption = Backend.auto
    views: ViewsOption = None

    def as_arguments(self) -> dict[str, Any]:
        """The options as :class:`restorekit.Restorer` takes them."""
        return {**super().as_arguments(), "backend": self.backend.value, "views": self.views or 1}


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Turn ``function`` into what Typer takes: dataclass parameters become options, errors become a line and an exit code."""
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    groups = {name: hints[name] for name in parameters if is_dataclass(hints[name])}
    flat: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        if name in groups:
            flat.extend(_option_parameters(groups[name]))
        else:
            flat.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
    flat.sort(key=lambda p: p.default is not inspect.Parameter.empty)

    @functools.wraps(function)
    def run(**values: Any) -> None:
        arguments = {name: kind(**{f.name: values.pop(f.name) for f in fields(kind)}) for name, kind in groups.items()}
        debug = any(getattr(argument, "debug", False) for argument in arguments.values())

        def work() -> None:
            for argument in arguments.values():
                _refuse_empty(argument)
            function(**arguments, **values)

        with_errors_told(work, debug)

    del run.__wrapped__  # its signature is not the one to be seen
    run.__signature__ = inspect.Signature(flat)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in flat}
    return run


def _refuse_empty(options: Any) -> None:
    """Raise :class:`UsageError` for an option with an empty text: a variable was not set, and nothing is not what was meant."""
    for field in fields(options):
        value = getattr(options, field.name)
        texts = value if isinstance(value, list) else [value]
        given = field.default is not MISSING and value != field.default
        if given and any(isinstance(text, str) and not text.strip() for text in texts):
            raise UsageError(f"--{field.name.replace('_', '-')} is empty", "Check the variable that it came from")


def with_errors_told(work: Callable[[], None], debug: bool) -> None:
    """Do ``work``; an error it raises becomes one line on standard error, and an exit code."""
    try:
        work()
    except RestoreKitError as error:
        _tell(str(error), debug)
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _tell("interrupted", False)
        raise typer.Exit(130) from None
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and says_nobody_reads(error):
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        if isinstance(error, OSError) and (told := of_full_output(error)):
            _tell(told, debug)
            raise typer.Exit(1) from None
        hint = "" if debug else " Run again with --debug to see where."
        _tell(f"internal error: {type(error).__name__}: {error}.{hint}", debug)
        raise typer.Exit(1) from None


def _tell(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    print(f"restorekit: {message}", file=sys.stderr)


def _option_parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=hints[f.name],
        )
        for f in fields(kind)
    ]
