"""``histoformer``: what the method says of itself, and the network as a whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.errors import CheckpointError, UnknownNameError
from restorekit.layers import reflect_to_multiple
from restorekit.methods import Batch
from restorekit.methods.histoformer import METHOD, HistoformerConfig
from restorekit.methods.histoformer.network import MULTIPLE, Histoformer
from restorekit.settings import from_table

TINY = HistoformerConfig(dim=8, num_blocks=(1, 1, 1, 1), ffn_expansion_factor=2.0, bias=True)
ODD = [
    TINY,
    HistoformerConfig(dim=12, num_blocks=(2, 1, 3, 1), num_refinement_blocks=0, heads=(2, 3, 1, 4)),
    HistoformerConfig(dim=20, num_blocks=(1, 2, 1, 1), heads=(1, 1, 1, 1), ffn_expansion_factor=2.2, bias=True),
    HistoformerConfig(dim=8, num_blocks=(1, 1, 1, 1), ffn_expansion_factor=2.0, fold=2),
]


def make(config: HistoformerConfig = TINY, damped: float = 1.0) -> Histoformer:
    """A network in double precision; ``damped`` scales what its blocks add to their input, as training does."""
    torch.manual_seed(0)
    network = METHOD.build(config).eval().double()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("project_out.weight") or name == "output.weight":
                parameter *= damped
    return network


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


class TestMethod:
    @pytest.mark.parametrize(
        ("preset", "parameters"),
        [("paper", 16.615), ("compact", 3.63), ("compact-whole", 3.62), ("compact-s", 3.70), ("compact-xxs", 2.40)],
    )
    def test_parameters_of_the_presets(self, preset: str, parameters: float) -> None:
        with torch.device("meta"):
            network = METHOD.build(METHOD.presets[preset])
        count = sum(parameter.numel() for parameter in network.parameters())
        assert count / 1e6 == pytest.approx(parameters, abs=0.005)
        assert preset == "paper" or count <= 4_000_000

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"dim": 9}, "dim must be even"),
            ({"num_blocks": (1, 0, 1, 1)}, "num_blocks must be at least 1"),
            ({"heads": (1, 2, 5, 8)}, "heads of level 3 must divide its 96 channels"),
            ({"fold": 0}, "fold must be at least 1"),
            ({"dim": 48, "ffn_expansion_factor": 2.66}, "must give multiples of 4 at all levels, not 127, 255, 510, 1021"),
        ],
    )
    def test_settings_that_cannot_be(self, changes: dict[str, object], complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            HistoformerConfig(**changes)

    def test_settings_of_the_objective(self) -> None:
        with pytest.raises(UnknownNameError, match="Did you mean 'correlation'"):
            METHOD.objective(TINY, {"corelation": 1.0})
        assert from_table(HistoformerConfig, {"dim": 24, "num_blocks": [1, 2, 3, 3]}, "card") == METHOD.presets["compact-whole"]

    def test_tiling_is_global(self) -> None:
        tiling = METHOD.tiling(METHOD.presets["compact-whole"])
        assert (tiling.multiple, tiling.halo) == (MULTIPLE, None)
        assert not tiling.is_exact(10_000)
        assert tiling.minimum > 2 * tiling.overlap

    def test_prediction(self) -> None:
        network, image = make(), rand(1, 3, 9, 8)
        with torch.no_grad():
            maps = METHOD.predict(network, image)
            assert torch.equal(METHOD.finish(maps, TINY).image, network(image))


class TestNetwork:
    @pytest.mark.parametrize("size", [(1, 1), (3, 17), (13, 8), (30, 21)])
    def test_any_size_is_padded_and_cropped(self, size: tuple[int, int]) -> None:
        network, image = make(), rand(1, 3, *size)
        padded = reflect_to_multiple(image, 8)
        assert [side % 8 for side in padded.shape[2:]] == [0, 0]
        with torch.no_grad():
            assert torch.allclose(network(image), network(padded)[..., : size[0], : size[1]], atol=1e-12)

    def test_folded_pixels_cost_a_quarter_and_come_back_in_place(self) -> None:
        """Where the output layer tells its channels apart, each of the 2 x 2 pixels of a block gets its own."""
        network = make(HistoformerConfig(dim=8, num_blocks=(1, 1, 1, 1), ffn_expansion_factor=2.0, bias=True, fold=2))
        seen = []
        network.encoder_level1.register_forward_hook(lambda _, __, x: seen.append(x.shape))
        with torch.no_grad():
            network.output.weight.zero_()
            network.output.bias.copy_(torch.arange(12) / 12)
            image = rand(1, 3, 21, 18)
            added = network(image) - image
        assert seen == [(1, 8, 16, 16)]
        for colour in range(3):
            block = torch.tensor([[0, 1], [2, 3]], dtype=torch.float64) + 4 * colour
            assert torch.allclose(added[0, colour], block.repeat(11, 9)[:21] / 12, atol=1e-7)

    def test_input_is_left_as_it_was(self) -> None:
        image = rand(1, 3, 8, 8)
        before = image.clone()
        with torch.inference_mode():
            make()(image)
        assert torch.equal(image, before)

    def test_gradients_are_finite_and_reach_every_parameter(self) -> None:
        network = make().train()
        network(rand(2, 3, 17, 16)).square().mean().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name

    def test_gradients_are_those_of_the_answer(self) -> None:
        """Along a random direction the answer's change is what the gradient says: orders carry none."""
        network, image = make(), rand(1, 3, 16, 8)
        weight = network.encoder_level2[0].attn_g.qkv.weight
        direction, step = torch.randn_like(weight), 1e-6
        (gradient,) = torch.autograd.grad(network(image).square().mean(), weight)
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                weight += sign * step * direction
                values.append(network(image).square().mean())
                weight -= sign * step * direction
        assert float((values[0] - values[1]) / (2 * step)) == pytest.approx(float((gradient * direction).sum()), rel=1e-4)

    def test_bfloat16(self) -> None:
        """Of a damped network, as a taught one is: a fresh one swaps ranks at the least rounding, in float32 too."""
        network, image = make(METHOD.presets["compact-xxs"], damped=0.1).float(), rand(1, 3, 48, 40).float()
        with torch.no_grad():
            exact = network(image)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = network(image)
        assert rounded.dtype == torch.float32
        assert 10 * torch.log10(1 / (rounded - exact).square().mean()) > 40
        assert (exact - image).abs().max() > 0.01

    def test_a_step_down_the_gradient_lowers_the_loss(self) -> None:
        network = make(damped=0.3).train()
        batch = Batch(rand(2, 3, 16, 24), rand(2, 3, 16, 24), {})
        objective = METHOD.objective(TINY, {})
        optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)

        def loss() -> Tensor:
            return torch.stack(list(objective(network, batch).values())).sum()

        before = loss()
        before.backward()
        optimiser.step()
        assert loss() < before


class TestCheckpoints:
    @pytest.mark.parametrize("config", [*ODD, *METHOD.presets.values()])
    def test_config_round_trip(self, config: HistoformerConfig) -> None:
        with torch.device("meta"):
            state = METHOD.build(config).state_dict()
        assert METHOD.config_from_state_dict(state) == config

    def test_the_authors_unused_key_is_left_out(self) -> None:
        state = make().state_dict()
        converted = METHOD.convert_state_dict({**state, "skip_conv.weight": torch.zeros(16, 8, 1, 1)})
        make().load_state_dict(converted, strict=True)

    def test_other_networks_are_refused(self) -> None:
        state = make().state_dict()
        with pytest.raises(CheckpointError, match=r"patch_embed\.proj\.weight, .*output\.weight are missing"):
            METHOD.config_from_state_dict({"intro.weight": torch.zeros(4, 3, 3, 3)})
        restormer = {key.replace("attn_g", "attn"): value for key, value in state.items()}
        with pytest.raises(CheckpointError, match=r"encoder_level1\.0\.attn_g\.temperature, .* are missing"):
            METHOD.config_from_state_dict(restormer)
        with pytest.raises(CheckpointError, match=r"reduce_chan_level2\.bias is missing"):
            METHOD.config_from_state_dict({key: value for key, value in state.items() if key != "reduce_chan_level2.bias"})
        with pytest.raises(CheckpointError, match=r"of another shape is reduce_chan_level2\.bias \(3,\) instead of \(16,\)"):
            METHOD.config_from_state_dict(state | {"reduce_chan_level2.bias": torch.zeros(3)})
        with pytest.raises(CheckpointError, match="takes 6 channels, which is no folded RGB image"):
            METHOD.config_from_state_dict(state | {"patch_embed.proj.weight": torch.zeros(8, 6, 3, 3)})
        with pytest.raises(CheckpointError, match=r"hidden channels \[20, 32, 64, 128\] of the levels"):
            METHOD.config_from_state_dict(state | {"encoder_level1.0.ffn.project_out.weight": torch.zeros(8, 20, 1, 1)})
