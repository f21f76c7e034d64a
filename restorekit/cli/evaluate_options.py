"""The options of ``restorekit evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from restorekit.cli.options import FILES, MODEL, REPORT, complete_model, split

if TYPE_CHECKING:
    from restorekit.evaluation import Bundle

PROTOCOL = "Protocol"
DEPTH = "Depth"


class Colour(str, Enum):
    """What is compared."""

    rgb = "rgb"
    y = "y"


class Sizes(str, Enum):
    """What is done about sizes that differ."""

    error = "error"
    crop = "crop"


def complete_baseline(incomplete: str) -> list[tuple[str, str]]:
    """Names of baselines that begin so, with what they are, for the shell."""
    from restorekit.evaluation import BASELINES

    return [(name, baseline.about) for name, baseline in BASELINES.items() if name.startswith(incomplete)]


def complete_layout(incomplete: str) -> list[str]:
    """Names of layouts that begin so, for the shell."""
    from restorekit.data import LAYOUTS

    return [name for name in LAYOUTS if name.startswith(incomplete)]


def complete_protocol(incomplete: str) -> list[tuple[str, str]]:
    """Names of protocols that begin so, with who uses them, for the shell."""
    from restorekit.evaluation import DEPTH_PROTOCOLS, PROTOCOLS

    known = {name: bundle.about for name, bundle in PROTOCOLS.items()}
    known |= {name: protocol.name for name, protocol in DEPTH_PROTOCOLS.items()}
    return [(name, about) for name, about in known.items() if name.startswith(incomplete)]


@dataclass(frozen=True)
class SubjectOptions:
    """What to score."""

    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES", help="Folder of restored images, or of inputs if a model or baseline is named; or one file."
        ),
    ]
    targets: Annotated[
        Path | None,
        typer.Argument(
            metavar="TARGETS",
            help="Folder of what they should be, paired by name; or one file. Not with --layout; brisque needs none.",
            show_default=False,
        ),
    ] = None
    layout: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="IMAGES is a data set as published: gopro, realblur-j, reds, sidd, rain100, raindrop, snow100k, ...",
            rich_help_panel=FILES,
            autocompletion=complete_layout,
        ),
    ] = None
    split: Annotated[str, typer.Option(metavar="PART", help="The part of the data set.", rich_help_panel=FILES)] = "test"
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME,...",
            help="Restore IMAGES with this model first; scores of the inputs are given too. May be repeated.",
            rich_help_panel=MODEL,
            autocompletion=complete_model,
        ),
    ] = None
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            "-b",
            metavar="NAME,...",
            help="The same with a classical method: input, nlm, tv, wiener, richardson-lucy, dark-channel.",
            rich_help_panel=MODEL,
            autocompletion=complete_baseline,
        ),
    ] = None
    candidates: Annotated[
        bool,
        typer.Option(
            "--candidates",
            help="Score all candidates of models that have several: best overall, best single.",
            rich_help_panel=MODEL,
        ),
    ] = False
    psf: Annotated[
        Path | None,
        typer.Option(
            metavar="PSF", help="What IMAGES were blurred with: a picture, or a folder of them by name.", rich_help_panel=MODEL
        ),
    ] = None


@dataclass(frozen=True)
class ProtocolOptions:
    """What is compared, and how."""

    protocol: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="A paper's: rgb, y, gopro, sidd, histoformer, infwide, rrformer; "
            "of depth maps: depth, kitti, ddad, nuscenes; kitti-dcpi, ddad-dcpi, nuscenes-dcpi.",
            rich_help_panel=PROTOCOL,
            autocompletion=complete_protocol,
        ),
    ] = "rgb"
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="psnr, ssim, ms-ssim, lpips, lpips-vgg, lpips-squeeze, dists, brisque; by default the protocol's.",
            rich_help_panel=PROTOCOL,
        ),
    ] = None
    colour: Annotated[
        Colour | None,
        typer.Option(
            help="Other than the protocol says: all channels, or luma of BT.601 (16 to 235).",
            rich_help_panel=PROTOCOL,
            show_default=False,
        ),
    ] = None
    border: Annotated[
        int | None, typer.Option(min=0, metavar="PIXELS", help="Leave out this much on every side.", rich_help_panel=PROTOCOL)
    ] = None
    round: Annotated[
        bool | None,
        typer.Option(
            "--round/--no-round",
            help="Round to 8 bits first, as a saved PNG is.",
            rich_help_panel=PROTOCOL,
            show_default=False,
        ),
    ] = None
    align: Annotated[
        Sizes,
        typer.Option(
            help="If sizes differ: refuse, or cut both to what they share, at right and bottom.", rich_help_panel=PROTOCOL
        ),
    ] = Sizes.error
    shift_search: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Take the best of all shifts up to N pixels, as for the Levin set.", rich_help_panel=PROTOCOL
        ),
    ] = 0

    @property
    def needs_targets(self) -> bool:
        """Whether a metric is asked for that compares with a target; the protocols' own all do."""
        from restorekit.evaluation import get_metric

        named = [get_metric(name) for name in split(self.metric)]
        return not named or any(metric.target for metric in named)

    def bundle(self) -> Bundle:
        """The protocol as named, with what was asked to be otherwise."""
        from restorekit.evaluation import get_protocol

        named = get_protocol(self.protocol)
        changes = {"colour": self.colour and self.colour.value, "border": self.border, "eight_bit": self.round}
        if self.round is not None:
            changes["truncate"] = False
        changed = replace(named.protocol, **{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
        return replace(named, protocol=changed, metrics=tuple(split(self.metric)) or named.metrics)


@dataclass(frozen=True)
class DepthOptions:
    """How depth maps are to be read."""

    inverse: Annotated[
        bool, typer.Option("--inverse", help="IMAGES hold inverse depth, or disparity.", rich_help_panel=DEPTH)
    ] = False
    depth_scale: Annotated[
        float,
        typer.Option(
            min=1e-6,
            metavar="STEPS",
            help="Steps a metre of 16-bit maps; 0 in a map is unknown.",
            rich_help_panel=DEPTH,
        ),
    ] = 256.0


@dataclass(frozen=True)
class ResultOptions:
    """Where the scores go."""

    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every score as a line of CSV; - for standard output.", rich_help_panel=REPORT),
    ] = None
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html", help="Write a page with tables and the worst images, to look at.", rich_help_panel=REPORT
        ),
    ] = None
    pictures: Annotated[int, typer.Option(min=0, metavar="N", help="How many images the page shows.", rich_help_panel=REPORT)] = (
        12
    )

    @property
    def csv_to_stdout(self) -> bool:
        """Whether the CSV takes the place of the tables."""
        return str(self.csv) == "-"
