"""Which image belongs to which target: by name, and only if nothing is missing, double, unreadable or of another size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from restorekit import images
from restorekit.data import get_layout
from restorekit.errors import DataError, ImageError
from restorekit.evaluation.alignment import Alignment
from restorekit.evaluation.measures import DEFAULT, check_targets, get_metric
from restorekit.evaluation.protocol import Protocol
from restorekit.images.folders import is_hidden, walk

NOTHING_SCORED = "Nothing was scored"

_LISTED = 50
_BY_NAME = "Pair images by name: a/photo.png with a/photo.jpg"


@dataclass(frozen=True)
class Pair:
    """An image to be scored, and its target, if it has one.

    Attributes:
        name: the path below the folder, without the extension, with forward slashes.
        image: the restored (or to be restored) file.
        target: the file it should look like.
    """

    name: str
    image: Path
    target: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The image, and its target if it has one."""
        return (self.image,) if self.target is None else (self.image, self.target)


def find_pairs(
    restored: Path,
    targets: Path | None,
    accepts: Callable[[Path], bool] = images.is_image_path,
    problems: list[str] | None = None,
    *,
    apart: Sequence[Path] = (),
    verdict: str = NOTHING_SCORED,
) -> list[Pair]:
    """Pair the images of two folders by their path below the folder, whatever their extensions; or two files.

    Hidden files and what ``accepts`` refuses, by default all that is not an image, are passed over. Where one folder lies in the
    other, what it holds belongs to it alone.

    Args:
        restored: a folder, or one file.
        targets: the same; None if there are none.
        accepts: whether a file counts.
        problems: takes what does not pair, for :func:`check_pairs` to tell with all else; None to have it raised.
        apart: more folders whose files do not belong to a folder around them.
        verdict: what comes of several problems, without a full stop.

    Raises:
        DataError: naming every image without a partner and every name that occurs twice.
    """
    for path in filter(None, (restored, targets)):
        if not path.exists():
            raise DataError(f"{path} does not exist", "Check the path")
    if restored.is_file() and (targets is None or targets.is_file()):
        return [Pair(restored.stem, restored, targets)]
    wrong: list[str] = []
    apart = [*filter(None, (restored, targets)), *apart]
    found = _by_name(restored, accepts, apart, wrong)
    wanted: Mapping[str, Path | None] = _by_name(targets, accepts, apart, wrong) if targets else dict.fromkeys(found)
    wrong += [f"{found[name]} has no partner in {targets}" for name in sorted(found.keys() - wanted.keys())]
    wrong += [f"{wanted[name]} has no partner in {restored}" for name in sorted(wanted.keys() - found.keys())]
    if problems is None:
        _raise(wrong, _BY_NAME, verdict)
    else:
        problems += wrong
    return [Pair(name, found[name], wanted[name]) for name in sorted(found.keys() & wanted.keys())]


def find_layout_pairs(root: Path, layout: str, split: str = "test") -> list[Pair]:
    """The pairs of a published data set as its archive unpacks.

    Args:
        root: where it was unpacked.
        layout: a key of :data:`restorekit.data.LAYOUTS`, for example ``"gopro"``.
        split: the part.

    Raises:
        UnknownNameError: for a layout nobody knows.
        DataError: naming everything that has no partner, or if there are no pairs.
    """
    found = get_layout(layout).pairs(root, split)
    return [Pair(image.relative_to(root).with_suffix("").as_posix(), image, target) for image, target in found]


def check_pairs(
    pairs: Sequence[Pair],
    protocol: Protocol,
    max_pixels: int | None = images.DEFAULT_MAX_PIXELS,
    *,
    metrics: Sequence[str] = DEFAULT,
    alignment: Alignment | None = None,
    problems: Sequence[str] = (),
) -> None:
    """Read every file once, so that nothing is found to be wrong after an hour of work.

    Args:
        pairs: the files.
        protocol: what is to be compared.
        max_pixels: largest image to read, in pixels; None for no limit.
        metrics: what is to be measured.
        alignment: what is to be done about images that do not lie over their targets; None for nothing.
        problems: what :func:`find_pairs` found.

    Raises:
        DataError: naming all of ``problems``, every file that cannot be read and every pair that cannot be compared.
        UsageError: if a metric needs a target and a pair has none.
    """
    if any(pair.target is None for pair in pairs):
        check_targets(metrics)
    wrong: list[str] = []
    for pair in pairs:
        sizes = [size for path in pair.files if (size := _size(path, max_pixels, wrong)) is not None]
        if len(sizes) == len(pair.files):
            wrong += _mismatch(pair, sizes[0], sizes[-1], protocol, metrics, alignment or Alignment())
    _raise([*problems, *wrong], "Correct or remove these files" if wrong else _BY_NAME)


def _by_name(folder: Path, accepts: Callable[[Path], bool], apart: Sequence[Path], problems: list[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder", "Give two folders or two files")
    names: dict[str, Path] = {}
    for path in sorted(_files_in(folder, apart)):
        relative = path.relative_to(folder)
        if not accepts(path) or is_hidden(path, folder):
            continue
        name = relative.with_suffix("").as_posix()
        if name in names:
            problems.append(f"{names[name]} and {path.name} have the same name")
        names[name] = path
    if not names:
        raise DataError(f"{folder} holds no images", "Check the path")
    return names


def _files_in(folder: Path, apart: Sequence[Path]) -> Iterator[Path]:
    """The files in a folder and in those inside it, but for those in ``apart``."""
    for here, names, files in walk(folder):
        names[:] = [name for name in names if not any(_is_same(here / name, place) for place in apart)]
        yield from (path for name in files if (path := here / name).is_file())


def _is_same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def _size(path: Path, max_pixels: int | None, problems: list[str]) -> tuple[int, int] | None:
    try:
        return images.read(path, max_pixels=max_pixels).size
    except ImageError as error:
        problems.append(error.problem)
        return None


def _mismatch(
    pair: Pair,
    size: tuple[int, int],
    wanted: tuple[int, int],
    protocol: Protocol,
    metrics: Sequence[str],
    alignment: Alignment,
) -> list[str]:
    if size != wanted and alignment.sizes == "error":
        return [f"{pair.image} is {size[0]} x {size[1]} but its target {pair.target} is {wanted[0]} x {wanted[1]}"]
    shared = min(*size, *wanted)
    frame = protocol.border + alignment.shift
    for metric in map(get_metric, metrics):
        if shared < metric.minimum + 2 * frame:
            less = f" with a border of {frame}" if frame else ""
            return [f"{pair.image} is {size[0]} x {size[1]}, too small for {metric.label}{less}"]
    return []


def _raise(problems: list[str], remedy: str, verdict: str = NOTHING_SCORED) -> None:
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(problems[0], remedy)
    shown = problems[:_LISTED] + ([f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else [])
    raise DataError(f"{len(problems)} problems:\n  " + "\n  ".join(shown) + f"\n{verdict}", remedy)
