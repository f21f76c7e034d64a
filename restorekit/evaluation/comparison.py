"""Versions of the same pictures next to each other, to be looked at: a page, or a labelled sheet with enlarged details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from restorekit import images
from restorekit.errors import DataError, UsageError
from restorekit.evaluation.gallery import Exhibit, Pixels, find_window, in_srgb, to_pixels
from restorekit.evaluation.pairs import find_pairs

Crop = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""

_TALLEST = 4
"""Details are not enlarged to more than so many times the width of a column."""

_MARKS = ("#d1495b", "#1f7a8c", "#e09f3e", "#6a4c93")
_PAPER, _INK, _GAP, _TEXT = "#ffffff", "#1b1d1f", 12, 15


@dataclass(frozen=True)
class Versions:
    """A picture in several versions of one size.

    Attributes:
        name: the picture's.
        pictures: by label, ``(H, W, 3)``, as a screen that takes them for sRGB shows them.
        files: what they were read from.
    """

    name: str
    pictures: Mapping[str, Pixels]
    files: tuple[Path, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = next(iter(self.pictures.values())).shape[:2]
        return int(width), int(height)


def read_versions(paths: Sequence[Path], labels: Sequence[str] = (), max_pixels: int | None = None) -> list[Versions]:
    """The versions in two or more files, or, by name, those in two or more folders, in sRGB.

    What has a profile is converted: files that look alike are alike, whatever spaces their values are in.

    Args:
        paths: files of one picture, or folders of the same pictures.
        labels: what to call them; by default their names as far as they differ.
        max_pixels: largest image to read, in pixels; None for no limit.

    Raises:
        UsageError: for fewer than two, or labels that do not fit.
        DataError: for pictures without a partner, or of different sizes.
    """
    if len(paths) < 2:
        raise UsageError("one picture cannot be compared", "Name two or more files, or two or more folders")
    if labels and len(labels) != len(paths):
        raise UsageError(f"there are {len(labels)} labels for {len(paths)} versions", "Give each version one label")
    labels = tuple(labels) or label_paths(paths)
    if len(set(labels)) != len(labels):
        raise UsageError("two versions have the same label", "Give them different labels")
    names: dict[str, list[Path]] = {}
    for path in paths[1:]:
        for pair in find_pairs(paths[0], path, apart=paths, verdict="Nothing was compared"):
            names.setdefault(pair.name, [pair.image]).extend(pair.files[1:])
    return [Versions(name, _read(files, labels, max_pixels), tuple(files)) for name, files in sorted(names.items())]


def label_paths(paths: Sequence[Path]) -> tuple[str, ...]:
    """The name of each path, with as many folders before it as it takes to tell it from the others.

    It has its extension only where nothing else tells it.
    """
    full = [path.resolve() for path in paths]
    short = [path.with_suffix("") if path.is_file() else path for path in full]
    resolved = [whole if short.count(stem) > 1 else stem for whole, stem in zip(full, short, strict=True)]

    def label(path: Path) -> str:
        others = [other for other in resolved if other != path]
        for count in range(1, len(path.parts)):
            if all(other.parts[-count:] != path.parts[-count:] for other in others):
                return "/".join(path.parts[-count:])
        return str(path)

    return tuple(map(label, resolved))


def parse_crop(text: str) -> Crop:
    """``"120,80,64,48"``, left, top, width, height; :class:`~restorekit.errors.UsageError` for anything else."""
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"'{text}' is not a crop", "Write left,top,width,height in pixels, for example 120,80,64,48") from None
    if min(left, top) < 0 or min(width, height) < 1:
        raise UsageError(
            f"the crop {text} lies beyond the picture or has no pixels",
            "Write left,top,width,height, the first two at least 0, the last two at least 1",
        )
    return left, top, width, height


def check_crops(crops: Sequence[Crop], versions: Versions) -> None:
    """Raise ``UsageError`` for a crop that reaches beyond the picture."""
    width, height = versions.size
    for left, top, wide, high in crops:
        if left + wide > width or top + high > height:
            raise UsageError(f"the crop {left},{top},{wide},{high} reaches beyond {versions.name}, which is {width} x {height}")


def exhibits_of(versions: Versions, crops: Sequence[Crop], pixels: int) -> list[Exhibit]:
    """What a page shows of a picture: all of it, or ``pixels`` where the first two versions differ most, and the crops."""
    first, second, *_ = versions.pictures.values()
    windows = [find_window(first, second, pixels), *crops]
    names = [versions.name, *(f"{versions.name} at {left},{top}" for left, top, _, _ in crops)]
    reasons = ["where the first two differ most", *("" for _ in crops)]
    return [
        Exhibit(name, versions.size, window, {label: _cut(array, window) for label, array in versions.pictures.items()}, why)
        for name, window, why in zip(names, windows, reasons, strict=True)
    ]


def make_sheet(versions: Versions, crops: Sequence[Crop] = (), column: int = 420) -> PillowImage.Image:
    """A labelled sheet: the versions side by side, below them the crops, enlarged by whole pixels.

    Args:
        versions: what to show.
        crops: details; without any, the one place where the first two versions differ most.
        column: width of a column in pixels. Pictures that are wider are reduced to it; crops are enlarged as far as it allows.

    Raises:
        UsageError: for a crop that reaches beyond the picture.
    """
    check_crops(crops, versions)
    crops = tuple(crops) or (_most_different(versions),)
    font = ImageFont.load_default(_TEXT)
    rows = [[_whole(array, crops, column) for array in versions.pictures.values()]]
    rows += [
        [_detail(_cut(array, crop), number, column) for array in versions.pictures.values()] for number, crop in enumerate(crops)
    ]
    heights = [max(tile.height for tile in row) for row in rows]
    width = len(versions.pictures) * (column + _GAP) + _GAP
    heading = _TEXT + 2 * _GAP
    sheet = PillowImage.new("RGB", (width, heading + sum(heights) + _GAP * len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, label in enumerate(versions.pictures):
        draw.text((_GAP + index * (column + _GAP), _GAP), _fit(label, font, column), fill=_INK, font=font)
    top = heading
    for row, height in zip(rows, heights, strict=True):
        for index, tile in enumerate(row):
            sheet.paste(tile, (_GAP + index * (column + _GAP), top))
        top += height + _GAP
    return sheet


def _read(files: Sequence[Path], labels: Sequence[str], max_pixels: int | None) -> dict[str, Pixels]:
    found = {label: _as_shown(images.read(path, max_pixels=max_pixels)) for label, path in zip(labels, files, strict=True)}
    shapes = {array.shape[:2] for array in found.values()}
    if len(shapes) > 1:
        told = ", ".join(f"{path} {array.shape[1]} x {array.shape[0]}" for path, array in zip(files, found.values(), strict=True))
        raise DataError(f"versions of one picture must have one size: {told}", "Cut or enlarge them first")
    return found


def _as_shown(image: images.Image) -> Pixels:
    return in_srgb(to_pixels(image), image)


def _cut(array: Pixels, crop: Crop) -> Pixels:
    left, top, width, height = crop
    return np.ascontiguousarray(array[top : top + height, left : left + width])


def _most_different(versions: Versions) -> Crop:
    first, second, *_ = versions.pictures.values()
    width, height = versions.size
    return find_window(first, second, max(1, width * height // 36))


def _whole(array: Pixels, crops: Sequence[Crop], column: int) -> PillowImage.Image:
    picture = PillowImage.fromarray(array)
    scale = min(1.0, column / picture.width)
    if scale < 1:
        picture = picture.resize((column, max(1, round(picture.height * scale))), PillowImage.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    for number, (left, top, width, height) in enumerate(crops):
        corners = [round(value * scale) for value in (left, top, left + width - 1, top + height - 1)]
        draw.rectangle(corners, outline=_MARKS[number % len(_MARKS)], width=2)
    return picture


def _detail(array: Pixels, number: int, column: int) -> PillowImage.Image:
    picture = PillowImage.fromarray(array)
    scale = max(1, min((column - 4) // picture.width, _TALLEST * column // picture.height))
    size = (picture.width * scale, picture.height * scale)
    if size[0] > column - 4:
        size = (column - 4, max(1, round(picture.height * (column - 4) / picture.width)))
        enlarged = picture.resize(size, PillowImage.Resampling.LANCZOS)
    else:
        enlarged = picture.resize(size, PillowImage.Resampling.NEAREST)
    framed = PillowImage.new("RGB", (size[0] + 4, size[1] + 4), _MARKS[number % len(_MARKS)])
    framed.paste(enlarged, (2, 2))
    return framed


def _fit(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(f"{label}...") > width:
        label = label[:-1]
    return f"{label}..."
