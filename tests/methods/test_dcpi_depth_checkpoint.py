"""DCPI-Depth's checkpoints: the authors' files under our keys, and the configuration they tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.optical_flow import raft_small

from restorekit.errors import CheckpointError
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig, published_dilation
from restorekit.methods.dcpi_depth.flow import torchvision_keys
from restorekit.zoo import import_checkpoint, load_network

TINY = DcpiDepthConfig((16, 24, 40), ((1, 2), (1,), (1, 2, 3)), (2, 4, 8), expansion=3)
PARTS = ("encoder.", "decoder.", "pose.encoder.", "pose.decoder.")


def build(config: DcpiDepthConfig) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return METHOD.build(config).eval().requires_grad_(False)


def files_of(state: dict[str, Tensor]) -> dict[str, Any]:
    """The state dict of ours as the authors' files hold it, all thrown together; RAFT's keys stay torchvision's."""
    files: dict[str, Any] = {}
    for key, value in state.items():
        part = max((part for part in PARTS if key.startswith(part)), key=len, default="")
        files[key.removeprefix(part).removeprefix("flow.raft.")] = value
    return files


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        dataclasses.replace(TINY, scales=1, pose="light"),
        dataclasses.replace(TINY, scales=2, pose="resnet18", height=96, width=320),
        dataclasses.replace(TINY, dims=(24, 48, 80), heads=(8, 8, 8), flow="small"),
        METHOD.presets["paper-640x384"],
    ],
)
def test_config_follows_from_keys_and_shapes(config: DcpiDepthConfig) -> None:
    with torch.device("meta"):
        state = METHOD.build(config).state_dict()
    size = {"encoder.height": torch.tensor(config.height), "encoder.width": torch.tensor(config.width)}
    assert METHOD.config_from_state_dict(state | size) == config


def save_pair(network: Any, folder: Path) -> list[Path]:
    """Encoder and decoder as the authors save them, with all that else is in their files."""
    files = files_of(network.state_dict())
    size = {"height": 64, "width": 96, "use_stereo": False}
    others = {"stages.0.0.total_ops": torch.zeros(1), "total_params": torch.zeros(1), "norm2.weight": torch.ones(3)}
    encoder = {key: value for key, value in files.items() if not key.startswith("decoder.")}
    decoder = {key: value for key, value in files.items() if key.startswith("decoder.")}
    paths = [folder / "encoder.pth", folder / "depth.pth"]
    for path, content in zip(paths, (encoder | size | others, decoder), strict=True):
        torch.save(content, path)
    return paths


def test_authors_files_give_the_same_network(tmp_path: Path) -> None:
    network = build(dataclasses.replace(TINY, height=64, width=96))
    loaded: dict[str, Any] = {}
    for path in save_pair(network, tmp_path):
        loaded |= torch.load(path, weights_only=True)
    state = METHOD.convert_state_dict(loaded)
    config = METHOD.config_from_state_dict(state)
    assert config == dataclasses.replace(TINY, height=64, width=96)
    imported = METHOD.build(config)
    imported.load_state_dict(state)
    image = torch.rand(1, 3, 64, 96)
    assert torch.equal(imported.eval()(image), network(image))
    assert METHOD.convert_state_dict(imported.state_dict()).keys() == network.state_dict().keys()


def test_pair_is_imported_as_one_model(tmp_path: Path) -> None:
    network = build(dataclasses.replace(TINY, height=64, width=96))
    card = import_checkpoint(save_pair(network, tmp_path), tmp_path / "mine.toml")
    assert card.method == "dcpi-depth"
    assert card.parsed_config() == dataclasses.replace(TINY, height=64, width=96)
    image = torch.rand(1, 3, 64, 96)
    assert torch.equal(load_network(card)(image), network(image))


def test_training_networks_come_along() -> None:
    network = build(dataclasses.replace(TINY, pose="resnet18", flow="small"))
    files = files_of(network.state_dict())
    raft = {key: f"module.{key}" for key in files if f"flow.raft.{key}" in network.state_dict()}
    assert raft
    state = METHOD.convert_state_dict({raft.get(key, key): value for key, value in files.items()})
    assert state.keys() == network.state_dict().keys()
    config = METHOD.config_from_state_dict(state)
    assert (config.pose, config.flow) == ("resnet18", "small")


@pytest.mark.parametrize(
    ("dims", "blocks", "size", "expected"),
    [
        ((64, 128, 224), (4, 4, 10), (384, 640), ((1, 2, 3), (1, 2, 3), (1, 2, 3, 1, 2, 3, 2, 4, 6))),
        ((48, 80, 128), (4, 4, 10), (192, 640), ((1, 2, 3), (1, 2, 3), (1, 2, 3, 1, 2, 3, 2, 4, 6))),
        ((48, 80, 128), (4, 4, 10), (384, 640), ((1, 2, 5), (1, 2, 5), (1, 2, 5, 1, 2, 5, 2, 4, 10))),
        ((32, 64, 128), (4, 4, 7), (192, 640), ((1, 2, 3), (1, 2, 3), (1, 2, 3, 2, 4, 6))),
        ((48, 80, 128), (4, 4, 7), (320, 1024), ((1, 2, 5), (1, 2, 5), (1, 2, 5, 2, 4, 10))),
        ((24, 48, 80), (3, 3, 4), (192, 640), ((1, 2), (1, 2), (1, 2, 3))),
    ],
)
def test_published_dilation(
    dims: tuple[int, int, int], blocks: tuple[int, int, int], size: tuple[int, int], expected: tuple[tuple[int, ...], ...]
) -> None:
    assert published_dilation(dims, blocks, size) == expected


class TestRaftKeys:
    """The small network's; a golden has the large one's."""

    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("fnet.conv1.weight", "feature_encoder.convnormrelu.0.weight"),
            ("cnet.conv2.bias", "context_encoder.conv.bias"),
            ("fnet.layer2.0.conv3.weight", "feature_encoder.layer2.0.convnormrelu3.0.weight"),
            ("cnet.layer3.1.conv1.bias", "context_encoder.layer3.1.convnormrelu1.0.bias"),
            ("fnet.layer2.0.downsample.0.weight", "feature_encoder.layer2.0.downsample.0.weight"),
            ("update_block.encoder.convc1.weight", "update_block.motion_encoder.convcorr1.0.weight"),
            ("update_block.encoder.convf2.weight", "update_block.motion_encoder.convflow2.0.weight"),
            ("update_block.encoder.conv.bias", "update_block.motion_encoder.conv.0.bias"),
            ("update_block.gru.convz.weight", "update_block.recurrent_block.convgru1.convz.weight"),
            ("update_block.flow_head.conv2.weight", "update_block.flow_head.conv2.weight"),
        ],
    )
    def test_each_is_a_key_of_torchvision(self, theirs: str, ours: str) -> None:
        assert list(torchvision_keys({theirs: 0})) == [ours]
        with torch.device("meta"):
            assert ours in raft_small().state_dict()

    def test_shortcuts_normalisation_stands_twice(self) -> None:
        assert list(torchvision_keys({"cnet.layer2.0.norm3.weight": 0, "cnet.layer2.0.downsample.1.weight": 1}).values()) == [1]

    def test_torchvisions_stay(self) -> None:
        with torch.device("meta"):
            state = raft_small().state_dict()
        assert torchvision_keys(state).keys() == state.keys()


class TestRefusals:
    @pytest.fixture
    def state(self) -> dict[str, Tensor]:
        with torch.device("meta"):
            return dict(METHOD.build(dataclasses.replace(TINY, pose="resnet18")).state_dict())

    @pytest.mark.parametrize(("part", "missing"), [("encoder.", "encoder"), ("decoder.", "decoder")])
    def test_half_a_pair(self, state: dict[str, Tensor], part: str, missing: str) -> None:
        half = {key: value for key, value in state.items() if not key.startswith(part)}
        with pytest.raises(CheckpointError, match=rf"without its {missing} .*encoder.pth and depth.pth together"):
            METHOD.config_from_state_dict(half)

    def test_foreign_keys(self) -> None:
        with pytest.raises(CheckpointError, match=r"no DCPI-Depth checkpoint: encoder\.downsample_layers"):
            METHOD.config_from_state_dict({"intro.weight": torch.zeros(1)})

    @pytest.mark.parametrize(
        "key",
        [
            "encoder.stages.1.0.norm.bias",
            "encoder.stages.2.3.xca.temperature",
            "pose.decoder.net.3.bias",
            "encoder.stem2.0.conv.weight",
        ],
    )
    def test_a_missing_key_is_named(self, state: dict[str, Tensor], key: str) -> None:
        del state[key]
        with pytest.raises(CheckpointError, match=f"{key} is missing"):
            METHOD.config_from_state_dict(state)

    def test_no_blocks(self, state: dict[str, Tensor]) -> None:
        rest = {key: value for key, value in state.items() if not key.startswith("encoder.stages.1.")}
        with pytest.raises(CheckpointError, match="stage 1 of its encoder has no blocks"):
            METHOD.config_from_state_dict(rest)

    def test_shapes_that_do_not_go_together(self, state: dict[str, Tensor]) -> None:
        state["encoder.stages.1.0.pwconv1.weight"] = torch.empty(7, 24, device="meta")
        with pytest.raises(CheckpointError, match=r"stages\.1\.0\.pwconv1\.weight \(7, 24\) instead of \(72, 24\)"):
            METHOD.config_from_state_dict(state)

    def test_hyper_parameters_that_no_network_has(self, state: dict[str, Tensor]) -> None:
        with pytest.raises(CheckpointError, match="multiples of 32"):
            METHOD.config_from_state_dict(state | {"encoder.height": torch.tensor(100)})
