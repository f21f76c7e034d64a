from __future__ import annotations

import errno
import os
import stat
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import pytest

from restorekit.images import atomic, locks
from restorekit.images.atomic import TEMPORARY_SUFFIX, remove_unfinished, replacing
from restorekit.images.locks import lock

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions and links as POSIX has them")
needs_locks = pytest.mark.skipif(not locks.AVAILABLE, reason="no locks here")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_new_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with replacing(target) as file:
        file.write(b"half")
        file.flush()
        assert not target.exists()
        (temporary,) = names(tmp_path)
        assert temporary.startswith(".")
        assert temporary.endswith(TEMPORARY_SUFFIX)
        file.write(b" and half")
    assert names(tmp_path) == ["a.bin"]
    assert target.read_bytes() == b"half and half"


def test_an_old_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old and longer")
    with replacing(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old and longer"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    "error", [ValueError("x"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), SystemExit(1), GeneratorExit()]
)
@pytest.mark.parametrize("existed", [True, False])
def test_whatever_goes_wrong_nothing_changes(tmp_path: Path, error: BaseException, existed: bool) -> None:
    target = tmp_path / "a.bin"
    if existed:
        target.write_bytes(b"old")
    with pytest.raises(type(error)), replacing(target) as file:
        file.write(b"new" * 100_000)
        raise error
    assert names(tmp_path) == (["a.bin"] if existed else [])
    assert not existed or target.read_bytes() == b"old"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_step_that_fails_at_the_end_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(*((os, "fsync", fail) if step == "fsync" else (Path, "replace", fail)))
    with pytest.raises(OSError, match="Input/output"), replacing(target) as file:
        file.write(b"new")
    assert names(tmp_path) == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"), fsync(handle))
    )
    monkeypatch.setattr(Path, "replace", lambda self, target: (events.append("replace"), replace(self, target)))
    with replacing(tmp_path / "a.bin") as file:
        file.write(b"x")
    assert events[:2] == ["file", "replace"]
    assert events[2:] in (["folder"], [])


@pytest.mark.parametrize("links", [True, False])
def test_without_overwriting_an_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    target = tmp_path / "a.bin"
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links here")))
    with replacing(target, overwrite=False) as file:
        file.write(b"first")
    assert names(tmp_path) == ["a.bin"]
    with pytest.raises(FileExistsError), replacing(target, overwrite=False):
        pytest.fail("the block must not be entered")
    target.unlink()
    with pytest.raises(FileExistsError), replacing(target, overwrite=False) as file:
        file.write(b"late")
        target.write_bytes(b"meanwhile")
    assert target.read_bytes() == b"meanwhile"
    assert names(tmp_path) == ["a.bin"]


@needs_locks
@pytest.mark.parametrize("step", ["chmod", "replace", "link"])
def test_what_is_finished_is_nobodys_leftover_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    target, owner = tmp_path / "a.bin", os if step == "link" else Path
    if step != "link":
        target.write_bytes(b"old")
    real = getattr(owner, step)

    def while_another_tidies_up(*given: object) -> object:
        remove_unfinished(tmp_path)
        return real(*given)

    monkeypatch.setattr(owner, step, while_another_tidies_up)
    with replacing(target, overwrite=step != "link") as file:
        file.write(b"new")
    assert names(tmp_path) == ["a.bin"] and target.read_bytes() == b"new"


@needs_locks
@pytest.mark.parametrize("gone", [True, False], ids=["removed", "about to be removed"])
def test_a_file_that_is_taken_for_a_leftover_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool
) -> None:
    with ExitStack() as stack:

        def too_late(file: BinaryIO) -> str:
            monkeypatch.setattr(atomic, "lock", lock)
            if gone:
                remove_unfinished(tmp_path)
            else:
                (leftover,) = tmp_path.iterdir()
                assert lock(stack.enter_context(leftover.open("r+b"))) == "held"
                stack.callback(leftover.unlink)
            return lock(file)

        monkeypatch.setattr(atomic, "lock", too_late)
        with replacing(tmp_path / "a.bin") as file:
            stack.close()
            file.write(b"new")
    assert names(tmp_path) == ["a.bin"] and (tmp_path / "a.bin").read_bytes() == b"new"


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "a.bin") as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == 0o666 & ~mask


@posix
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "private.bin"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with replacing(target) as file:
        file.write(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


@posix
def test_links_are_followed_and_devices_written_to(tmp_path: Path) -> None:
    real = tmp_path / "real.bin"
    link = tmp_path / "link.bin"
    link.symlink_to(real)
    with replacing(link) as file:
        file.write(b"x")
    assert link.is_symlink()
    assert real.read_bytes() == b"x"
    with replacing(Path(os.devnull)) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_a_folder_or_no_folder(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=os.strerror(errno.EISDIR)), replacing(tmp_path):
        pytest.fail("the block must not be entered")
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "none" / "a.bin"):
        pytest.fail("the block must not be entered")
    assert names(tmp_path) == []


def test_a_file_system_that_cannot_sync_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.EINVAL, "no")))
    atomic._sync_folder(tmp_path)
    with replacing(tmp_path / "a.bin") as file:
        file.write(b"x")
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_on_windows_a_file_that_is_held_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """Also the new one, which virus scanners look at first."""
    target, pauses = tmp_path / "a.bin", list[float]()
    name = "replace" if overwrite else "unlink"
    step = getattr(Path, name)

    def held(self: Path, *given: Path) -> object:
        if len(pauses) < 3:
            raise PermissionError(errno.EACCES, "held")
        return step(self, *given)

    monkeypatch.setattr(atomic, "_WINDOWS", True)
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(Path, name, held)
    with replacing(target, overwrite=overwrite) as file:
        file.write(b"new")
    assert names(tmp_path) == ["a.bin"] and target.read_bytes() == b"new"
    assert len(pauses) == 3


@pytest.mark.parametrize("windows", [True, False])
def test_a_file_that_is_held_for_longer_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool) -> None:
    target, pauses = tmp_path / "a.bin", list[float]()
    target.write_bytes(b"old")
    monkeypatch.setattr(atomic, "_WINDOWS", windows)
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(errno.EACCES, "held")))
    with pytest.raises(PermissionError, match="held"), replacing(target) as file:
        file.write(b"new")
    assert names(tmp_path) == ["a.bin"] and target.read_bytes() == b"old"
    assert sum(pauses) == pytest.approx(1 if windows else 0)


def test_on_windows_a_file_that_may_only_be_read_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it could not be replaced, and a new one with its permissions not even be removed."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    target.chmod(0o444)
    monkeypatch.setattr(atomic, "_WINDOWS", True)
    with pytest.raises(PermissionError, match=os.strerror(errno.EACCES)), replacing(target):
        pytest.fail("the block must not be entered")
    assert names(tmp_path) == ["a.bin"] and target.read_bytes() == b"old"
