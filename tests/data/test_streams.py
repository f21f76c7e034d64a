"""What is cut depends on the seed, the step and its own number: not on what is beside it, nor on who cuts it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from restorekit.data import CleanPhotographs, NoisyBatches, PairedBatches, SyntheticBatches
from restorekit.data.clips import load_clips
from restorekit.data.renoised import RenoisedBatches
from restorekit.data.streams import one_for_each
from restorekit.data.videos import VideoTriplets
from restorekit.degradations import get_degradation, seeded_generator
from restorekit.training.sources import Source


def source(kind: str, folder: Path, memory: int = 4 << 30) -> Source:
    paths = sorted(folder.iterdir())
    if kind == "pairs":
        return PairedBatches(list(zip(paths, reversed(paths), strict=True)), 5, memory=memory)
    if kind == "noisy":
        return NoisyBatches([folder], 5, memory=memory)
    if kind == "renoised":
        return RenoisedBatches(paths, lambda noisy: noisy, 5)
    if kind == "videos":
        return VideoTriplets(load_clips(folder, (48, 64)), 5)
    photographs = CleanPhotographs([folder], cloth=0.5, soften=(0.5, 1.0), memory=memory)
    return SyntheticBatches(photographs, get_degradation("motion", {"length": [2, 8]}), 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = np.random.default_rng(0).integers(0, 200, (130, 150, 3))
    for index in range(6):
        PillowImage.fromarray((base + 5 * index).astype(np.uint8)).save(tmp_path / f"{index}.png")
    return tmp_path


@pytest.mark.parametrize("kind", ["pairs", "noisy", "renoised", "videos"])
def test_processes_share_out_what_one_would_make(kind: str, folder: Path) -> None:
    made = source(kind, folder)
    whole = made.batch(7, 6, 32)
    shares = [made.batch(7, 6, 32, slice(begin, begin + 2)) for begin in (0, 2, 4)]
    assert whole.input.shape[0] == 6 and all(share.input.shape[0] == 2 for share in shares)
    for name in ("input", "target"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(share, name) for share in shares]))
    for name, value in whole.extras.items():
        assert torch.equal(value, torch.cat([share.extras[name] for share in shares]) if value.dim() else shares[0].extras[name])
    assert len({float(value) for value in whole.target.flatten(1).double().mean(1)}) > 1


def test_processes_cut_and_degrade_their_own_crops_each_in_its_own_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs = CleanPhotographs([folder], cloth=0.5)
    whole = photographs.crops(6, 32, seeded_generator(7))
    shares = [photographs.crops(6, 32, seeded_generator(7), own=slice(begin, begin + 2)) for begin in (0, 2, 4)]
    assert torch.equal(whole, torch.cat(shares))
    made = source("clean", folder)
    assert torch.equal(made.batch(7, 6, 32, slice(2, 4)).input, made.batch(7, 6, 32, slice(2, 4)).input)
    monkeypatch.setattr(CleanPhotographs, "crops", lambda *_, **__: torch.eye(80).expand(2, 3, -1, -1))
    assert not torch.equal(*(made.batch(7, 4, 32, own).input for own in (slice(0, 2), slice(2, 4))))


@pytest.mark.parametrize("kind", ["pairs", "noisy", "clean"])
def test_what_is_decoded_anew_on_all_cores_is_what_memory_holds(kind: str, folder: Path) -> None:
    kept, read = source(kind, folder), source(kind, folder, memory=0)
    assert kept.complete and not read.complete
    for step in range(3):
        assert torch.equal(kept.batch(step, 5, 40).input, read.batch(step, 5, 40).input)


def test_generators_differ_and_follow_from_theirs() -> None:
    first, again = ([float(torch.rand((), generator=own)) for own in one_for_each(50, seeded_generator(3))] for _ in range(2))
    assert first == again and len(set(first)) == 50
    assert [float(torch.rand((), generator=own)) for own in one_for_each(50, seeded_generator(4))] != first
