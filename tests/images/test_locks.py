"""Locks that processes see of each other."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from restorekit.images import locks
from restorekit.images.locks import lock, share

HOLDER = """
import sys, time
from restorekit.images.locks import lock

file = open(sys.argv[1], "ab")
print(lock(file), flush=True)
time.sleep(60)
"""

needed = pytest.mark.skipif(not locks.AVAILABLE, reason="no locks here")


@needed
def test_one_has_a_lock_and_others_share_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("ab") as first, path.open("ab") as second:
        assert lock(first) == "held" and lock(second) == "taken"
        share(first)
        share(second)
        assert lock(first) == "taken"
    with path.open("ab") as third:
        assert lock(third) == "held"


@needed
def test_a_lock_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with path.open("ab") as file:
        assert lock(file) == "taken"
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert lock(file) == "held"


def test_where_nothing_can_be_locked_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "AVAILABLE", False)
    with (tmp_path / "a").open("ab") as first, (tmp_path / "a").open("ab") as second:
        assert lock(first) == lock(second) == "unknown"
        share(first)
