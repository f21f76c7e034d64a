"""From what was typed to jobs: which images are meant, and where each result goes, settled before any work begins."""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from restorekit import images
from restorekit.errors import ImageError, UnknownNameError, UsageError
from restorekit.images.folders import walk
from restorekit.images.formats import FORMATS, HEAD_BYTES, recognise
from restorekit.images.video import count_frames, is_cut_short, is_video_path

STREAM = "-"
"""What names standard input or standard output."""


@dataclass(frozen=True)
class Job:
    """One image to work on.

    Attributes:
        source: its file; None for standard input.
        target: the file of the result; None for standard output.
        maps: what else is wanted of it, and the files of that, by name: ``"spread"``, ``"depth"``...
        home: the folder whose journal remembers the result; None where there is none.
        frame: which frame of it is meant, from 0, if the source is a video.
    """

    source: Path | None
    target: Path | None
    maps: tuple[tuple[str, Path], ...] = ()
    home: Path | None = None
    frame: int | None = None

    def candidate(self, number: int) -> Path:
        """The file of candidate ``number``, counted from 1: ``photo-deblurred-1.jpg`` beside ``photo-deblurred.jpg``."""
        if self.target is None:
            raise ValueError("standard output has no candidates")
        return self.target.with_name(f"{self.target.stem}-{number}{self.target.suffix}")


@dataclass(frozen=True)
class Plan:
    """Jobs that do not get into each other's way.

    Attributes:
        jobs: in the order of their inputs.
        single: whether one file, or standard input, was named; folders, patterns and several files make a batch.
        format: format of what goes to standard output, such as ``"PNG"``; None for that of its input.
    """

    jobs: tuple[Job, ...]
    single: bool
    format: str | None = None


@dataclass(frozen=True)
class _Found:
    path: Path
    root: Path  # the tree below this folder is kept in an output folder


def plan(
    inputs: Sequence[str],
    *,
    suffix: str,
    output: str | None = None,
    format: str | None = None,
    recursive: bool = False,
    candidates: bool = False,
    maps: Mapping[str, str] | None = None,
    videos: bool = False,
) -> Plan:
    """Settle what to work on and where results go.

    Args:
        inputs: files, folders, patterns such as ``"*.jpg"``, or ``"-"`` alone for standard input.
        suffix: what is added to a name beside its input: ``"deblurred"`` makes ``photo-deblurred.jpg``.
        output: a file, for one input; a folder; ``"-"`` for standard output; None for beside each input.
        format: file format of the results, for example ``"png"``; None for each input's own, which its content tells.
        recursive: look into the folders of folders as well. An output folder gets the same tree.
        candidates: whether numbered files will be written beside each result.
        maps: what else is wanted, by name, and where: a file, for one input, or a folder.
        videos: whether a video file is an input too. Its frames go to a folder of its name, ``clip-depth/000001.png``, or inside
            an output folder ``clip/000001.png``; into the very output folder if the video is all there is.

    Raises:
        UsageError: if nothing is to be done, if two results would be one file, or if a result would overwrite an input.
    """
    maps = maps or {}
    if not all(inputs):
        raise UsageError("an input has no name", "Check the variable or the pattern that it came from")
    extension = _extension(format)
    if candidates and (output == STREAM or (output is None and STREAM in inputs)):
        raise UsageError("candidates cannot go to standard output", "Name an output file with -o")
    if STREAM in inputs:
        return _plan_stream(inputs, output, extension, maps)
    if videos:
        inputs = list(_with_videos_named(inputs))
        if any(map(is_video_path, inputs)):
            return _plan_videos(inputs, output, suffix, extension, recursive)
    single = len(inputs) == 1 and not os.path.isdir(inputs[0]) and (os.path.lexists(inputs[0]) or not glob.has_magic(inputs[0]))
    folder = _output_folder(output, single)
    skip = [*([folder] if folder else []), *(Path(place) for place in maps.values() if not images.is_image_path(place))]
    found = _find(inputs, recursive, suffix, skip)
    if single:
        jobs: tuple[Job, ...] = (_single_job(found[0], output, folder, suffix, extension, maps),)
    else:
        for name, place in maps.items():
            if images.is_image_path(place):
                raise UsageError(f"the {_title(name)}s of several images cannot all be {place}", "Name a folder for them")
        jobs = _without_results([_batch_job(f, folder, suffix, extension, maps) for f in found], candidates)
    _refuse_collisions(jobs, candidates)
    return Plan(jobs, single, extension and images.EXTENSIONS[extension])


def expand(paths: Iterable[Path]) -> list[Path]:
    """The paths, with what matches it in the place of each pattern, for shells that leave patterns alone.

    A name that exists wins over the pattern that it is as well, and a pattern that nothing matches stays.
    """
    return [match for path in paths for match in (_matches(path) or [path])]


def _matches(path: Path) -> list[Path]:
    """What matches a pattern, sorted; nothing if it is none."""
    if os.path.lexists(path) or not glob.has_magic(str(path)):
        return []
    return [Path(match) for match in sorted(glob.glob(_pattern(path)[1], recursive=True))]


def _extension(format: str | None) -> str | None:
    if format is None:
        return None
    extension = f".{format.lower().lstrip('.')}"
    if extension not in images.EXTENSIONS:
        raise UnknownNameError("format", format, (e.lstrip(".") for e in images.EXTENSIONS))
    _check_encoder(images.EXTENSIONS[extension])
    return extension


def _check_encoder(file_format: str) -> None:
    """Raise :class:`UsageError` for a format that cannot be written here: better now than after the work."""
    if file_format == "HEIF" and importlib.util.find_spec("pillow_heif") is None:
        raise UsageError("HEIC files need pillow-heif", "Install it with pip install pillow-heif, or take another format")


def _plan_stream(inputs: Sequence[str], output: str | None, extension: str | None, maps: Mapping[str, str]) -> Plan:
    if len(inputs) > 1:
        raise UsageError("standard input cannot be mixed with other inputs", "Give '-' alone")
    if output is not None and _output_folder(output, True) is not None:
        raise UsageError(f"what comes from standard input has no name to be written to {output} by", "Name a file with -o")
    target = None if output is None or output == STREAM else Path(output)
    if target is not None:
        _check_extension(target, extension)
    job = Job(None, target, _single_maps(maps))
    _refuse_collisions((job,), False)
    return Plan((job,), True, extension and images.EXTENSIONS[extension])


def _output_folder(output: str | None, single: bool) -> Path | None:
    """The folder that ``output`` means, or None if it means something else."""
    if output is None:
        return None
    if output == STREAM:
        if not single:
            raise UsageError("several results cannot go to standard output", "Name a folder with -o")
        return None
    path = Path(output)
    meant_as_folder = output.endswith(("/", os.sep)) or os.path.isdir(path)  # unlike Path.is_dir, no error for a name too long
    if images.is_image_path(path) and not meant_as_folder:
        if not single:
            raise UsageError(f"several results cannot be one file, {output}", "Name a folder with -o")
        return None
    if single and not meant_as_folder and re.fullmatch(r"\.[A-Za-z]{2,4}[0-9]?", path.suffix):
        known = (e.lstrip(".") for e in images.EXTENSIONS)
        raise UnknownNameError("format", path.suffix.lstrip("."), known, f"{output} (if it is a folder, end it with '/')")
    return path


def _single_job(
    found: _Found, output: str | None, folder: Path | None, suffix: str, extension: str | None, maps: Mapping[str, str]
) -> Job:
    places = _single_maps(maps, found.path.stem)
    if output == STREAM:
        return Job(found.path, None, places)
    if output is not None and folder is None:
        target = Path(output)
        _check_extension(target, extension)
    else:
        target = _target(found, folder, suffix, extension)
    return Job(found.path, target, places, folder or target.parent)


def _single_maps(maps: Mapping[str, str], stem: str = "") -> tuple[tuple[str, Path], ...]:
    def place(name: str, text: str) -> Path:
        path = Path(text)
        if text.endswith(("/", os.sep)) or os.path.isdir(path):
            return path / f"{stem or name}.png"
        try:
            images.format_of(path)  # better refused now than after the work
        except ImageError as error:
            raise UsageError(error.problem, f"{error.remedy}, or end it with '/' if it is a folder") from None
        return path

    return tuple((name, place(name, text)) for name, text in maps.items())


def _batch_job(found: _Found, folder: Path | None, suffix: str, extension: str | None, maps: Mapping[str, str]) -> Job:
    target = _target(found, folder, suffix, extension)
    relative = found.path.relative_to(found.root).with_suffix(".png")
    return Job(found.path, target, tuple((name, Path(place) / relative) for name, place in maps.items()), folder or found.root)


def _plan_videos(inputs: Sequence[str], output: str | None, suffix: str, extension: str | None, recursive: bool) -> Plan:
    """Videos, frame by frame, and the images among the inputs."""
    if output is not None and is_video_path(output) and not os.path.isdir(output):
        raise UsageError(f"{output} cannot be a video: the frames become images", "Name a folder with -o")
    folder = _output_folder(output, single=False)
    films = {_key(Path(text)): Path(text) for text in inputs if is_video_path(text)}
    others = [text for text in inputs if not is_video_path(text)]
    found = _find(others, recursive, suffix, [folder] if folder else []) if others else []
    jobs = [_batch_job(f, folder, suffix, extension, {}) for f in found]
    for film in films.values():
        if folder is None:
            place = film.with_name(f"{film.stem}-{suffix}")
        else:
            place = folder if len(films) == 1 and not others else folder / film.stem
        for number in range(_frames(film)):
            jobs.append(Job(film, place / f"{number + 1:06d}{extension or '.png'}", (), folder or place, number))
    _refuse_collisions(jobs, False)
    return Plan(tuple(jobs), False)


def _frames(film: Path) -> int:
    """How many frames to plan for; of a film that cannot be read or breaks off one more than there are, and reading that one will
    tell.
    """
    try:
        count = count_frames(film)
        return count + is_cut_short(film, count)
    except ImageError:
        return 1


def _target(found: _Found, folder: Path | None, suffix: str, extension: str | None) -> Path:
    ending = extension or _own_extension(found.path)
    beside = found.path.with_name(f"{found.path.stem}-{suffix}{ending}")
    if folder is None:
        return beside
    target = folder / found.path.relative_to(found.root).with_suffix(ending)
    # An output folder that is the input's own: the result keeps out of the input's way by its name.
    return folder / beside.relative_to(found.root) if _same_place(target, found.path) else target


def _own_extension(path: Path) -> str:
    """The path's own, or where it does not tell the format that the file has, the usual one of that."""
    named = images.EXTENSIONS.get(path.suffix.lower())
    if os.path.isfile(path):  # what is read from a pipe would be lost
        with suppress(OSError, ImageError), path.open("rb") as file:
            actual = recognise(file.read(HEAD_BYTES), str(path))
            return path.suffix if named == actual else FORMATS[actual].extensions[0]
    return path.suffix if named else ".png"


def _check_extension(target: Path, extension: str | None) -> None:
    _check_encoder(images.format_of(target))
    if extension is not None and images.format_of(target) != images.EXTENSIONS[extension]:
        raise UsageError(f"{target} does not end as a {extension.lstrip('.')} file does", "Leave out --format or change the name")


def _find(inputs: Sequence[str], recursive: bool, suffix: str, skip: Sequence[Path]) -> list[_Found]:
    """What is meant. The folders in ``skip`` hold what comes of it: folders and patterns do not look into them."""
    found: dict[str, _Found] = {}
    for text in inputs:
        for item in _expand(text, recursive, suffix, skip):
            found.setdefault(_key(item.path), item)
    return list(found.values())


def _expand(text: str, recursive: bool, suffix: str, skip: Sequence[Path]) -> Iterator[_Found]:
    path = Path(text)
    if os.path.isdir(path):
        yield from _images_in(path, recursive, suffix, skip)
    elif os.path.lexists(path) or not glob.has_magic(text):
        yield _Found(path, path.parent)  # one that does not exist is reported when it is read, and the rest goes on
    else:
        fixed, matches = _pattern(path)[0], _matches(path)
        around = [place for place in skip if not _lies_in(fixed / "_", place)]  # a folder that is named is looked into
        files = [m for m in matches if m.is_file() and images.is_image_path(m) and not any(_lies_in(m, p) for p in around)]
        files = _without_earlier_results(files, suffix)
        if not files:
            raise UsageError(f"no image matches '{text}'", "Check the pattern")
        yield from (_Found(m, fixed) for m in files)


def _with_videos_named(inputs: Sequence[str]) -> Iterator[str]:
    """The inputs, each pattern followed by the videos that match it; one that matches nothing else is left out."""
    for text in inputs:
        if os.path.lexists(text) or not glob.has_magic(text):
            yield text
            continue
        matches = sorted(glob.glob(_pattern(Path(text))[1], recursive=True))
        films = [match for match in matches if is_video_path(match)]
        if not films or any(map(images.is_image_path, matches)):
            yield text
        yield from films


def _pattern(path: Path) -> tuple[Path, str]:
    """The folders that a pattern names without magic, and the pattern; ``[2024]`` is no magic where a folder has that name."""
    parts, fixed = list(path.parts), 0
    for number, part in enumerate(path.parent.parts):
        if glob.has_magic(part):
            if not os.path.isdir(Path(*path.parts[: number + 1])):
                break
            parts[number] = glob.escape(part)
        fixed = number + 1
    return Path(*path.parts[:fixed]), str(Path(*parts))


def _images_in(folder: Path, recursive: bool, suffix: str, skip: Sequence[Path]) -> Iterator[_Found]:
    unreadable: list[Path] = []
    count = 0
    elsewhere = films = False
    for here, names, files in walk(folder, onerror=lambda error: unreadable.append(Path(error.filename))):
        names[:] = sorted(n for n in names if not n.startswith(".") and not any(_same_place(here / n, place) for place in skip))
        elsewhere = elsewhere or bool(names)
        films = films or any(map(is_video_path, files))
        if not recursive:
            names.clear()
        paths = [here / name for name in sorted(files) if not name.startswith(".") and images.is_image_path(name)]
        paths = [path for path in paths if path.is_file() or not path.exists()]  # a pipe is waited for for ever
        for path in _without_earlier_results(paths, suffix):
            count += 1
            yield _Found(path, folder)
    for path in unreadable:
        yield _Found(path, path.parent if path == folder else folder)  # reported when it is read, and the rest goes on
    if not count and not unreadable:
        remedy = "Check the path"
        if films:
            remedy = (
                "Only depth takes videos, each by its name or a pattern such as '*.mp4'; for the others take the frames out first"
            )
        elif elsewhere and not recursive:
            remedy = "Add --recursive to look into the folders in it"
        raise UsageError(f"no image lies in {folder}", remedy)


def _without_earlier_results(paths: list[Path], suffix: str) -> list[Path]:
    """Leave out ``photo-deblurred.jpg`` and ``photo-deblurred-1.jpg`` where a ``photo`` lies beside them."""
    stems = {(path.parent, path.stem) for path in paths}
    pattern = re.compile(rf"(.+)-{re.escape(suffix)}(-\d+)?")

    def is_result(path: Path) -> bool:
        match = pattern.fullmatch(path.stem)
        return match is not None and (path.parent, match[1]) in stems

    return [path for path in paths if not is_result(path)]


def _without_results(jobs: Sequence[Job], candidates: bool) -> tuple[Job, ...]:
    """Leave out the results of others beside them: a pattern that the shell expands names them when it is run again."""

    def is_result(job: Job) -> bool:
        if job.source is None:
            return False
        key, numbered = _key(job.source), re.fullmatch(r"(.+)-[0-9]+", job.source.stem)
        made = key in targets and targets[key] is not job
        if candidates and numbered:
            key = _key(job.source.with_name(f"{numbered[1]}{job.source.suffix}"))
            made = made or (key in targets and targets[key] is not job)
        return made

    targets = {_key(job.target): job for job in jobs if job.target and job.source and _is_beside(job.target, job.source)}
    return tuple(job for job in jobs if not is_result(job))


def _refuse_collisions(jobs: Sequence[Job], candidates: bool) -> None:
    sources = {identity: job.source for job in jobs if job.source and (identity := identity_of(job.source))}
    owners: dict[str, str] = {}
    for job in jobs:
        frame = "" if job.frame is None else f"frame {job.frame + 1} of "
        for what, path in (("result", job.target), *job.maps):
            if path is None:
                continue
            owner = f"the {_title(what)} of {frame}{job.source or 'standard input'}"
            if victim := sources.get(identity_of(path) or (0, 0)):
                raise UsageError(f"{owner} would overwrite the input {victim}", "Name another output")
            other = owners.setdefault(_key(path), owner)
            if other != owner:
                raise UsageError(f"{other} and {owner} would both be written to {path}", "Give them separate outputs")
    if candidates:
        _refuse_numbered(jobs, sources.values())


def _refuse_numbered(jobs: Sequence[Job], sources: Iterable[Path]) -> None:
    """How many candidates there will be is not known yet: any number beside a result's name is taken."""
    owners = {_key(job.target): job for job in jobs if job.target}
    for path in (*sources, *(path for job in jobs for path in (job.target, *dict(job.maps).values()) if path)):
        if match := re.fullmatch(r"(.+)-\d+", path.stem):
            job = owners.get(_key(path.with_name(f"{match[1]}{path.suffix}")))
            if job is not None:
                raise UsageError(f"a candidate of {job.source} might be written to {path}", "Give them separate outputs")


def _title(name: str) -> str:
    return {"spread": "spread map", "clean": "clean photograph"}.get(name, name)


def identity_of(path: Path) -> tuple[int, int] | None:
    """What a file is on its file system, by whatever name or link; None if there is none, or the file system does not tell."""
    try:
        info = path.stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino) if info.st_ino else None


def folded(path: Path) -> str:
    """Equal for paths that may be one file where case, or how accents are written, makes no difference."""
    return unicodedata.normalize("NFD", str(path)).casefold()


def _same_place(a: Path, b: Path) -> bool:
    return _key(a) == _key(b) or (identity_of(a) is not None and identity_of(a) == identity_of(b))


def _is_beside(a: Path, b: Path) -> bool:
    return os.path.realpath(a.parent) == os.path.realpath(b.parent)


def _lies_in(path: Path, folder: Path) -> bool:
    real = os.path.normcase(os.path.realpath(folder))
    return _key(path).startswith(os.path.join(real, ""))


def _key(path: Path) -> str:
    """Equal for paths that name one directory entry, without following a link in the last part."""
    return os.path.normcase(os.path.join(os.path.realpath(path.parent), path.name))
