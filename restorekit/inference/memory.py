"""How much memory a tile may take: a safe part of what is free, and no more than makes tiles faster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_SAFE_PART = 0.5  # of what is free: allocators waste some, and the image, its result and other programs need some
_MOST_BYTES = {"cpu": 2**30, "cuda": 4 * 2**30}  # on CUDA, half of 8 GiB: weights, workspaces and what the allocator keeps
_MOST_PIXELS = {"cpu": 1024**2, "mps": 2048**2, "cuda": 4096**2}
# Larger tiles are not faster: on a CPU they fall out of its caches and become slower, and on CUDA they only take more memory
# from others, and 32-bit indices end.


@dataclass(frozen=True)
class Budget:
    """What a tile may take.

    Attributes:
        bytes: of memory.
        pixels: beyond which larger tiles are not faster; None for no limit.
    """

    bytes: int
    pixels: int | None = None

    def largest_tile(self, bytes_per_pixel: int) -> int:
        """The pixels a tile may have that takes so many bytes for each."""
        most = self.bytes // bytes_per_pixel
        return most if self.pixels is None else min(most, self.pixels)


def tile_budget(device: torch.device, memory: int | None = None) -> Budget:
    """What a tile may take on ``device``: ``memory`` bytes, taken at their word; for None a safe part of what is free now."""
    if memory is not None:
        return Budget(memory)
    kind = device.type
    safe = min(int(free_memory(device) * _SAFE_PART), _MOST_BYTES.get(kind, 2**63))
    return Budget(safe, _MOST_PIXELS.get(kind, 1024**2))


def is_too_large(size: int) -> bool:
    """Whether an image whose samples take so many bytes had better stay in its file.

    A batch holds up to three images, and writing one may take as much again: they should not fill the safe part of what is free.
    """
    return 4 * size > _SAFE_PART * _free_here()


def free_memory(device: torch.device) -> int:
    """The bytes that are free on ``device`` now, what PyTorch holds there for reuse included."""
    if device.type == "cuda":
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return _free_here()  # on mps too: the memory is shared


def _free_here() -> int:
    available = int(psutil.virtual_memory().available)
    headroom = container_headroom()
    return available if headroom is None else min(available, headroom)


def container_headroom(groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int | None:
    """The bytes a Linux control group (a container, a batch job) leaves this process; None where nothing limits it.

    Both versions of control groups are asked, from the process's own group up to the root. File cache that can be dropped
    counts as free.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    headroom = None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, names = groups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            top, names = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        own = top / path.lstrip("/")
        for group in [own, *own.parents]:
            left = _left(group, *names)
            if left is not None:
                headroom = left if headroom is None else min(headroom, left)
            if group == top:
                break
    return headroom


def _left(group: Path, limit_name: str, usage_name: str, cache_name: str) -> int | None:
    try:
        limit = int((group / limit_name).read_text())  # "max" is no number: no limit
        usage = int((group / usage_name).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return max(0, limit - usage + int(statistics.get(cache_name, 0)))
    except (OSError, ValueError):
        return None
