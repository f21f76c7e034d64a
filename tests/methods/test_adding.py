"""Adding a method touches its own folder and one card. Here a toy is added, in a folder outside the package, and used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from typer.testing import CliRunner

import restorekit
from restorekit import methods
from restorekit.cli.app import app
from restorekit.methods import get_method, list_methods
from restorekit.zoo import find, list_models, list_templates, load_card, load_network

TOY = '''
"""Brightening: the eighth method."""

from __future__ import annotations

from dataclasses import dataclass

from restorekit.errors import CheckpointError
from restorekit.methods.base import Method, Objective, Paper, Prediction, Tiling


class L1(Objective):
    def __call__(self, network, batch):
        return {"l1": (network(batch.input) - batch.target).abs().mean()}


@dataclass(frozen=True)
class ToyConfig:
    channels: int = 2


class Toy(Method[ToyConfig]):
    name = "toy-light"
    tasks = ("brighten",)
    paper = Paper("On Toys", "Nursery", 2026, "https://example.org")
    config_type = ToyConfig
    presets = {"compact": ToyConfig(), "paper": ToyConfig(4)}

    def build(self, config):
        from restorekit.methods.toy_light.network import ToyNetwork

        return ToyNetwork(config.channels)

    def tiling(self, config):
        return Tiling(multiple=1, halo=0, overlap=0, minimum=16, bytes_per_pixel=64)

    def predict(self, network, image, **extras):
        return {"image": network(image)}

    def finish(self, maps, config):
        return Prediction(maps["image"])

    def objective(self, config, settings):
        return L1()

    def config_from_state_dict(self, state):
        if "gain.weight" not in state:
            raise CheckpointError("this is no toy: gain.weight is missing", "Check which method the file belongs to")
        return ToyConfig(len(state["gain.weight"]))


METHOD = Toy()
'''

NETWORK = '''
"""A bright sum of squeezed colours."""

from torch import nn


class ToyNetwork(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gain = nn.Conv2d(3, channels, 1)
        self.back = nn.Conv2d(channels, 3, 1)

    def forward(self, x):
        return x + self.back(self.gain(x))
'''


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the models, with no card in it yet, once the toy's folder is there."""
    package = tmp_path / "methods" / "toy_light"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(TOY)
    (package / "network.py").write_text(NETWORK)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(package.parent)])
    monkeypatch.setattr(find, "_shipped_folder", lambda: tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    methods._registry.cache_clear()
    yield tmp_path / "models"
    methods._registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("restorekit.methods.toy_light")]:
        del sys.modules[name]


def test_a_folder_and_a_card_make_a_method(models: Path) -> None:
    assert "toy-light" in list_methods()
    assert get_method("toy-light").paper.title == "On Toys"
    assert [card.name for card in list_templates("brighten")] == ["toy-light-compact", "toy-light-paper"]

    torch.manual_seed(0)
    network = get_method("toy-light").build(get_method("toy-light").presets["paper"])
    torch.save({"params": network.state_dict()}, "toy.pth")
    models.mkdir()
    result = CliRunner().invoke(app, ["import", "toy.pth", "-o", "models/toy.toml"])
    assert result.exit_code == 0, result.output
    card = models / "toy.toml"
    card.write_text('default_for = ["brighten"]\n' + card.read_text())

    assert list_models("brighten") == ["toy"]
    assert load_card("toy").config == {"channels": 4}
    assert torch.equal(load_network(load_card("toy")).gain.weight, network.gain.weight)
    image = np.random.default_rng(0).integers(80, 160, (30, 40, 3), dtype=np.uint8)
    PillowImage.fromarray(image).save("photo.png")
    assert CliRunner().invoke(app, ["infer", "-m", "toy", "photo.png", "-o", "out.png", "--precision", "fp32"]).exit_code == 0
    with torch.no_grad():
        expected = network(torch.from_numpy(image / np.float32(255)).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    found = restorekit.restore("photo.png", task="brighten", precision="fp32").to_array()
    assert abs(found - 255 * expected.clip(0, 1)).max() <= 0.51
    assert (np.asarray(PillowImage.open("out.png")) == found).all()


def test_what_is_no_method_does_no_harm(models: Path) -> None:
    """Such as the folder of one that is still being written, or was removed but for its caches."""
    (models.parent / "methods" / "unfinished").mkdir()
    (models.parent / "methods" / "unfinished" / "__init__.py").touch()
    (models.parent / "methods" / "removed" / "__pycache__").mkdir(parents=True)
    assert "toy-light" in list_methods()
    assert not {"unfinished", "removed"} & set(list_methods())
    sys.modules.pop("restorekit.methods.unfinished")
