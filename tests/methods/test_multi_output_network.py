from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit.errors import SettingError, UnknownNameError
from restorekit.methods import Prediction, get_method, list_methods
from restorekit.methods.multi_output import METHOD, MultiOutputConfig, MultiOutputPrediction
from restorekit.methods.multi_output.caution import DOUBT, LEAST, cautious
from restorekit.methods.multi_output.heads import evidence, mean_around, pair_means
from restorekit.methods.multi_output.nafnet import NAFNet, tlc_windows
from restorekit.methods.multi_output.network import build_network
from restorekit.methods.multi_output.objective import WinnerTakesAll

SMALL = MultiOutputConfig(width=4, enc_blk_nums=(1, 1), middle_blk_num=1, dec_blk_nums=(1, 1), n_heads=3, train_size=(16, 16))


def alive(config: MultiOutputConfig) -> NAFNet:
    """A network of which every parameter counts; a fresh one has blocks that do nothing."""
    torch.manual_seed(0)
    network = METHOD.build(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def test_is_registered() -> None:
    assert "multi-output" in list_methods()
    assert get_method("multi-output") is METHOD
    with pytest.raises(UnknownNameError, match="Did you mean 'multi-output'"):
        get_method("multi_output")


def test_padding_is_zeros_on_the_right_and_at_the_bottom() -> None:
    network = alive(SMALL)
    image = torch.rand(1, 3, 13, 18)
    padded = torch.zeros(1, 3, 16, 20)
    padded[:, :, :13, :18] = image
    with torch.no_grad():
        assert torch.allclose(network(image), network(padded)[..., :13, :18], atol=1e-6)


def test_fresh_blocks_are_the_identity() -> None:
    network = METHOD.build(SMALL)
    block, x = network.encoders[0][0], torch.rand(1, 4, 8, 8)
    assert block(x).equal(x)


def test_every_parameter_learns() -> None:
    network = alive(SMALL)
    network(torch.rand(2, 3, 16, 16)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_pair_means_are_in_the_papers_order() -> None:
    heads = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(1, 4, 1, 1, 1)
    assert pair_means(heads).flatten().tolist() == [1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8]


def test_windows_of_the_published_configurations() -> None:
    assert tlc_windows((256, 256), 4) == [(384, 384), (192, 192), (96, 96), (48, 48), (24, 24)]
    assert tlc_windows((32, 64), 2) == [(48, 96), (24, 48), (12, 24)]
    assert tlc_windows(None, 2) == [None, None, None]


def test_tlc_changes_nothing_until_the_image_outgrows_the_window() -> None:
    local = alive(SMALL)
    whole = METHOD.build(MultiOutputConfig(4, (1, 1), 1, (1, 1), 3, train_size=None)).eval()
    whole.load_state_dict(local.state_dict())
    with torch.no_grad():
        within, beyond = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 28, 24)
        assert torch.allclose(local(within), whole(within), atol=1e-6)
        assert (local(beyond) - whole(beyond)).abs().max() > 1e-4


def test_numbers_of_parameters() -> None:
    counts = {name: sum(p.numel() for p in on_meta(METHOD.presets[name]).parameters()) / 1e6 for name in ("paper", "paper-w64")}
    assert counts["paper"] == pytest.approx(17.115, abs=5e-4)
    assert counts["paper-w64"] == pytest.approx(67.894, abs=5e-4)


def on_meta(config: MultiOutputConfig) -> nn.Module:
    with torch.device("meta"):
        return METHOD.build(config)


def finish(maps: Tensor, **changes: object) -> Prediction:
    config = MultiOutputConfig(**{**vars(SMALL), **changes})  # type: ignore[arg-type]
    return METHOD.finish({"heads": maps}, config)


def test_prediction_names_mean_heads_and_spread() -> None:
    heads = torch.tensor([0.1, 0.2, 0.6]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 2, 2)
    found = finish(heads.flatten(1, 2))
    assert isinstance(found, MultiOutputPrediction)
    assert found.image.flatten().tolist() == pytest.approx([0.3] * 12)
    assert found.heads.equal(heads)
    assert found.spread.shape == (1, 1, 2, 2)
    assert found.spread.flatten().tolist() == pytest.approx([heads[0, :, 0, 0, 0].std(unbiased=False).item()] * 4)


def test_answer_may_be_one_head() -> None:
    heads = torch.rand(2, 9, 4, 5)
    assert finish(heads, answer=1).image.equal(heads[:, 3:6])


def test_a_cautious_answer_believes_heads_that_agree_and_no_others() -> None:
    image = torch.rand(2, 3, 4, 5)
    agreed = (image + torch.tensor([0.1, -0.2, 0.05]).view(3, 1, 1)).repeat(1, 3, 1, 1)
    torn = agreed + torch.tensor([0.9, -0.9, 0.0]).repeat_interleave(3).view(1, 9, 1, 1)
    for maps, near in ((agreed, agreed[:, :3]), (torn, image)):
        found = METHOD.finish({"heads": maps, "given": image}, MultiOutputConfig(**{**vars(SMALL), "answer": "cautious"}))
        assert (found.image - near).abs().max() < 0.02
    torn = torn[:, :, :1, :1]
    correction = torn.view(2, 3, 3, 1, 1).mean(1) - image[..., :1, :1]
    square, variance = correction.square().mean(1, keepdim=True), torn.view(2, 3, 3, 1, 1).var(1).mean(1, keepdim=True)
    expected = image[..., :1, :1] + square / (square + DOUBT * variance + LEAST) * correction
    assert torch.allclose(cautious(image[..., :1, :1], torn.view(2, 3, 3, 1, 1).mean(1), variance), expected)
    assert torch.allclose(found.image[..., :1, :1], expected, atol=1e-6)
    assert isinstance(cautious(image.numpy(), agreed[:, :3].numpy(), np.zeros((2, 1, 4, 5), np.float32)), np.ndarray)


def test_the_card_says_how_much_disagreement_counts() -> None:
    image = torch.rand(1, 3, 4, 5)
    heads = image.repeat(1, 3, 1, 1) + torch.tensor([0.05, 0.1, 0.15]).repeat_interleave(3).view(1, 9, 1, 1)

    def moved(doubt: float) -> torch.Tensor:
        config = MultiOutputConfig(**{**vars(SMALL), "answer": "cautious", "doubt": doubt})
        return METHOD.finish({"heads": heads, "given": image}, config).image - image

    # A correction of 0.1 everywhere, the variance of the heads 0.0025.
    for doubt in (0.0, 0.35, 2.0, 1000.0):
        assert torch.allclose(moved(doubt), torch.tensor(0.1 * 0.01 / (0.01 + doubt * 0.0025)), atol=1e-6)
    with pytest.raises(ValueError, match="doubt and doubt_region must not be negative"):
        moved(-1.0)


def test_means_around() -> None:
    """Over 40 pixels: of the five cells of eight around a pixel's own, and between the middles of cells on a straight line."""
    maps = torch.rand(1, 2, 64, 48)
    cells = maps.unflatten(2, (8, 8)).unflatten(4, (6, 8)).mean((3, 5))
    around = torch.empty_like(cells)
    for row, column in product(range(8), range(6)):
        around[..., row, column] = cells[..., max(0, row - 2) : row + 3, max(0, column - 2) : column + 3].mean((2, 3))
    found = mean_around(maps, 40)
    assert torch.allclose(found[..., 3:5, 3:5].mean((2, 3)), around[..., 0, 0], atol=2e-3)
    assert torch.allclose(found[..., 3::8, 3::8] + found[..., 4::8, 4::8], 2 * around, atol=4e-3)
    for size in ((1, 1), (3, 50), (9, 17)):
        same = torch.full((1, 1, *size), 0.25)
        assert torch.allclose(mean_around(same, 120), same)


def test_heads_are_judged_by_all_around() -> None:
    """A pixel on which heads happen to agree is changed no more than those around it, on which they do not."""
    torch.manual_seed(0)
    image = torch.rand(1, 3, 40, 48)
    heads = image[:, None] + 0.1 + 0.3 * torch.randn(1, 3, 1, 40, 48)
    asked = evidence(heads, image, 24)
    square, variance = asked[:, :1], asked[:, 1:]
    expected = image + square**2 / (square**2 + (2 * variance) ** 2 + LEAST**2) * (heads.mean(1) - image)
    for to in (lambda x: x, lambda x: x.numpy()):
        found = torch.as_tensor(cautious(to(image), to(heads.mean(1)), to(variance), 2.0, square=to(square), power=2))
        assert torch.allclose(found, expected, atol=1e-6)
    correction = heads.mean(1) - image
    alone = cautious(image, heads.mean(1), heads.var(1).mean(1, keepdim=True), 2.0)
    together, each = (((answer - image) / correction).mean(1) for answer in (expected, alone))
    assert together.std() < 0.2 * together.mean() and each.std() > 0.5 * each.mean()
    # the variance of three heads is 0.09, the square of their mean 0.01 and a third of 0.09
    assert square.mean().item() == pytest.approx(0.04, rel=0.15) and variance.mean().item() == pytest.approx(0.09, rel=0.15)


def test_predict_and_finish_agree_with_the_network() -> None:
    network, image = alive(SMALL), torch.rand(1, 3, 10, 14)
    with torch.no_grad():
        found = METHOD.finish(METHOD.predict(network, image), SMALL)
        assert torch.allclose(found.image, network(image).mean(1), atol=1e-6)
        careful = replace(SMALL, answer="cautious")
        doubting = build_network(careful).eval()
        doubting.load_state_dict(network.state_dict())
        found = METHOD.finish(METHOD.predict(doubting, image), careful)
        heads = network(image)
        expected = cautious(image, heads.mean(1), heads.var(1).mean(1, keepdim=True))
        assert torch.allclose(found.image, expected, atol=1e-6) and not torch.allclose(expected, heads.mean(1), atol=1e-3)
        asking = replace(careful, doubt_region=24, doubt_power=2.0)
        network = build_network(asking).eval()
        network.load_state_dict(doubting.state_dict())
        found = METHOD.finish(METHOD.predict(network, image), asking)
        square, variance = evidence(heads, image, 24).chunk(2, 1)
        expected = cautious(image, heads.mean(1), variance, square=square, power=2.0)
        assert torch.allclose(found.image, expected, atol=1e-6)


def test_tiling_follows_the_levels() -> None:
    tiling = METHOD.tiling(SMALL)
    assert tiling.multiple == 4
    assert tiling.halo is not None
    assert tiling.halo % 4 == 0
    assert METHOD.tiling(MultiOutputConfig(train_size=None)).halo is None


def test_halo_holds_all_that_can_change_an_answer() -> None:
    config = MultiOutputConfig(4, (1,), 0, (1,), 1, train_size=(4, 4))
    network = alive(config).double()
    halo = METHOD.tiling(config).halo
    assert halo is not None
    image = torch.rand(1, 3, 2 * halo + 24, 8, dtype=torch.float64, requires_grad=True)
    middle = image.shape[2] // 2
    network(image)[0, 0, :, middle].sum().backward()
    assert image.grad is not None
    reached = image.grad.abs().sum((0, 1, 3))
    rows = (reached > 1e-5 * reached.max()).nonzero().flatten()  # running sums leave rounding errors in rows far away
    assert middle - halo <= rows.min() < middle < rows.max() <= middle + halo


def test_settings_of_the_objective() -> None:
    objective = METHOD.objective(SMALL, {"kind": "l1", "weight": 2.0})
    assert isinstance(objective, WinnerTakesAll)
    assert (objective.kind, objective.weight, objective.stages) == ("l1", 2.0, 1)
    with pytest.raises(UnknownNameError, match="unknown key 'wieght'"):
        METHOD.objective(SMALL, {"wieght": 1.0})
    with pytest.raises(SettingError, match="must be a number"):
        METHOD.objective(SMALL, {"weight": "much"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"enc_blk_nums": (1,)}, "same length"),
        ({"n_heads": 0}, "at least 1"),
        ({"answer": 3}, "a head from 0 to 2"),
        ({"answer": "cautious", "n_heads": 1}, "two heads or more"),
        ({"doubt_power": 9.0}, "doubt_power must be between 1 and 4"),
    ],
)
def test_configurations_that_cannot_be(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiOutputConfig(**{**vars(SMALL), **changes})  # type: ignore[arg-type]
