from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from restorekit.inference import memory
from restorekit.inference.memory import container_headroom, free_memory, tile_budget

CPU = torch.device("cpu")


def group(folder: Path, limit: str, usage: int, cache: int, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    limit_name, usage_name, cache_name = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        2: ("memory.max", "memory.current", "inactive_file"),
    }[version]
    (folder / limit_name).write_text(f"{limit}\n")
    (folder / usage_name).write_text(f"{usage}\n")
    (folder / "memory.stat").write_text(f"anon 7\n{cache_name} {cache}\n")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    membership = tmp_path / "self"
    membership.write_text("0::/jobs/mine\n")
    return tmp_path / "cgroup", membership


def test_tightest_group_counts_and_cache_counts_as_free(files: tuple[Path, Path]) -> None:
    groups, membership = files
    group(groups / "jobs" / "mine", "max", 500, 0)
    group(groups / "jobs", "1000", 700, 50)
    group(groups, "5000", 900, 0)
    assert container_headroom(groups, membership) == 350


def test_group_that_uses_more_than_it_may_leaves_nothing(files: tuple[Path, Path]) -> None:
    groups, membership = files
    group(groups / "jobs" / "mine", "100", 400, 20)
    assert container_headroom(groups, membership) == 0


def test_first_version_of_groups(files: tuple[Path, Path]) -> None:
    groups, membership = files
    membership.write_text("7:cpuset:/other\n4:memory:/docker/one\n")
    group(groups / "memory" / "docker" / "one", "2000", 1500, 100, version=1)
    group(groups / "memory", str(2**63 - 4096), 9000, 0, version=1)
    assert container_headroom(groups, membership) == 600


def test_no_groups_no_limit(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert container_headroom(*files) is None
    assert container_headroom(tmp_path, tmp_path / "absent") is None


def test_container_limits_what_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    for headroom, free in ((None, 1000), (400, 400), (4000, 1000)):
        monkeypatch.setattr(memory, "container_headroom", lambda headroom=headroom: headroom)
        assert free_memory(CPU) == free


def test_half_of_what_is_free_and_no_more_than_makes_tiles_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, bytes_per_pixel, pixels in ((2**30, 1024, 2**19), (2**40, 1024, 2**20), (2**40, 4096, 2**18), (2**40, 100, 2**20)):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        assert tile_budget(CPU).largest_tile(bytes_per_pixel) == pixels
    assert tile_budget(torch.device("cuda:0")).largest_tile(100) == 2**24
    assert tile_budget(torch.device("cuda:0")).largest_tile(1024) == 2**22  # of 8 GiB, the rest is for all but tiles


def test_memory_given_is_taken_at_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert tile_budget(CPU, 64 * 10**9).largest_tile(1000) == 64 * 10**6
