from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from restorekit.errors import CheckpointError
from restorekit.inference.tiling import plan_tiles
from restorekit.methods import get_method
from restorekit.methods.multi_output import MultiOutputConfig
from restorekit.methods.multi_output.config import DeconvolutionConfig
from restorekit.methods.multi_output.nafnet import NAFNet
from restorekit.settings import from_table, to_table

METHOD = get_method("multi-output")
TINY = MultiOutputConfig(width=4, enc_blk_nums=(1, 2), dec_blk_nums=(1, 1), n_heads=3, train_size=(16, 16))


@pytest.fixture
def network() -> NAFNet:
    torch.manual_seed(0)
    network = METHOD.build(TINY).eval()
    for name, parameter in network.named_parameters():
        if name.endswith(("beta", "gamma")):  # fresh blocks are the identity
            torch.nn.init.normal_(parameter, std=0.5)
    return network


def test_tiles_are_no_smaller_than_the_crops_of_the_training() -> None:
    assert METHOD.tiling(TINY).minimum == 64  # crops of 16 are no guide
    large = METHOD.tiling(replace(TINY, train_size=(192, 160)))
    assert large.minimum == 192
    assert {plan_tiles((600, 500), large, max_side=side).tile for side in (32, 100, 192)} == {(192, 192)}
    assert plan_tiles((90, 100), large).is_whole  # an image may be smaller
    staged = replace(TINY, train_size=(384, 384), deconvolution=DeconvolutionConfig())
    assert METHOD.tiling(staged).minimum <= (METHOD.longest_exported_side(staged) or 0)  # or no graph could be run


def test_bfloat16_rounds_only_the_correction(network: NAFNet) -> None:
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = network(image)
    assert rounded.dtype == torch.float32
    correction = (network(image) - image.unsqueeze(1)).detach()
    assert (rounded - image.unsqueeze(1) - correction).abs().max() < 0.05 * correction.abs().max()


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        MultiOutputConfig(),
        MultiOutputConfig(width=6, enc_blk_nums=(2,), middle_blk_num=3, dec_blk_nums=(4,), n_heads=1),
    ],
)
def test_configurations_are_read_off_checkpoints(config: MultiOutputConfig) -> None:
    read = METHOD.config_from_state_dict(METHOD.build(config).state_dict())
    assert read == from_table(MultiOutputConfig, {**to_table(config), "train_size": [256, 256]}, "config")


def test_other_checkpoints_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"no NAFNet, Restormer, HINet or MPRNet checkpoint: .* intro\.weight"):
        METHOD.config_from_state_dict({"conv.weight": torch.zeros(1)})
