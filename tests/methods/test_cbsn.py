"""``cbsn``: the network that can be blind, and how a photograph passes through it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import CheckpointError, UnknownNameError
from restorekit.methods import get_method
from restorekit.methods.cbsn import METHOD, CbsnConfig
from restorekit.methods.cbsn.denoise import denoise, measure, mirror
from restorekit.methods.cbsn.network import ConditionalBlindSpotNetwork
from restorekit.settings import from_table

SMALL = CbsnConfig(filters=6, num_module=2, tail_channels=5)
REACH = 8


def make(config: CbsnConfig = SMALL) -> ConditionalBlindSpotNetwork:
    torch.manual_seed(0)
    network = METHOD.build(config).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):  # not zero as in a fresh network, so that borders show
            torch.nn.init.normal_(parameter, std=0.1)
    return network


def plain(state: Mapping[str, Tensor], x: Tensor, blind: bool, num_module: int) -> Tensor:
    """The table of the paper, line by line."""

    def conv(key: str, x: Tensor, dilation: int = 1) -> Tensor:
        weight = state[f"{key}.weight"]
        radius = weight.shape[2] // 2
        if blind and key in ("branch1.conv1", "branch2.conv1"):
            weight = weight.clone()
            weight[:, :, radius, radius] = 0
        return F.conv2d(x, weight, state[f"{key}.bias"], padding=dilation * radius, dilation=dilation)

    shared = conv("conv0", x).relu()
    branches = []
    for branch, dilation in (("branch1", 2), ("branch2", 3)):
        y = shared
        for layer in ("conv1", "conv2", "conv3"):
            y = conv(f"{branch}.{layer}", y).relu()
        for i in range(num_module):
            key = f"{branch}.dcm.{i}"
            y = y + conv(f"{key}.conv2", conv(f"{key}.conv1", y, dilation).relu()).relu()
        branches.append(conv(f"{branch}.conv4", y).relu())
    y = torch.cat(branches, 1)
    for layer in ("conv1", "conv2", "conv3"):
        y = conv(layer, y).relu()
    return conv("conv4", y)


def count(config: CbsnConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in METHOD.build(config).parameters())


class TestMethod:
    def test_is_registered_without_torch(self) -> None:
        assert get_method("cbsn") is METHOD
        code = "import sys, restorekit.methods.cbsn, restorekit.methods.cbsn.convert; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    @pytest.mark.parametrize(("preset", "expected"), [("paper", 3_656_131), ("compact", 84_638), ("compact-l", 382_515)])
    def test_parameters_of_the_presets(self, preset: str, expected: int) -> None:
        config = METHOD.presets[preset]
        f, n, t = config.filters, config.num_module, config.tail_channels
        body, tail = f**2 * (42 + 20 * n) + f * (13 + 4 * n), f * t + t**2 + 5 * t + 3
        assert count(config) == expected == body + tail + (3 * t + 3 if config.skip else 0)

    @pytest.mark.parametrize("field", ["filters", "num_module", "tail_channels"])
    def test_settings_that_cannot_be(self, field: str) -> None:
        with pytest.raises(ValueError, match=f"{field} must be at least 1"):
            CbsnConfig(**{field: 0})

    def test_unknown_settings(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'num_module'"):
            from_table(CbsnConfig, {"num_modules": 3}, "card")

    def test_tiling_is_global_but_for_the_reach(self) -> None:
        tiling = METHOD.tiling(METHOD.presets["paper"])
        assert (tiling.halo, tiling.overlap, tiling.multiple) == (29, 29, 1)
        assert tiling.minimum > 2 * tiling.overlap


class TestNetwork:
    @pytest.mark.parametrize("blind", [False, True])
    def test_is_the_papers_formula(self, blind: bool) -> None:
        network = make().double()
        x = torch.randn(2, 3, 19, 22, dtype=torch.float64)
        expected = plain(network.state_dict(), x, blind, SMALL.num_module)
        assert torch.allclose(network(x, blind=blind), expected, atol=1e-12)
        with torch.inference_mode():  # in place
            assert torch.allclose(network(x, blind=blind), expected, atol=1e-12)

    def test_input_is_left_as_it_was(self) -> None:
        x = torch.randn(1, 3, 9, 9)
        before = x.clone()
        with torch.inference_mode():
            make()(x)
        assert x.equal(before)

    @pytest.mark.parametrize(("row", "column"), [(0, 0), (12, 11), (24, 7)])
    def test_blind_means_blind(self, row: int, column: int) -> None:
        network, x = make(), torch.randn(1, 3, 25, 23, requires_grad=True)
        for blind in (True, False):
            (gradient,) = torch.autograd.grad(network(x, blind=blind)[0, :, row, column].abs().sum(), x)
            own = gradient[0, :, row, column].abs().sum()
            assert (own == 0) == blind
            assert gradient.abs().sum() > 0

    def test_reach(self) -> None:
        network, x = make(), torch.randn(1, 3, 31, 31, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(x)[0, 0, 15, 15], x)
        rows, columns = gradient[0].abs().sum(0).nonzero(as_tuple=True)
        bounds = (15 - REACH, 15 + REACH)
        assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == bounds
        assert network.reach == SMALL.reach == REACH

    def test_masks_are_not_in_the_state_dict(self) -> None:
        assert not [key for key in make().state_dict() if "mask" in key]

    def test_fresh_weights_keep_the_size_of_their_input(self) -> None:
        torch.manual_seed(0)
        network = METHOD.build(CbsnConfig(filters=32, num_module=1))
        for key, fan_in in (("branch2.conv1", 800), ("branch2.dcm.0.conv1", 288), ("conv2", 32)):
            weight = network.get_parameter(f"{key}.weight").detach()
            assert float(weight.std(correction=0)) == pytest.approx((2 / fan_in) ** 0.5, rel=0.05)
            assert not network.get_parameter(f"{key}.bias").any()
        largest = network.get_parameter("conv2.weight").abs().max()
        assert largest < 2.28 * (2 / 32) ** 0.5  # two standard deviations before the cut


class TestDenoise:
    def test_more_surroundings_change_nothing(self) -> None:
        """The authors' 32 pixels give what as many as the network reaches give; fewer do not."""
        network, image = make().double(), torch.rand(1, 3, 40, 37, dtype=torch.float64)
        mean, std = measure(image)
        padded = F.pad((image - mean) / std, (32,) * 4, mode="reflect")
        with torch.no_grad():
            theirs = network(padded)[..., 32:-32, 32:-32] * std + mean
            assert torch.allclose(denoise(network, image), theirs, atol=1e-12)
            assert torch.allclose(denoise(network, image, pad=32), theirs, atol=1e-12)
            assert not torch.allclose(denoise(network, image, pad=REACH - 1), theirs, atol=1e-9)

    @pytest.mark.parametrize(("halo", "exact"), [(REACH, True), (REACH - 1, False)])
    def test_tiles_with_the_measures_of_the_whole_are_exact(self, halo: int, exact: bool) -> None:
        network, image = make().double(), torch.rand(2, 3, 50, 44, dtype=torch.float64)
        top, left, side = 20, 15, 10
        tile = image[..., top - halo : top + side + halo, left - halo : left + side + halo]
        with torch.no_grad():
            whole = METHOD.predict(network, image)["image"][..., top : top + side, left : left + side]
            part = METHOD.predict(network, tile, **METHOD.measure(image))["image"][..., halo:-halo, halo:-halo]
        assert torch.allclose(part, whole, atol=1e-12) == exact

    @pytest.mark.parametrize("pad", [1, 4, 11])
    def test_mirror_is_numpys_at_any_size(self, pad: int) -> None:
        for shape in ((7, 12), (5, 2), (1, 3), (1, 1)):
            image = torch.rand(2, 3, *shape)
            expected = np.pad(image.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
            assert np.array_equal(mirror(image, pad).numpy(), expected)

    def test_measures(self) -> None:
        image = torch.rand(2, 3, 8, 18)
        mean, std = measure(image)
        assert np.allclose(mean.flatten(), image.numpy().mean((2, 3)).ravel(), atol=1e-6)
        assert np.allclose(std.flatten(), image.numpy().std((2, 3)).ravel(), atol=1e-6)
        assert measure(torch.full((1, 3, 8, 18), 0.3))[1].flatten().tolist() == pytest.approx([1 / 12] * 3)
        assert measure(image.half())[0].dtype == torch.float32

    def test_bfloat16(self) -> None:
        torch.manual_seed(0)
        network, image = METHOD.build(METHOD.presets["compact"]).eval(), torch.rand(1, 3, 48, 40)
        with torch.no_grad():
            network.conv4.weight /= network(torch.randn(1, 3, 48, 40)).std()  # as if taught: answers vary as images do
            exact = denoise(network, image)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = denoise(network, image)
        assert rounded.dtype == torch.float32
        assert 10 * torch.log10(1 / (rounded - exact).square().mean()) > 40


class TestConfigFromStateDict:
    @pytest.mark.parametrize("config", [SMALL, CbsnConfig(7, 1, 64), CbsnConfig(4, 11, 3)])
    def test_round_trip(self, config: CbsnConfig) -> None:
        assert METHOD.config_from_state_dict(METHOD.build(config).state_dict()) == config

    def test_presets(self) -> None:
        for config in METHOD.presets.values():
            with torch.device("meta"):
                state = METHOD.build(config).state_dict()
            assert METHOD.config_from_state_dict(state) == config

    def test_other_networks_are_refused(self) -> None:
        state = make().state_dict()
        with pytest.raises(CheckpointError, match=r"conv0\.weight, conv2\.weight, branch1\.dcm\.0\.conv1\.weight are missing"):
            METHOD.config_from_state_dict({"intro.weight": torch.zeros(4, 3, 3, 3)})
        with pytest.raises(CheckpointError, match=r"branch2\.dcm\.1\.conv1\.weight, branch2\.dcm\.1\.conv1\.bias are missing"):
            METHOD.config_from_state_dict({key: state[key] for key in state if not key.startswith("branch2.dcm.1.conv1")})
        with pytest.raises(CheckpointError, match=r"head\.weight is in no such network"):
            METHOD.config_from_state_dict(state | {"head.weight": torch.zeros(1)})
        with pytest.raises(CheckpointError, match=r"of another shape is conv4\.weight \(4, 5, 1, 1\) instead of \(3, 5, 1, 1\)"):
            METHOD.config_from_state_dict(state | {"conv4.weight": torch.zeros(4, 5, 1, 1)})
