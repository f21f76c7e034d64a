"""DCPI-Depth: sizes, precision and gradients of the networks; each faster form against the plain one; what the method answers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import SettingError, UsageError
from restorekit.inference.tiling import plan_tiles
from restorekit.methods import Batch, get_method
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig
from restorekit.methods.dcpi_depth.decoder import ReflectedConvolution
from restorekit.methods.dcpi_depth.encoder import AttentionBlock, ChannelAttention, DilatedBlock, PositionCode, convolve_normed
from restorekit.methods.dcpi_depth.flow import Flow
from restorekit.methods.dcpi_depth.network import DcpiDepth
from restorekit.methods.dcpi_depth.sizes import estimate, fitted_size, pad_by_edge
from restorekit.settings import from_table

TINY = DcpiDepthConfig((8, 16, 24), ((1,), (1, 2), (1,)), (2, 4, 8), expansion=2, height=64, width=96, pose="light")
UNUSED = "norm.weight", "norm.bias"
"""Of dilated blocks: they stand in the authors' checkpoints and nowhere else."""


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(config: DcpiDepthConfig = TINY, **changes: Any) -> DcpiDepth:
    """A network whose branches weigh something, whose disparities differ, and whose normalisation has seen images."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = METHOD.build(dataclasses.replace(config, **changes))
        stir(network)
    return network


def stir(module: nn.Module) -> None:
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith(("gamma", "gamma_xca")):
                parameter.uniform_(0.2, 0.6)
            elif name.endswith("temperature"):
                parameter.uniform_(1, 4)
        for part in module.modules():
            if isinstance(part, ReflectedConvolution):
                part.conv.weight.normal_(std=1 / part.conv.weight[0].numel() ** 0.5)
            elif isinstance(part, nn.BatchNorm2d):
                assert part.running_mean is not None
                assert part.running_var is not None
                part.running_mean.normal_(std=0.1)
                part.running_var.uniform_(0.5, 2)


@pytest.fixture(scope="module")
def network() -> DcpiDepth:
    return build().eval().requires_grad_(False)


class TestNetwork:
    @pytest.mark.parametrize(
        ("preset", "encoder", "decoder", "pose", "flow"),
        [
            ("compact", 1_955_192, 192_467, 1_574_742, 0),
            ("compact-xs", 570_536, 84_215, 1_574_742, 0),
            ("paper", 8_139_960, 635_891, 13_013_492, 5_257_536),
            ("paper-640x384", 2_848_120, 226_627, 13_013_492, 5_257_536),
        ],
    )
    def test_presets(self, preset: str, encoder: int, decoder: int, pose: int, flow: int) -> None:
        with torch.device("meta"):
            built = METHOD.build(METHOD.presets[preset])
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in built.named_children()}
        assert sizes == {"encoder": encoder, "decoder": decoder, "pose": pose} | ({"flow": flow} if flow else {})

    @pytest.mark.parametrize(("preset", "keys"), [("compact", 224), ("paper", 263), ("paper-640x384", 263)])
    def test_encoder_keys(self, preset: str, keys: int) -> None:
        with torch.device("meta"):
            assert len(METHOD.build(METHOD.presets[preset]).encoder.state_dict()) == keys

    @pytest.mark.parametrize("size", [(1, 1), (33, 47), (64, 96), (16, 50)])
    def test_any_size(self, network: DcpiDepth, size: tuple[int, int]) -> None:
        disparity = network(rand(1, 3, *size))
        assert disparity.shape == (1, 1, *size)
        assert 0 < disparity.min() <= disparity.max() < 1
        sizes = [tuple(x.shape[-2:]) for x in network.disparities(rand(1, 3, *size))]
        assert sizes == [(math.ceil(size[0] / 2**i), math.ceil(size[1] / 2**i)) for i in range(3)]

    def test_padding_is_of_the_network_itself(self, network: DcpiDepth) -> None:
        image = rand(1, 3, 40, 50)
        padded = pad_by_edge(image, 16, 32)
        assert padded.shape[-2:] == (48, 64)
        assert torch.equal(padded[..., :40, 50:], image[..., 49:].expand(-1, -1, -1, 14))
        assert torch.allclose(network(image), network(padded)[..., :40, :50], atol=1e-6)

    def test_finest_disparity_alone_is_the_same(self, network: DcpiDepth) -> None:
        image = rand(1, 3, 64, 96)
        assert torch.equal(network(image), network.disparities(image)[0])

    def test_fewer_scales(self) -> None:
        built = build(scales=1)
        assert len(built.disparities(rand(1, 3, 32, 32))) == 1
        assert not any(key.startswith("decoder.decoder.7") for key in built.state_dict())

    def test_bfloat16(self) -> None:
        built = build(METHOD.presets["compact-xs"]).eval()
        image = rand(1, 3, 64, 96)
        with torch.no_grad():
            exact = built(image)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = built(image)
        assert rounded.dtype == torch.float32
        assert exact.std() > 0.01
        assert 10 * torch.log10(1 / (rounded - exact).square().mean()) > 40

    def test_float64(self) -> None:
        built = build().eval()
        image = rand(1, 3, 32, 48)
        coarse = built(image)
        fine = built.double()(image.double())
        assert fine.dtype == torch.float64
        assert torch.allclose(coarse.double(), fine, atol=1e-6)

    def test_gradients_reach_every_parameter(self) -> None:
        built = build(TINY, pose="resnet18", flow="small", flow_iterations=1, train_flow=True)
        frames = rand(3, 2, 3, 32, 48)
        answer = built(frames[1], (frames[0], frames[2]), (frames[1], frames[2]))
        poses = answer.previous.square().mean() + answer.following.square().mean()
        (sum(x.square().mean() for x in answer.disparities) + poses + answer.flow.square().mean()).backward()
        dilated = {name for name, part in built.named_modules() if isinstance(part, DilatedBlock)}
        unused = {f"{name}.{tail}" for name in dilated for tail in UNUSED}
        unused |= {"pose.encoder.encoder.fc.weight", "pose.encoder.encoder.fc.bias"}
        for name, parameter in built.named_parameters():
            assert (parameter.grad is None) == (name in unused), name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    def test_branches_are_left_out_in_training_only(self) -> None:
        built = build(METHOD.presets["compact-xs"]).train()
        for part in built.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        image = rand(1, 3, 32, 32)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            assert len({built(image).mean().item() for _ in range(6)}) > 1
        built.eval()
        assert torch.equal(built(image), built(image))


class TestFasterForms:
    """Each against the formula as the papers write it."""

    @pytest.mark.parametrize("groups", [1, 6])
    def test_normalisation_in_the_convolution(self, groups: int) -> None:
        conv, norm = nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=groups, bias=False), nn.BatchNorm2d(6)
        stir(norm)
        nn.init.uniform_(norm.weight)
        nn.init.uniform_(norm.bias)
        x = rand(2, 6, 9, 7)
        assert torch.equal(convolve_normed(x, conv, norm), norm(conv(x)))
        norm.eval()
        fast, plain = convolve_normed(x, conv, norm), norm(conv(x))
        assert torch.allclose(fast, plain, atol=1e-6)
        parameters = [conv.weight, norm.weight, norm.bias]
        for a, b in zip(*(torch.autograd.grad(y.square().sum(), parameters) for y in (fast, plain)), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-4)

    def test_attention_in_the_projection(self) -> None:
        attention, gamma = ChannelAttention(12, 3), rand(12)
        stir(attention)
        z = rand(2, 5, 7, 12) - 0.5
        q, k, v = attention.qkv(z.flatten(1, 2)).unflatten(2, (3, 3, 4)).permute(2, 0, 3, 4, 1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        scores = (q @ k.mT * attention.temperature).softmax(-1)
        plain = gamma * attention.proj((scores @ v).flatten(1, 2).mT).unflatten(1, (5, 7))
        assert torch.allclose(attention(z, gamma), plain, atol=1e-6)

    def test_position_code_of_rows_and_columns(self) -> None:
        code = PositionCode(10)
        height, width = 5, 8
        frequency = 10000 ** (2 * torch.arange(32).div(2, rounding_mode="floor") / 32)

        def features(count: int) -> Tensor:
            angles = (torch.arange(1, count + 1) / (count + 1e-6) * 2 * math.pi)[:, None] / frequency
            return torch.where(torch.arange(32) % 2 == 0, angles.sin(), angles.cos())

        rows = features(height).T[:, :, None].expand(-1, -1, width)
        columns = features(width).T[:, None, :].expand(-1, height, -1)
        plain = code.token_projection(torch.cat([rows, columns])[None])[0].permute(1, 2, 0)
        assert torch.allclose(code(height, width), plain, atol=1e-6)

    def test_factor_in_the_matrix(self) -> None:
        block = AttentionBlock(8, 2, 3, 0.0, positions=False)
        stir(block)
        x, y = rand(2, 8, 4, 5), rand(2, 4, 5, 8, seed=1)
        plain = x + (block.gamma * block.pwconv2(F.gelu(block.pwconv1(y)))).permute(0, 3, 1, 2)
        assert torch.allclose(block.add_branch(x, y), plain, atol=1e-6)


class TestTriplet:
    def test_poses_are_those_of_pairs_in_the_order_of_time(self, network: DcpiDepth) -> None:
        frames = rand(3, 2, 3, 64, 96)
        answer = network(frames[1], (frames[0], frames[2]))
        following = METHOD.predict_pose(network, frames[1], frames[2])
        into = METHOD.predict_pose(network, frames[0], frames[1])
        assert torch.allclose(answer.following, following.matrix, atol=1e-6)
        assert torch.allclose(answer.previous @ into.matrix, torch.eye(4).expand(2, 4, 4), atol=1e-6)
        assert torch.equal(following.matrix[:, :3, 3], following.translation)
        assert following.axis_angle.shape == (2, 3)
        assert following.axis_angle.abs().max() > 1e-6
        assert (answer.flow, answer.flow_back) == (None, None)

    def test_published_pose_network(self) -> None:
        built = build(pose="resnet18").eval().requires_grad_(False)
        pose = METHOD.predict_pose(built, rand(1, 3, 45, 70), rand(1, 3, 45, 70, seed=1))
        rotation = pose.matrix[:, :3, :3]
        assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(1, 3, 3), atol=1e-6)

    def test_without_pose_network(self) -> None:
        built = build(pose="none")
        image = rand(1, 3, 32, 32)
        with pytest.raises(UsageError, match="estimates no poses"):
            built(image, (image, image))


@pytest.fixture(scope="module")
def flow() -> Flow:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Flow("small", 1, trained=False)


class TestFlow:
    def test_any_size(self, flow: Flow) -> None:
        first, second = rand(2, 1, 3, 50, 131)
        found = flow(first, second)
        assert found.shape == (1, 2, 50, 131)
        sized = flow.raft(*(2 * F.pad(x, (0, 5, 0, 78), mode="replicate") - 1 for x in (first, second)), num_flow_updates=1)[-1]
        assert torch.allclose(found, sized[..., :50, :131], atol=1e-5)

    def test_stays_as_it_is_unless_told_to_learn(self, flow: Flow) -> None:
        flow.train()
        assert not any(parameter.requires_grad for parameter in flow.parameters())
        assert not flow.raft.training
        first, second = rand(2, 1, 3, 32, 32)
        assert not flow(first.requires_grad_(), second).requires_grad
        learning = Flow("small", 1, trained=True).train()
        assert learning(first, second).requires_grad
        assert not any(part.training for part in learning.raft.modules())

    def test_way_back_has_no_graph(self) -> None:
        built = build(flow="small", flow_iterations=1, train_flow=True)
        first, second = rand(2, 1, 3, 32, 32)
        answer = built(first, (first, second), (first, second), backward_flow=True)
        assert answer.flow.requires_grad
        assert not answer.flow_back.requires_grad
        assert torch.allclose(answer.flow_back, built.flow(second, first), atol=1e-5)


class TestTeaching:
    @pytest.fixture
    def batch(self) -> Batch:
        """A textured wall that slides by one pixel a frame."""
        wall = F.interpolate(rand(2, 3, 8, 12), (64, 100), mode="bicubic").clamp(0, 1)
        previous, frame, following = (wall[..., i : i + 96] for i in (0, 1, 2))
        intrinsics = torch.tensor([[80.0, 0, 47.5], [0, 80.0, 31.5], [0, 0, 1]]).expand(2, 3, 3)
        return Batch(frame, frame, {"previous": previous, "next": following, "intrinsics": intrinsics})

    def test_a_step_helps(self, batch: Batch) -> None:
        built = build(flow="small", flow_iterations=1).train()
        for part in built.modules():
            if isinstance(part, DilatedBlock | AttentionBlock):
                part.drop = 0.0
        objective = METHOD.objective(TINY, {"dense_after": 0, "divergence_after": 0, "smoothness": 0.1})
        before = sum(objective(built, batch).values())
        before.backward()
        with torch.no_grad():
            for parameter in built.parameters():
                if parameter.grad is not None:
                    assert parameter.grad.isfinite().all()
                    parameter -= 1e-3 * parameter.grad
        assert sum(objective(built, batch).values()) < before

    def test_flow_is_compared(self, batch: Batch) -> None:
        settings = {"dense_after": 0, "adjustment_limit": 1e9}
        losses = METHOD.objective(TINY, settings)(build(flow="small", flow_iterations=1), batch)
        assert losses["adjustment"] > 0
        assert METHOD.objective(TINY, settings)(build(), batch)["adjustment"] == 0

    def test_bfloat16_keeps_geometry_in_float32(self, batch: Batch) -> None:
        built = build(flow="small", flow_iterations=1)
        with torch.autocast("cpu", torch.bfloat16):
            neighbours = batch.extras["previous"], batch.extras["next"]
            answer = built(batch.input, neighbours, (batch.input, batch.extras["next"]), backward_flow=True)
        assert {x.dtype for x in (*answer.disparities, *answer[1:])} == {torch.float32}


class TestMethod:
    def test_is_registered(self) -> None:
        assert get_method("dcpi-depth") is METHOD
        assert {"compact", "paper"} <= METHOD.presets.keys()
        compact = METHOD.build(METHOD.presets["compact"])
        assert sum(p.numel() for p in compact.parameters()) < 4_000_000

    @pytest.mark.parametrize(
        ("image", "trained", "size"),
        [
            ((375, 1242), (192, 640), (192, 640)),  # KITTI
            ((1216, 1936), (384, 640), (384, 640)),  # DDAD
            ((3000, 4000), (192, 640), (288, 416)),
            ((4000, 3000), (192, 640), (416, 288)),
            ((2, 2000), (64, 64), (32, 2016)),
        ],
    )
    def test_fitted_size(self, image: tuple[int, int], trained: tuple[int, int], size: tuple[int, int]) -> None:
        assert fitted_size(image, trained) == size

    def test_photographs_are_seen_at_the_size_of_the_training(self) -> None:
        class Spy(nn.Module):
            trained_size, keep_aspect = (64, 96), True

            def forward(self, image: Tensor) -> Tensor:
                self.seen = image
                return image.mean(1, keepdim=True)

        spy = Spy()
        smooth = F.interpolate(rand(1, 3, 3, 4), (150, 150), mode="bicubic").clamp(0, 1)
        answer = estimate(spy, smooth)
        assert spy.seen.shape[-2:] == (64, 64)
        assert answer.shape == (1, 1, 150, 150)
        assert (answer - smooth.mean(1, keepdim=True)).abs().mean() < 0.005
        spy.keep_aspect = False
        estimate(spy, smooth)
        assert spy.seen.shape[-2:] == (64, 96)
        estimate(spy, smooth[..., :64, :96])
        assert torch.equal(spy.seen, smooth[..., :64, :96])

    def test_prediction(self, network: DcpiDepth) -> None:
        maps = METHOD.predict(network, rand(2, 3, 75, 100))
        config = dataclasses.replace(TINY, min_depth=0.5, max_depth=20.0)
        result = METHOD.finish(maps, config)
        assert result.image.shape == (2, 3, 75, 100)
        assert torch.equal(result.image[:, 2:], result.disparity)
        assert torch.allclose(1 / result.depth, 1 / 20 + (2 - 1 / 20) * result.disparity)
        near_and_far = METHOD.finish({"disparity": torch.tensor([1.0, 0.0]).view(1, 1, 1, 2)}, config).depth
        assert near_and_far.flatten().tolist() == pytest.approx([0.5, 20.0])

    def test_photographs_are_never_cut(self) -> None:
        tiling = METHOD.tiling(METHOD.presets["paper"])
        assert tiling.halo is None
        assert plan_tiles((6000, 8000), tiling, max_side=512, max_pixels=2**20).is_whole

    @pytest.mark.parametrize(
        "table",
        [
            {"dims": [12, 64, 128]},
            {"dims": [2, 64, 128], "heads": [0, 8, 8]},
            {"dilation": [[1], [1]]},
            {"dilation": [[1], [0], [1]]},
            {"scales": 4},
            {"expansion": 0},
            {"flow_iterations": 0},
            {"min_depth": 80.0},
            {"height": 100},
            {"width": 0},
            {"pose": "heavy"},
        ],
    )
    def test_config_refuses(self, table: dict[str, Any]) -> None:
        with pytest.raises(UsageError) as caught:
            from_table(DcpiDepthConfig, table, "[config]")
        assert isinstance(caught.value, SettingError) or "heavy" in caught.value.problem
