"""Which image belongs to which target: by name, and only if nothing is missing, double, unreadable or of another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from restorekit import images
from restorekit.errors import DataError, ImageError
from restorekit.evaluation.protocol import Protocol
from restorekit.metrics.structural import WINDOW

_LISTED = 50


@dataclass(frozen=True)
class Pair:
    """An image to be scored, and its target.

    Attributes:
        name: the path below the folder, without the extension, with forward slashes.
        image: the restored (or to be restored) file.
        target: the file it should look like.
    """

    name: str
    image: Path
    target: Path


def find_pairs(restored: Path, targets: Path) -> list[Pair]:
    """Pair the images of two folders by their path below the folder, whatever their extensions; or two files.

    Hidden files and what is not an image are passed over.

    Raises:
        DataError: naming every image without a partner and every name that occurs twice.
    """
    if restored.is_file() and targets.is_file():
        return [Pair(restored.stem, restored, targets)]
    problems: list[str] = []
    found, wanted = _by_name(restored, problems), _by_name(targets, problems)
    problems += [f"{found[name]} has no partner in {targets}" for name in sorted(found.keys() - wanted.keys())]
    problems += [f"{wanted[name]} has no partner in {restored}" for name in sorted(wanted.keys() - found.keys())]
    _raise(problems, "Pair images by name: a/photo.png with a/photo.jpg")
    return [Pair(name, found[name], wanted[name]) for name in sorted(found)]


def check_pairs(pairs: Sequence[Pair], protocol: Protocol, max_pixels: int | None = images.DEFAULT_MAX_PIXELS) -> None:
    """Read every file once, so that nothing is found to be wrong after an hour of work.

    Raises:
        DataError: naming every file that cannot be read and every pair that cannot be compared under ``protocol``.
    """
    problems: list[str] = []
    for pair in pairs:
        sizes = [size for path in (pair.image, pair.target) if (size := _size(path, max_pixels, problems)) is not None]
        if len(sizes) == 2:
            problems += _mismatch(pair, sizes[0], sizes[1], protocol)
    _raise(problems, "Correct or remove these files")


def _by_name(folder: Path, problems: list[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder" if folder.exists() else f"{folder} does not exist", "Give two folders or two files"
        )
    names: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or not images.is_image_path(path) or any(part.startswith(".") for part in relative.parts):
            continue
        name = relative.with_suffix("").as_posix()
        if name in names:
            problems.append(f"{names[name]} and {path.name} have the same name")
        names[name] = path
    if not names:
        raise DataError(f"{folder} holds no images", "Check the path")
    return names


def _size(path: Path, max_pixels: int | None, problems: list[str]) -> tuple[int, int] | None:
    try:
        return images.read(path, max_pixels=max_pixels).size
    except ImageError as error:
        problems.append(error.problem)
        return None


def _mismatch(pair: Pair, size: tuple[int, int], wanted: tuple[int, int], protocol: Protocol) -> list[str]:
    if size != wanted:
        return [f"{pair.image} is {size[0]} x {size[1]} but its target {pair.target} is {wanted[0]} x {wanted[1]}"]
    if min(size) < WINDOW + 2 * protocol.border:
        return [f"{pair.image} is {size[0]} x {size[1]}, too small for SSIM with a border of {protocol.border}"]
    return []


def _raise(problems: list[str], remedy: str) -> None:
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(problems[0], remedy)
    shown = problems[:_LISTED] + ([f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else [])
    raise DataError(f"{len(problems)} problems:\n  " + "\n  ".join(shown) + "\nNothing was scored", remedy)
