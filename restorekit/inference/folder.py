"""Many images: while one is computed, the next is read and the one before is written."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from restorekit import images
from restorekit.errors import ImageError, RestoreKitError, UsageError
from restorekit.images import Image, LargeImage
from restorekit.images.atomic import replacing
from restorekit.images.folders import nearest
from restorekit.images.problems import cannot_write
from restorekit.images.video import VideoReader
from restorekit.inference.films import films_of
from restorekit.inference.inputs import Job, Plan, folded, identity_of
from restorekit.inference.journal import Journal, Making
from restorekit.inference.memory import is_too_large

if TYPE_CHECKING:
    from restorekit.inference.result import Run


@dataclass(frozen=True)
class FileOptions:
    """How files are read and written.

    Attributes:
        quality: of JPEG, WebP, AVIF and HEIC, 1 to 100.
        strip: leave out EXIF, XMP and resolution.
        max_pixels: largest image that is read; 0 for no limit, None for the usual one.
        strips: whether images stay in their files, as :class:`~restorekit.images.LargeImage`: True for all, None for those that
            are too large for memory, as far as their files allow it, False for none.
    """

    quality: int = 95
    strip: bool = False
    max_pixels: int | None = None
    strips: bool | None = False


@dataclass(frozen=True)
class Products:
    """What is made of an image: the result, and what was asked for besides.

    Attributes:
        image: the result.
        candidates: its numbered alternatives.
        maps: what the job names under ``maps``: images, and arrays that are written as NumPy files.
        run: what the engine says of it, if there was one.
    """

    image: Image | LargeImage
    candidates: tuple[Image, ...] = ()
    maps: Mapping[str, Image | NDArray[Any]] = field(default_factory=dict)
    run: Run | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        job: the job.
        status: ``"done"``, ``"skipped"`` (it stood already) or ``"failed"``.
        written: the files written: candidates, maps and result, in this order.
        seconds: from the image in memory to the result in memory.
        run: what the engine says of it, if there was one.
        error: why it failed.
        details: the traceback of that, for whoever has to find out.
    """

    job: Job
    status: Literal["done", "skipped", "failed"]
    written: tuple[Path, ...] = ()
    seconds: float = 0.0
    run: Run | None = None
    error: str = ""
    details: str = ""


Compute = Callable[[Any, Job], Products]
"""Makes the products of an image: an :class:`Image`, or a :class:`LargeImage` where :class:`FileOptions` asks for such."""

_IN_STRIPS = (".tif", ".tiff")

Observer = Callable[[Outcome], None]


class Batch:
    """The jobs of a plan, sorted into those that stand already and those to be done.

    A result stands if the journal of its folder says that it was made of the same input with the same settings. A result of ours
    that is out of date is made again. A file that is not ours, or of another input, or was changed since, is left alone and its
    job fails, unless ``overwrite``; where such files that were never of this input stand in the places of a video's frames, the
    video fails as one job. A single image starts no journal, so where there is none its result is like any other file.

    Args:
        plan: the jobs.
        settings: what shapes the results, as plain values.
        overwrite: do every job, whatever stands.

    Attributes:
        plan: the jobs, with one in place of all frames of a video that fails beforehand.
        pending: the jobs to be done.
        settled: the outcomes that are known beforehand.

    Raises:
        ImageError: if a folder cannot be written to.
    """

    def __init__(self, plan: Plan, settings: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self._settings = settings
        self._overwrite = overwrite
        homes = {job.home for job in plan.jobs if job.home is not None}
        self._journals = {home: Journal(home, create=not plan.single) for home in homes}
        self._inputs = {identity: job.source for job in plan.jobs if job.source and (identity := identity_of(job.source))}
        self._makings: dict[Job, Making] = {}
        self._ours: set[Job] = set()
        self._results: dict[tuple[int, int], Path] = {}  # of this run, by what they are on their file system
        self.pending: list[Job] = []
        self.settled: list[Outcome] = []
        self._films = films_of(plan.jobs, self._journals, settings)
        self.plan = self._without_mixtures(plan)
        settled = {outcome.job for outcome in self.settled}
        for job in self.plan.jobs:
            if job not in settled:
                self._sort(job)
        for folder in {job.home or _folder(job) for job in self.pending if job.target}:
            _require_writable(folder)

    def run(
        self, prepare: Callable[[], Compute], options: FileOptions | None = None, observe: Observer | None = None
    ) -> list[Outcome]:
        """Do what is pending.

        Args:
            prepare: gives what makes the products of an image. Called once, and only if there is something to do; its errors are
                raised. What it gives is called in this thread, one image at a time.
            options: how files are read and written.
            observe: told of every outcome as soon as it is known, in this thread.

        Returns:
            The outcomes of all jobs in the order of the plan.

        Raises:
            UsageError: if making the products of an image does; any other error there fails that job only.
        """
        outcomes: dict[Job, Outcome] = {}

        def settle(outcome: Outcome) -> None:
            outcomes[outcome.job] = outcome
            if observe is not None:
                observe(outcome)

        for outcome in self.settled:
            settle(outcome)
        if self.pending:
            compute = prepare()
            with self._at_work():
                for outcome in self._stream(compute, options or FileOptions()):
                    settle(outcome)
        return [outcomes[job] for job in self.plan.jobs]

    def sweep(self, outcomes: Sequence[Outcome]) -> list[str]:
        """When all is done, remove the frames of videos that became shorter; see :meth:`Film.sweep`, also for what is given."""
        failed = {outcome.job.source for outcome in outcomes if outcome.status == "failed"}
        return [line for film in self._films if film.path not in failed for line in film.sweep()]

    def _without_mixtures(self, plan: Plan) -> Plan:
        """The plan, where videos whose frames would come to lie among others are one job each, which has failed."""
        whole: dict[Job, Job] = {}
        for film in self._films if not self._overwrite else ():
            if problem := film.refusal():
                job = replace(film.jobs[0], frame=None)
                self.settled.append(_failure(job, problem))
                whole |= dict.fromkeys(film.jobs, job)
        return replace(plan, jobs=tuple(dict.fromkeys(whole.get(job, job) for job in plan.jobs)))

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        with ExitStack() as stack:
            for folder in {job.home or _folder(job) for job in self.pending if job.target}:
                _make_folder(folder)
            for home, journal in self._journals.items():
                stack.enter_context(
                    journal.working({job.target.parent for job in self.plan.jobs if job.home == home and job.target})
                )
            yield

    def _sort(self, job: Job) -> None:
        ours = self._overwrite
        making = Making.of(job.source, self._settings, job.home) if job.source and job.home else None
        if job.home and job.target and making:
            self._makings[job] = making
            journal = self._journals[job.home]
            state = journal.state(job.target, making)
            if state == "current" and not ours and all(os.path.exists(path) for _, path in job.maps):
                self.settled.append(Outcome(job, "skipped", (job.target,)))
                self._remember(job.target)
                return
            ours = ours or state in ("current", "stale") or (state == "absent" and journal.knows(job.target, making))
        if ours:
            self._ours.add(job)
        problem = self._problem(job) if job.source is None or os.path.exists(job.source) else None  # else reading it will tell
        if problem is not None:
            self.settled.append(_failure(job, problem))
        else:
            self.pending.append(job)

    def _problem(self, job: Job) -> ImageError | None:
        """Why the files of a job cannot be written, as far as can be told before any work."""
        for path in (job.target, *dict(job.maps).values()):
            try:
                if path is not None and os.lstat(path) and not self._may_replace(job, path):
                    return self._taken(path) or _already_there(path)
            except OSError as error:
                if error.errno == errno.ENAMETOOLONG:
                    return ImageError(f"{path} cannot be written: the name is too long", "Name another output with -o")
        return None

    def _may_replace(self, job: Job, path: Path) -> bool:
        """Whether what stands at ``path`` is ours: the job's result, or what was written beside it."""
        if self._overwrite or job not in self._ours or path == job.target:
            return job in self._ours
        return bool(job.home and job.target and self._journals[job.home].wrote(job.target, path))

    def _remember(self, path: Path) -> None:
        if path.is_file() and (identity := identity_of(path)):  # a device takes any number
            self._results[identity] = path

    def _taken(self, path: Path) -> ImageError | None:
        """Why a result would replace another: names that differ in case, or in how accents are written, may be one file."""
        other = self._results.get(identity_of(path) or (0, 0))
        if other is None or folded(other) != folded(path):
            return None
        return ImageError(f"{path} is the same file here as another result, {other}", "Rename an input, or name other outputs")

    def _put(self, content: Image | LargeImage | NDArray[Any], path: Path, options: FileOptions, *, overwrite: bool) -> None:
        if problem := self._taken(path):
            raise problem
        _write_file(content, path, options, overwrite=overwrite)
        self._remember(path)

    def _stream(self, compute: Compute, options: FileOptions) -> Iterator[Outcome]:
        """Outcomes as they come; at most one image read ahead and one being written, so that memory holds three."""
        with closing(_Sources(options)) as sources, _one_thread("read") as reader, _one_thread("write") as writer:
            ahead: Future[Image | LargeImage] | None = None
            behind: Future[Outcome] | None = None
            try:
                for number, job in enumerate(self.pending):
                    current = ahead or reader.submit(sources.read, job)
                    following = self.pending[number + 1 : number + 2]
                    ahead = reader.submit(sources.read, following[0]) if following else None
                    start = time.perf_counter()
                    try:
                        image = current.result()
                        start = time.perf_counter()
                        products = compute(image, job)
                    except UsageError:
                        raise
                    except Exception as error:
                        yield _failure(job, error)
                        continue
                    seconds = time.perf_counter() - start
                    if behind is not None:
                        written, behind = behind.result(), None
                        yield written
                    behind = writer.submit(self._write, job, products, seconds, options)
                    del image, products, current
            except (UsageError, KeyboardInterrupt):
                if behind is not None:  # what is in hand will stand
                    yield behind.result()
                raise
            if behind is not None:
                yield behind.result()

    def _write(self, job: Job, products: Products, seconds: float, options: FileOptions) -> Outcome:
        try:
            written = self._write_files(job, products, options)
        except Exception as error:
            return _failure(job, error)
        return Outcome(job, "done", written, seconds, products.run)

    def _write_files(self, job: Job, products: Products, options: FileOptions) -> tuple[Path, ...]:
        """The result comes last: where it stands, everything stands."""
        extras: list[tuple[Path, Image | NDArray[Any]]] = []
        extras += [(job.candidate(number), image) for number, image in enumerate(products.candidates, 1)]
        extras += [(path, products.maps[name]) for name, path in job.maps]
        if job.target is not None and (problem := self._taken(job.target)):
            raise problem
        for path, _ in extras:
            if problem := self._taken(path):
                raise problem
            if victim := self._inputs.get(identity_of(path) or (0, 0)):
                raise ImageError(f"{path} is the input {victim}", "Name another output")
            if os.path.lexists(path) and not self._may_replace(job, path):
                raise _already_there(path)
        making = self._makings.get(job)
        journal = self._journals.get(job.home) if job.home and making else None
        if journal and job.target and making:
            journal.start(job.target, making, [path for path, _ in extras])
        for path, image in extras:
            self._put(image, path, options, overwrite=self._may_replace(job, path))
        if job.target is None:
            _write_stream(products.image, sys.stdout.buffer, self.plan.format, options)
            return tuple(path for path, _ in extras)
        self._put(products.image, job.target, options, overwrite=job in self._ours)  # it may have appeared since
        if journal:
            journal.finish(job.target, [path for path, _ in extras])
        return (*(path for path, _ in extras), job.target)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 if a job failed, else 0."""
    return int(any(outcome.status == "failed" for outcome in outcomes))


@contextmanager
def _one_thread(name: str) -> Iterator[ThreadPoolExecutor]:
    """A worker thread. Left by an error or Ctrl-C, it finishes what it has in hand, so that nothing is left half-written."""
    pool = ThreadPoolExecutor(1, f"restorekit-{name}")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=name == "read")


class _Sources:
    """Reads the images of jobs. A video stays open from frame to frame."""

    def __init__(self, options: FileOptions) -> None:
        self._options = options
        self._video: VideoReader | None = None

    def read(self, job: Job) -> Image | LargeImage:
        most = images.DEFAULT_MAX_PIXELS if self._options.max_pixels is None else self._options.max_pixels or None
        if job.source is not None and job.frame is not None:
            if self._video is None or self._video.path != job.source:
                self.close()
                self._video = VideoReader(job.source, most)
            return self._video.frame(job.frame)
        large = self._open_large(job)
        if large is not None:
            return large
        source: Path | BinaryIO = job.source if job.source is not None else io.BytesIO(sys.stdin.buffer.read())
        return images.read(source, max_pixels=most)

    def _open_large(self, job: Job) -> LargeImage | None:
        """The image in its file, if that is asked for or called for."""
        strips, most = self._options.strips, self._options.max_pixels
        possible = job.source is not None and not job.maps and job.target is not None and job.target.suffix.lower() in _IN_STRIPS
        possible = possible and os.path.isfile(job.source or "")  # what is read from a pipe would be lost
        if strips is False or (strips is None and not possible):
            return None
        large = None
        if possible and job.source is not None and job.target is not None:
            large = images.open_large(job.source, scratch=job.target.parent, max_pixels=most or None)
        if large is None and strips:
            name = job.source or "standard input"
            raise ImageError(
                f"{name} cannot be restored in strips", "Only most TIFF files can, to TIFF files; leave out --strips"
            )
        if large is None or not (strips or _needs_strips(large, self._options)):
            return None
        _make_folder(large.scratch)
        return large

    def close(self) -> None:
        if self._video is not None:
            self._video.close()


def _needs_strips(image: LargeImage, options: FileOptions) -> bool:
    refused = options.max_pixels is None and image.height * image.width > images.DEFAULT_MAX_PIXELS
    return refused or is_too_large(image.bytes)


def _write_file(content: Image | LargeImage | NDArray[Any], path: Path, options: FileOptions, *, overwrite: bool) -> None:
    _make_folder(path.parent)
    if isinstance(content, (Image, LargeImage)):
        images.write(content, path, overwrite=overwrite, quality=options.quality, strip=options.strip)
        return
    try:
        with replacing(path, overwrite=overwrite) as file:
            np.save(file, content)
    except FileExistsError:
        raise _already_there(path) from None
    except OSError as error:
        raise cannot_write(str(path), error) from error


def _write_stream(image: Image | LargeImage, stream: BinaryIO, format: str | None, options: FileOptions) -> None:
    buffer = io.BytesIO()
    images.write(image, buffer, format=format or image.format, quality=options.quality, strip=options.strip)
    try:
        stream.write(buffer.getbuffer())
        stream.flush()
    except OSError as error:
        raise ImageError(f"standard output cannot be written to: {error.strerror}", "Check what it is sent to") from None


def _folder(job: Job) -> Path:
    return job.target.parent if job.target else Path()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, error.strerror) from None


def _no_folder(folder: Path, reason: str | None) -> ImageError:
    return ImageError(f"the folder {folder} cannot be made: {reason}", "Name another folder with -o")


def _require_writable(folder: Path) -> None:
    """Raise :class:`ImageError` if nothing can be written to a folder, or if it cannot be made; it is made when it is needed."""
    there = nearest(folder)
    if not os.path.isdir(there):
        raise _no_folder(folder, os.strerror(errno.ENOTDIR))
    if not os.access(there, os.W_OK | os.X_OK):
        raise ImageError(f"the folder {folder} cannot be written to", "Change its permissions or name another folder with -o")


def _already_there(path: Path) -> ImageError:
    return ImageError(
        f"{path} exists already and is not known to be an unchanged result of this input", "Add --overwrite to replace it"
    )


def _failure(job: Job, error: Exception) -> Outcome:
    text = str(error) if isinstance(error, RestoreKitError) else f"internal error: {type(error).__name__}: {error}"
    # As text: the traceback itself would keep the image alive.
    return Outcome(job, "failed", error=text, details="".join(traceback.format_exception(error)))
