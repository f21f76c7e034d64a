"""``deeprft``: what the method says of itself, and the network as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from restorekit.errors import CheckpointError, UnknownNameError
from restorekit.methods import Batch
from restorekit.methods.deeprft import METHOD, DeepRftConfig
from restorekit.methods.deeprft.network import DeepRFT
from restorekit.settings import from_table, to_table

ONE = ((1, 1, 1), (1, 1, 1))
PLAIN = {"dims": 4, "dims_ker": 4, "enc_max_layers": ONE, "dec_max_layers": ONE, "enc_mid_layers": ONE, "dec_mid_layers": ONE}
TINY = DeepRftConfig(**PLAIN)  # type: ignore[arg-type]
FINE = replace(TINY, patch=1, baseblock_enc_ker=("EVSS", "naf", "naf", "EVSS"))
LOCAL = replace(TINY, train_size=(32, 48), train_cells=4, kernel_window=32, kernel_overlap=8)
SCANNED = replace(
    FINE,
    enc_max_layers=((1, 1, 4), (2, 1, 4)),
    baseblock_enc_max=(("naf", "naf", "NAFEVSBlock"), ("naf", "naf", "NAFEVSBlock")),
)
ODD = DeepRftConfig(
    dims=6,
    dims_ker=5,
    enc_max_layers=((1, 2, 1), (2, 1, 1), (1, 1, 4)),
    dec_max_layers=((4, 1, 1), (1, 3, 1), (1, 1, 2)),
    enc_mid_layers=((1, 1, 2), (1, 1, 1), (2, 1, 1)),
    dec_mid_layers=((1, 1, 1), (1, 2, 1), (1, 1, 1)),
    baseblock_enc_max=(("naf",) * 3, ("naf",) * 3, ("naf", "naf", "NAFEVSBlock")),
    baseblock_dec_max=(("NAFEVSBlock", "naf", "naf"), ("naf",) * 3, ("naf",) * 3),
    baseblock_enc_mid=(("naf",) * 3,) * 3,
    baseblock_dec_mid=(("naf",) * 3,) * 3,
    baseblock_enc_ker=("naf", "EVSS", "naf", "naf"),
    enc_ker_layers=(1, 2, 1, 1),
    patch=3,
)
CONFIGS = {"tiny": TINY, "fine": FINE, "local": LOCAL, "scanned": SCANNED}


def make(config: DeepRftConfig = TINY, dtype: torch.dtype = torch.float64) -> DeepRFT:
    """A network whose blocks are no longer the identity, as training leaves them."""
    torch.manual_seed(0)
    network = METHOD.build(config).eval().to(dtype)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter) / max(parameter[0].numel(), 1) ** 0.5
    return network


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


class TestMethod:
    @pytest.mark.parametrize(
        ("preset", "parameters", "keys"), [("paper", 30.118, 3124), ("compact", 3.95, 1044), ("compact-fine", 3.00, 1396)]
    )
    def test_parameters_of_the_presets(self, preset: str, parameters: float, keys: int) -> None:
        with torch.device("meta"):
            network = METHOD.build(METHOD.presets[preset])
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count / 1e6 == pytest.approx(parameters, abs=0.005)
        assert len(network.state_dict()) == keys
        assert preset == "paper" or count <= 4_000_000

    def test_parameters_of_narrower_networks(self) -> None:
        naf = (("naf",) * 3,) * 2
        for changes, parameters in (
            ({"dims": 16, "dims_ker": 16}, 3.63),
            ({"baseblock_enc_max": naf, "baseblock_dec_max": naf}, 21.19),
        ):
            with torch.device("meta"):
                network = METHOD.build(replace(METHOD.presets["paper"], **changes))  # type: ignore[arg-type]
            assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.01)

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"dims": 0}, "dims, dims_ker and patch must be at least 1"),
            ({"enc_max_layers": ((1, 0, 1), (1, 1, 1))}, "enc_max_layers must be at least 1"),
            ({"dec_mid_layers": ((1, 1, 1),)}, "must have one entry for each stage"),
            ({"baseblock_enc_max": (("naf", "naf", "NAFEVSBlock"),) * 2}, "enc_max_layers must be a multiple of 4 where"),
            ({"train_size": (8, 64)}, "train_size must be at least 16"),
            ({"kernel_window": 60}, "kernel_window must be a multiple of 8"),
            ({"kernel_window": 64, "kernel_overlap": 40}, "at most half of kernel_window"),
        ],
    )
    def test_settings_that_cannot_be(self, changes: dict[str, object], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            DeepRftConfig(**{**PLAIN, **changes})  # type: ignore[arg-type]

    def test_an_odd_configuration_is_data(self) -> None:
        assert from_table(DeepRftConfig, to_table(ODD), "card") == ODD

    def test_settings_of_the_objective(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'half'"):
            METHOD.objective(TINY, {"halve": 1.0})

    def test_tiling_is_global(self) -> None:
        tiling = METHOD.tiling(METHOD.presets["compact"])
        assert (tiling.multiple, tiling.halo) == (16, None)
        assert METHOD.tiling(METHOD.presets["paper"]).multiple == 8

    def test_prediction_has_the_kernels(self) -> None:
        network, image = make(LOCAL), rand(2, 3, 75, 40)
        with torch.no_grad():
            maps = METHOD.predict(network, image)
            prediction = METHOD.finish(maps, LOCAL)
            assert torch.equal(prediction.image, network(image).image)
        assert prediction.kernels.shape == (2, 1, 75, 40)
        assert float(prediction.kernels.abs().max()) > 0.1


class TestNetwork:
    @pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
    @pytest.mark.parametrize("size", [(1, 1), (13, 50), (48, 31)])
    def test_any_size(self, config: DeepRftConfig, size: tuple[int, int]) -> None:
        network, image = make(config), rand(1, 3, *size)
        with torch.no_grad():
            answers = network(image, everything=True)
        assert [x.shape for x in answers.images] == [image.shape] * 4
        assert [tuple(x.shape[2:]) for x in answers.halves] == [(size[0] // 2, size[1] // 2)] * 4
        assert torch.equal(answers.images[-1], answers.image)
        assert all(torch.isfinite(x).all() for x in answers.images)

    @pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
    def test_batch_is_its_images(self, config: DeepRftConfig) -> None:
        network, images = make(config), rand(2, 3, 70, 52)
        with torch.no_grad():
            alone = [METHOD.predict(network, image.unsqueeze(0)) for image in images]
            both = METHOD.predict(network, images)
        for name, found in both.items():
            assert torch.allclose(found, torch.cat([maps[name] for maps in alone]), atol=1e-9), name

    def test_memory_formats_where_all_is_scanned(self) -> None:
        network, image = make(SCANNED), rand(2, 3, 64, 48)
        others = [image.contiguous(memory_format=torch.channels_last), image.mT.contiguous().mT]
        with torch.no_grad():
            expected = network(image).image
            for other in others:
                assert not other.is_contiguous()
                assert torch.allclose(network(other).image, expected, atol=1e-9)
            assert torch.allclose(network.to(memory_format=torch.channels_last)(others[0]).image, expected, atol=1e-9)

    def test_a_new_network_answers_nearly_its_input(self) -> None:
        image = torch.rand(1, 3, 64, 64)
        torch.manual_seed(0)
        with torch.no_grad():
            answer = METHOD.build(METHOD.presets["compact"]).eval()(image).image
        assert 0 < float((answer - image).abs().max()) < 0.2
        torch.manual_seed(0)
        published = METHOD.build(replace(METHOD.presets["compact"], calm=False)).global_model
        assert METHOD.presets["paper"].calm is False
        assert float(published.kernel_estimator[0].get_parameter("end_ker1.ending.0.weight").abs().max()) > 0.1
        assert float(published.get_parameter("output_maxs.0.bias").abs().max()) > 0  # as PyTorch draws them

    @pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
    def test_gradients_are_finite_and_reach_every_parameter(self, config: DeepRftConfig) -> None:
        network = make(config).train()
        answers = network(rand(2, 3, 40, 32), everything=True)
        torch.stack([x.square().mean() for x in (*answers.images, *answers.halves)]).sum().backward()
        idle = []
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            if not parameter.grad.any():
                idle.append(name)
        assert (
            len(idle) == 16
        )  # the first stage has no old states: three of each encoder, one of each decoder, four of each kernel
        assert all(".0." in name and "alpha" in name for name in idle)

    def test_reversible_training_is_the_same(self) -> None:
        batch = Batch(rand(2, 3, 40, 32), rand(2, 3, 40, 32), {})
        found = []
        for reversible in (False, True):
            config = replace(SCANNED, reversible=reversible)
            network, objective = make(config).train(), METHOD.objective(config, {})
            loss = torch.stack(list(objective(network, batch).values())).sum()
            found.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
        for name, expected, gradient in zip(["loss", *dict(network.named_parameters())], *found, strict=True):
            assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-4 * float(expected.detach().abs().max())), name

    def test_reversible_training_in_bfloat16(self) -> None:
        config = replace(LOCAL, reversible=True)
        network = make(config, torch.float32).train()
        with torch.autocast("cpu", torch.bfloat16):
            answers = network(torch.rand(1, 3, 48, 48), everything=True)
        torch.stack([x.float().square().mean() for x in (*answers.images, *answers.halves)]).sum().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)

    def test_bfloat16_where_all_is_scanned(self) -> None:
        network, image = make(SCANNED, torch.float32), torch.rand(1, 3, 64, 72)
        with torch.inference_mode():
            exact = network(image).image
            with torch.autocast("cpu", torch.bfloat16):
                rounded = network(image).image
        assert rounded.dtype == torch.float32
        assert 10 * torch.log10(1 / (rounded - exact).square().mean()) > 40
        assert (exact - image).abs().max() > 0.01

    def test_weights_stay_as_they_are(self) -> None:
        """The published code writes its least |alpha| into the weights at every call."""
        network = make()
        with torch.no_grad():
            network.get_parameter("global_model.subnets_max.1.alpha0").fill_(1e-6)
            before = {key: value.clone() for key, value in network.state_dict().items()}
            network(rand(1, 3, 32, 32))
        assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())

    def test_a_tile_may_know_the_image_around_it_at_half_size(self) -> None:
        network, image = make(FINE), rand(1, 3, 32, 32)
        with torch.no_grad():
            own = network(image).image
            other = network(image, half=rand(1, 3, 16, 16)).image
        assert float((own - other).abs().max()) > 1e-5


class TestCheckpoints:
    @pytest.mark.parametrize("config", [TINY, SCANNED, ODD, METHOD.presets["compact-fine"], METHOD.presets["paper"]])
    def test_config_round_trip(self, config: DeepRftConfig) -> None:
        with torch.device("meta"):
            state = METHOD.build(config).state_dict()
        assert METHOD.config_from_state_dict(state) == replace(config, calm=False)  # which no weights tell

    def test_other_networks_are_refused(self) -> None:
        with torch.device("meta"):
            state = METHOD.build(TINY).state_dict()
        with pytest.raises(
            CheckpointError, match=r"global_model\.patch_embed_maxs\.0\.proj\.weight, .* and \d+ more are missing"
        ):
            METHOD.config_from_state_dict({"intro.weight": torch.zeros(4, 3, 3, 3)})
        key = "global_model.fusd_max_2.1.bias"
        with pytest.raises(CheckpointError, match=rf"{key} is missing"):
            METHOD.config_from_state_dict({name: value for name, value in state.items() if name != key})
        with pytest.raises(CheckpointError, match=rf"of another shape is {key} \(3,\) instead of \(16,\)"):
            METHOD.config_from_state_dict(state | {key: torch.zeros(3)})
        key = "global_model.patch_embed_maxs.0.proj.weight"
        with pytest.raises(CheckpointError, match="takes 6 channels, which is no square number of colours"):
            METHOD.config_from_state_dict(state | {key: torch.zeros(4, 6, 3, 3)})
