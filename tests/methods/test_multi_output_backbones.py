"""What holds for every backbone of ``multi-output``, NAFNet included."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from restorekit.errors import CheckpointError, SettingError
from restorekit.methods import Batch, Prediction
from restorekit.methods.multi_output import METHOD, HINetConfig, MPRNetConfig, MultiOutputConfig, RestormerConfig
from restorekit.settings import from_table, to_table
from tests.goldens.recipe import fill

TINY = {
    "nafnet": MultiOutputConfig(width=4, enc_blk_nums=(1, 1), dec_blk_nums=(1, 1), n_heads=3),
    "restormer": MultiOutputConfig(
        n_heads=3,
        backbone="restormer",
        restormer=RestormerConfig(dim=8, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 2, 2, 4)),
    ),
    "restormer-bias-free": MultiOutputConfig(
        n_heads=2,
        backbone="restormer",
        restormer=RestormerConfig(
            6, (1, 2, 1, 1), 0, (3, 1, 6, 1), ffn_expansion_factor=1.5, bias=True, LayerNorm_type="BiasFree"
        ),
    ),
    "hinet": MultiOutputConfig(
        n_heads=3, backbone="hinet", hinet=HINetConfig(wf=4, depth=3, hin_position_left=1, hin_position_right=2)
    ),
    "hinet-plain": MultiOutputConfig(
        n_heads=1, backbone="hinet", hinet=HINetConfig(wf=6, depth=2, hin_position_left=0, hin_position_right=-1)
    ),
    "mprnet": MultiOutputConfig(n_heads=3, backbone="mprnet", mprnet=MPRNetConfig(8, 4, 4, num_cab=1)),
    "mprnet-plain": MultiOutputConfig(n_heads=1, backbone="mprnet", mprnet=MPRNetConfig(7, 0, 3, num_cab=3, reduction=2)),
}
STAGES = {"hinet": 2, "mprnet": 3}
every = pytest.mark.parametrize("config", TINY.values(), ids=TINY)
staged = pytest.mark.parametrize("config", [c for c in TINY.values() if c.backbone in STAGES], ids=lambda c: c.backbone)


def make(config: MultiOutputConfig) -> nn.Module:
    """A network filled by the recipe of the goldens, which leaves no part of it idle."""
    network = METHOD.build(config).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(fill(key, shape)) for key, shape in shapes.items()})
    return network


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def answer(config: MultiOutputConfig, network: nn.Module, image: Tensor) -> Prediction:
    return METHOD.finish(METHOD.predict(network, image), config)


@every
def test_any_size_and_batch(config: MultiOutputConfig) -> None:
    network = make(config).double()
    for size in ((1, 1), (3, 21), (19, 26)):
        images = rand(2, 3, *size).double()
        with torch.no_grad():
            heads = network(images)
            alone = torch.cat([network(image.unsqueeze(0)) for image in images])
        assert heads.shape == (2, config.n_heads, 3, *size)
        assert torch.allclose(heads, alone, rtol=1e-9, atol=1e-9)


@every
def test_memory_formats(config: MultiOutputConfig) -> None:
    network, image = make(config).double(), rand(1, 3, 18, 20).double()
    with torch.no_grad():
        expected = network(image)
        flipped = image.flip(3).contiguous().flip(3)
        assert torch.allclose(network(flipped.transpose(2, 3).contiguous().transpose(2, 3)), expected, rtol=1e-9, atol=1e-9)
        network.to(memory_format=torch.channels_last)
        last = network(image.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(last, expected, rtol=1e-9, atol=1e-9)


@every
def test_every_parameter_learns(config: MultiOutputConfig) -> None:
    network = make(config)
    stages = {"every_stage": True} if config.backbone in STAGES else {}
    network(rand(2, 3, 16, 24), **stages).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if ".conv_du." not in name:  # the few ReLUs inside channel attention may all be off
            assert parameter.grad.abs().sum() > 0, name


@every
def test_bfloat16_is_near(config: MultiOutputConfig) -> None:
    torch.manual_seed(0)
    network, image = METHOD.build(config).eval(), rand(1, 3, 24, 32)
    with torch.no_grad():
        precise = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(image)
    assert rounded.dtype == torch.float32
    assert -10 * torch.log10((rounded - precise).square().mean()) > 40


@staged
def test_stages_end_with_the_answer(config: MultiOutputConfig) -> None:
    network, image = make(config), rand(2, 3, 13, 18)
    with torch.no_grad():
        stages = network(image, every_stage=True)
        assert stages.shape == (2, STAGES[config.backbone], config.n_heads, 3, 13, 18)
        assert stages[:, -1].equal(network(image))
    assert (stages.diff(dim=1).abs().amax((2, 3, 4, 5)) > 1e-3).all()


@every
def test_configurations_are_read_off_checkpoints(config: MultiOutputConfig) -> None:
    read = METHOD.config_from_state_dict(METHOD.build(config).state_dict())
    assert read == config
    assert from_table(MultiOutputConfig, to_table(config), "config") == config


@every
def test_incomplete_checkpoints_are_refused(config: MultiOutputConfig) -> None:
    state = METHOD.build(config).state_dict()
    for key in [*list(state)[::19], list(state)[-1]]:
        lacking = {other: value for other, value in state.items() if other != key}
        try:
            read = METHOD.config_from_state_dict(lacking)
        except CheckpointError as error:
            assert "Check which method the file belongs to" in str(error)
        else:  # what is left is another whole network, of other hyper-parameters
            assert read != config


def test_shapes_that_do_not_go_together_are_refused() -> None:
    state = METHOD.build(TINY["restormer"]).state_dict()
    state["down1_2.body.0.weight"] = torch.zeros(4, 9, 3, 3)
    with pytest.raises(
        CheckpointError, match=r"no Restormer checkpoint: of another shape is down1_2.body.0.weight \(4, 9, 3, 3\) instead"
    ):
        METHOD.config_from_state_dict(state)
    state = METHOD.build(TINY["mprnet"]).state_dict()
    state["shallow_feat1.1.CA.conv_du.0.weight"] = torch.zeros(7, 8, 1, 1)
    with pytest.raises(CheckpointError, match="no MPRNet checkpoint: the channels inside"):
        METHOD.config_from_state_dict(state)


@pytest.mark.parametrize(("preset", "millions"), [("paper-restormer", 26.134), ("paper-hinet", 88.684), ("paper-mprnet", 20.141)])
def test_numbers_of_parameters(preset: str, millions: float) -> None:
    with torch.device("meta"):
        network = METHOD.build(METHOD.presets[preset])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(
    ("backbone", "terms"),
    [
        ("nafnet", {"psnr"}),
        ("restormer", {"l1"}),
        ("hinet", {"psnr", "psnr_stage1"}),
        ("mprnet", {"mprnet", "mprnet_stage1", "mprnet_stage2"}),
    ],
)
def test_each_is_taught_as_its_authors_did(backbone: str, terms: set[str]) -> None:
    torch.manual_seed(0)
    config = TINY[backbone]
    network, objective = METHOD.build(config), METHOD.objective(config, {})
    batch = Batch(rand(2, 3, 16, 16), rand(2, 3, 16, 16, seed=1), {})
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        found = objective(network, batch)
        assert found.keys() == terms
        loss = torch.stack(list(found.values())).sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]


def test_each_stage_of_hinet_weighs_half() -> None:
    config, batch = TINY["hinet"], Batch(rand(1, 3, 8, 8), rand(1, 3, 8, 8, seed=1), {})
    network = make(config)
    with torch.no_grad():
        half, one = (METHOD.objective(config, table)(network, batch) for table in ({}, {"weight": 1}))
    assert {name: 2 * value.item() for name, value in half.items()} == {name: value.item() for name, value in one.items()}


@pytest.mark.parametrize("backbone", ["restormer", "hinet", "mprnet"])
def test_all_but_nafnet_see_the_whole_image(backbone: str) -> None:
    config = TINY[backbone]
    tiling = METHOD.tiling(config)
    assert tiling.halo is None
    image = rand(1, 3, 2 * tiling.multiple, 2 * tiling.multiple).requires_grad_()
    make(config)(image)[0, 0, :, 0, 0].sum().backward()
    assert image.grad is not None
    assert image.grad[0, :, -1, -1].abs().sum() > 0


@every
def test_prediction(config: MultiOutputConfig) -> None:
    network, image = make(config), rand(1, 3, 9, 10)
    with torch.no_grad():
        assert torch.allclose(answer(config, network, image).image, network(image).mean(1), rtol=1e-5, atol=1e-5)


def test_a_backbone_has_its_published_shape_unless_told() -> None:
    assert MultiOutputConfig(backbone="hinet") == MultiOutputConfig(backbone="hinet", hinet=HINetConfig())
    small = from_table(MultiOutputConfig, {"backbone": "restormer", "restormer": {"dim": 16}}, "[config]")
    assert small.restormer == RestormerConfig(dim=16)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"restormer": {"dim": 16}}, "restormer says the shape of another backbone than nafnet"),
        ({"backbone": "restormer", "restormer": {"dim": 7}}, "dim must be even"),
        ({"backbone": "restormer", "restormer": {"heads": [1, 2, 5, 8]}}, "heads of level 3 must divide its 192 channels"),
        ({"backbone": "restormer", "restormer": {"num_blocks": [1, 0, 1, 1]}}, "num_blocks must be at least 1"),
        ({"backbone": "hinet", "hinet": {"wf": 3}}, "wf must be even"),
        ({"backbone": "hinet", "hinet": {"depth": 1}}, "depth must be at least 2"),
        ({"backbone": "mprnet", "mprnet": {"n_feat": 3}}, "n_feat must be at least reduction"),
    ],
)
def test_configurations_that_cannot_be(table: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        from_table(MultiOutputConfig, table, "[config]")


def test_configurations_need_no_torch() -> None:
    code = "import sys, restorekit.methods.multi_output; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
