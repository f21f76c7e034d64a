"""LPIPS and DISTS: with weights of chance for the smallest backbone, as the right ones are too large for tests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision

from restorekit.errors import DataError, UsageError
from restorekit.metrics import backbone_file, dists, learned, lpips, require_backbone


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty place for torchvision's weights."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for cached in (learned._digest, learned._lpips_network):
        cached.cache_clear()
    yield tmp_path / "checkpoints"
    learned._lpips_network.cache_clear()


def noisy_pair() -> tuple[torch.Tensor, torch.Tensor]:
    a = torch.rand(2, 3, 64, 72, generator=torch.Generator().manual_seed(0))
    return a, a.roll(5, 3)


def test_missing_weights_are_named_with_what_fetches_them(hub: Path) -> None:
    a, b = noisy_pair()
    assert backbone_file("alex").parent == hub
    with pytest.raises(DataError, match=r"weights alexnet-owt-.*pth are not on this machine.*torchvision.models.alexnet"):
        lpips(a, b)
    with pytest.raises(DataError, match=r"weights vgg16-.*pth are not on this machine"):
        dists(a, b)


def test_damaged_weights_are_refused(hub: Path) -> None:
    path = backbone_file("squeeze")
    path.parent.mkdir()
    path.write_bytes(b"not weights")
    with pytest.raises(DataError, match="is damaged: its checksum is not the one in its name"):
        require_backbone("squeeze")


def test_lpips_is_zero_for_equal_images_and_grows(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = torchvision.models.squeezenet1_1(weights=None).state_dict()
    hub.mkdir()
    torch.save(state, hub / "chance.pth")
    digest = hashlib.sha256((hub / "chance.pth").read_bytes()).hexdigest()
    right = hub / backbone_file("squeeze").name
    (hub / "chance.pth").rename(right)
    monkeypatch.setattr(learned, "_digest", lambda path: right.stem.rsplit("-", 1)[-1] + digest)
    a, b = noisy_pair()
    assert lpips(a, a, "squeeze").tolist() == [0, 0]
    near, far = lpips(a, 0.9 * a + 0.1 * b, "squeeze"), lpips(a, b, "squeeze")
    assert near.shape == (2,) and bool((near > 0).all() and (near < far).all())


def test_only_colour_images() -> None:
    with pytest.raises(UsageError, match="1 channels are not RGB"):
        lpips(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))
    with pytest.raises(UsageError, match="Use at least 64 x 64"):
        dists(torch.zeros(1, 3, 63, 64), torch.zeros(1, 3, 63, 64))
