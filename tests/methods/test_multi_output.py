from __future__ import annotations

import pytest
import torch

from restorekit.errors import CheckpointError, UsageError
from restorekit.methods import Batch, get_method
from restorekit.methods.multi_output import MultiOutputConfig
from restorekit.methods.multi_output.network import NAFNet, pair_means, tlc_windows
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


@pytest.mark.parametrize(("preset", "millions"), [("compact", 2.002), ("paper", 17.115), ("paper-w64", 67.894)])
def test_presets_have_the_sizes_of_the_paper(preset: str, millions: float) -> None:
    with torch.device("meta"):
        network = METHOD.build(METHOD.presets[preset])
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("size", [(1, 1), (17, 30), (40, 33)])
def test_any_size_and_batches_and_memory_layouts(network: NAFNet, size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        heads = network(images)
        assert heads.shape == (2, 3, 3, *size)
        torch.testing.assert_close(heads[1:], network(images[1:]), atol=1e-5, rtol=1e-5)
        scattered = images.transpose(2, 3).contiguous().transpose(2, 3)
        torch.testing.assert_close(heads, network(scattered), atol=1e-5, rtol=1e-5)


def test_bfloat16_rounds_only_the_correction(network: NAFNet) -> None:
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rounded = network(image)
    assert rounded.dtype == torch.float32
    correction = (network(image) - image.unsqueeze(1)).detach()
    assert (rounded - image.unsqueeze(1) - correction).abs().max() < 0.05 * correction.abs().max()


def test_every_parameter_learns(network: NAFNet) -> None:
    batch = Batch(torch.rand(2, 3, 20, 20), torch.rand(2, 3, 20, 20), {})
    losses = METHOD.objective(TINY, {"eps": 1e-4})(network, batch)
    sum(losses.values()).backward()  # type: ignore[union-attr]
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    assert all(gradient.abs().sum() > 0 for name, gradient in gradients.items() if not name.startswith("ending"))


def test_answer_candidates_and_spread() -> None:
    heads = torch.rand(2, 3, 3, 5, 6)
    result = METHOD.finish({"heads": heads.flatten(1, 2)}, TINY)
    torch.testing.assert_close(result.image, heads.mean(1))
    torch.testing.assert_close(result.heads, heads)
    torch.testing.assert_close(result.spread[:, 0] ** 2, heads.var(1, unbiased=False).mean(1))
    second = METHOD.finish({"heads": heads.flatten(1, 2)}, MultiOutputConfig(n_heads=3, answer=1))
    torch.testing.assert_close(second.image, heads[:, 1])


def test_pairs_come_in_the_order_of_the_paper() -> None:
    heads = torch.arange(4.0).view(1, 4, 1, 1, 1)
    assert pair_means(heads).flatten().tolist() == [0, 0.5, 1, 1, 1.5, 2, 1.5, 2, 2.5, 3]


def test_windows_of_the_published_networks() -> None:
    assert tlc_windows((256, 256), 4) == [(384, 384), (192, 192), (96, 96), (48, 48), (24, 24)]
    assert tlc_windows(None, 2) == [None, None, None]
    assert tlc_windows((40, 64), 4)[0] == (72, 96)  # features are those of the crop padded to 48 rows


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
    with pytest.raises(CheckpointError, match=r"no NAFNet checkpoint: intro\.weight"):
        METHOD.config_from_state_dict({"conv.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    "wrong", [{"enc_blk_nums": [1, 1]}, {"width": 0}, {"answer": 7}, {"answer": "best"}, {"n_heads": 0}, {"heads": 3}]
)
def test_configurations_that_cannot_hold_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        from_table(MultiOutputConfig, wrong, "config")


def test_means_over_the_whole_map_have_no_halo_and_windows_have_one() -> None:
    assert METHOD.tiling(MultiOutputConfig(train_size=None)).halo is None
    tiling = METHOD.tiling(TINY)
    assert tiling.halo is not None and tiling.halo % tiling.multiple == 0
    assert tiling.is_exact(tiling.halo) and not tiling.is_exact(tiling.halo - 1)
