"""``rrformer``: what the method answers, and the network as a whole; its body has tests of its own."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.errors import CheckpointError, SettingError
from restorekit.methods.rrformer import LEVEL_CHANNELS, METHOD, RrformerConfig, vgg
from restorekit.methods.rrformer.network import PyramidPooling, Rrformer
from restorekit.methods.rrformer.vgg import LEVELS, Vgg19
from restorekit.metrics import psnr
from restorekit.settings import from_table

TINY = RrformerConfig(n_feats=8, dim=8, depths=(2,), heads=(2,), window=4, hyper_levels=1)
PUBLISHED = dataclasses.replace(
    TINY, train_vgg=False, fold=1, residual=False, whole_cells=False, smooth_cells=False, calm_groups=False, img_size=32
)
FORMS = {
    "ours": TINY,
    "published": dataclasses.replace(PUBLISHED, use_body=False),
    "with body": PUBLISHED,
    "without body": dataclasses.replace(TINY, use_body=False),
    "image alone": dataclasses.replace(TINY, hyper_levels=0, fold=1),
}


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(config: RrformerConfig = TINY, **changes: Any) -> Rrformer:
    """A network none of whose parts is as good as absent, as fresh ones can be."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = METHOD.build(dataclasses.replace(config, **changes))
        for name, parameter in network.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)
            elif name.endswith("bias"):
                nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(params=FORMS)
def network(request: pytest.FixtureRequest) -> Rrformer:
    return build(FORMS[request.param]).eval().requires_grad_(False)


def count(config: RrformerConfig) -> Counter[str]:
    """The parameters of each part of the network."""
    parts: Counter[str] = Counter()
    with torch.device("meta"):
        for key, value in METHOD.build(config).named_parameters():
            parts[key.partition(".")[0]] += value.numel()
    return parts


class TestMethod:
    def test_parameters_are_the_papers(self) -> None:
        parts = count(METHOD.presets["paper"])
        vgg = parts.pop("features")
        assert (parts.total(), vgg) == (20_355_130, 12_944_960)
        names = ("conv1", "conv2", "conv3", "swinir_block", "deconv1", "deconv2", "pyramid_module", "deconv3")
        assert [round(parts[name] / 1e6, 3) for name in names] == [0.378, 0.590, 0.553, 17.063, 0.983, 0.590, 0.197, 0.001]

    def test_compact_is_small(self) -> None:
        config = METHOD.presets["compact"]
        parts = count(config)
        assert (parts.total(), parts["features"]) == (3_757_516, 3_505_728)
        with torch.device("meta"):
            keys = METHOD.build(config).state_dict()
        assert not [key for key in keys if key.endswith(("attn_mask", "relative_position_index")) or "conv_last" in key]

    @pytest.mark.parametrize(
        "table",
        [
            {"n_feats": 6},
            {"heads": [3, 4, 4, 4]},
            {"depths": [1, 2]},
            {"depths": [], "heads": []},
            {"window": 5},
            {"hyper_levels": 6},
            {"whole_cells": False, "smooth_cells": False},
            {"whole_cells": False, "fold": 1},
            {"drop_path_rate": 1.0},
            {"img_size": 20},
            {"mlp_ratio": 0.0},
        ],
    )
    def test_settings_that_cannot_be(self, table: dict[str, Any]) -> None:
        with pytest.raises(SettingError, match=r"\[config\]: "):
            from_table(RrformerConfig, table, "[config]")

    def test_tiling(self) -> None:
        compact, paper = (METHOD.tiling(METHOD.presets[name]) for name in ("compact", "paper"))
        assert (compact.multiple, compact.halo, compact.overlap) == (64, 192, 64)
        assert (paper.multiple, paper.halo, paper.overlap) == (32, None, 96)

    def test_prediction_tells_what_was_taken_away(self) -> None:
        image = rand(2, 3, 33, 40)
        maps = METHOD.predict(build().eval(), image)
        prediction = METHOD.finish(maps, TINY)
        assert torch.allclose(prediction.image + prediction.reflection, image, atol=1e-6)
        assert prediction.reflection.abs().max() > 0.01


class TestNetwork:
    @pytest.mark.parametrize("size", [(64, 64), (45, 71), (7, 90), (1, 1)])
    def test_any_size(self, network: Rrformer, size: tuple[int, int]) -> None:
        image = rand(1, 3, *size)
        before = image.clone()
        answer = network(image)
        assert answer.shape == image.shape
        assert answer.isfinite().all()
        assert image.equal(before)

    def test_batch(self, network: Rrformer) -> None:
        images = rand(2, 3, 37, 50)
        assert torch.allclose(network(images), torch.cat([network(image[None]) for image in images]), atol=1e-5)

    def test_memory_format(self, network: Rrformer) -> None:
        image = rand(1, 40, 48, 3).permute(0, 3, 1, 2)
        assert torch.allclose(network(image), network(image.contiguous()), atol=1e-5)

    def test_bfloat16(self, network: Rrformer) -> None:
        image = rand(1, 3, 64, 64)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(image).float()
        plain = network(image)
        assert float(psnr(rounded, plain, float(plain.abs().max()))) > 40

    @pytest.mark.parametrize("form", FORMS)
    def test_gradients(self, form: str) -> None:
        network = build(FORMS[form], drop_path_rate=0.2).train()
        network(rand(2, 3, 48, 64)).square().mean().backward()
        for name, parameter in network.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    def test_fresh_body_adds_nothing_and_learns(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            network = METHOD.build(TINY)
        x, image = rand(2, 8, 16, 16), rand(2, 3, 64, 64)
        assert torch.equal(network.swinir_block(x), x)
        assert not torch.equal(METHOD.build(dataclasses.replace(TINY, calm_groups=False)).swinir_block(x), x)
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(3):  # one step for each of the convolutions that were zero, the last of them first
            optimiser.zero_grad()
            network(image).square().mean().backward()
            optimiser.step()
        group = network.swinir_block.layers[0]
        inside = group.residual_group.blocks[0].mlp.fc1.weight
        woken = network.swinir_block.conv_after_body.weight, group.conv.weight, inside.grad
        assert all(bool(part.any() and part.isfinite().all()) for part in woken)

    def test_what_learns(self) -> None:
        learns = {
            form: {key.partition(".")[0] for key, p in build(FORMS[form]).named_parameters() if p.requires_grad} for form in FORMS
        }
        assert learns["ours"] - learns["with body"] == {"features"}
        assert learns["with body"] - learns["published"] == learns["ours"] - learns["without body"] == {"swinir_block"}

    def test_published_form_ignores_its_body(self) -> None:
        image = rand(1, 3, 40, 40)
        one, other = build(FORMS["published"]), build(FORMS["published"])
        nn.init.ones_(other.swinir_block.conv_after_body.weight)
        assert torch.equal(one(image), other(image))
        other.load_state_dict(one.state_dict())
        with_body = build(FORMS["with body"])
        with_body.load_state_dict(one.state_dict())
        assert not torch.allclose(with_body(image), one(image), atol=1e-3)

    @pytest.mark.parametrize("size", [(48, 64), (50, 75)])
    def test_front_is_one_convolution_of_hypercolumns(self, size: tuple[int, int]) -> None:
        network = build(PUBLISHED, hyper_levels=5, n_feats=12).double().eval()
        image = rand(2, 3, *size).double()
        levels = [F.interpolate(level, size, mode="bilinear") for level in network.features.maps(image, LEVELS)]
        assert [level.shape[1] for level in levels] == list(LEVEL_CHANNELS)
        x = torch.cat([image, *levels], 1)
        for layer in (network.conv1, network.conv2, network.conv3):
            x = layer(x).relu()
        assert torch.allclose(network.encode(image), x, atol=1e-12)

    def test_folding_loses_nothing(self) -> None:
        network = build(hyper_levels=0, fold=2)
        leaf = rand(1, 3, 64, 64).requires_grad_()
        (gradient,) = torch.autograd.grad(network(leaf).square().sum(), leaf)
        assert (gradient != 0).all()

    @pytest.mark.parametrize(
        "changes",
        [
            {"depths": (2, 1), "heads": (2, 2), "hyper_levels": 3, "fold": 1},
            {"depths": (1,), "hyper_levels": 0, "fold": 2},
            {"use_body": False, "hyper_levels": 4, "fold": 1},
        ],
    )
    def test_tiles_at_the_reach_are_exact(self, changes: dict[str, Any]) -> None:
        config = dataclasses.replace(TINY, n_feats=4, dim=4, **changes)
        network = build(config).double().eval().requires_grad_(False)
        reach, multiple = config.reach, config.multiple
        cut = -(-2 * reach // multiple) * multiple
        image = rand(1, 3, multiple, 2 * cut).double()
        whole, left, right = network(image), network(image[..., :cut]), network(image[..., cut:])
        assert torch.allclose(whole[..., : cut - reach], left[..., : cut - reach], atol=1e-12)
        assert torch.allclose(whole[..., cut + reach :], right[..., reach:], atol=1e-12)
        nearer = reach - 32 * config.fold
        assert not torch.allclose(whole[..., : cut - nearer], left[..., : cut - nearer], atol=1e-12)


class TestPyramidPooling:
    def plain(self, pool: PyramidPooling, x: Tensor) -> Tensor:
        means = [F.interpolate(stage(x), x.shape[-2:], mode="nearest") for stage in pool.stages]
        return F.leaky_relu(pool.bottleneck(torch.cat([*means, x], 1)), 0.2)

    @pytest.mark.parametrize(("whole_cells", "size"), [(False, (70, 46)), (False, (64, 32)), (True, (64, 96))])
    def test_is_the_papers_formula(self, whole_cells: bool, size: tuple[int, int]) -> None:
        pool, x = PyramidPooling(8, whole_cells).double(), rand(2, 8, *size).double()
        assert torch.allclose(pool(x), self.plain(pool, x), atol=1e-12)

    def test_smooth_cells_leave_no_steps(self) -> None:
        """In a ramp along x, steps between pixels are much alike; in hard cells, those at the edges are not."""
        ramp = torch.linspace(0, 1, 128).expand(1, 8, 64, 128)
        steps = {}
        for smooth in (False, True):
            torch.manual_seed(0)
            pool = PyramidPooling(8, whole_cells=True, smooth=smooth).requires_grad_(False)
            inner = pool(ramp)[..., 32:96]  # beyond the reach of the border
            steps[smooth] = inner.diff(dim=3).abs().sum(1).flatten()
        assert steps[False].max() > 5 * steps[False].median()
        assert steps[True].max() < 2 * steps[True].median()

    def test_smooth_cells_keep_what_is_flat(self) -> None:
        torch.manual_seed(0)
        hard, smooth = PyramidPooling(8, True), PyramidPooling(8, True, smooth=True)
        smooth.load_state_dict(hard.state_dict())
        flat = torch.full((1, 8, 64, 96), 0.3)
        assert torch.allclose(hard(flat), smooth(flat), atol=1e-6)

    def test_whole_cells_are_the_same_weights(self) -> None:
        assert PyramidPooling(8, True).state_dict().keys() == PyramidPooling(8).state_dict().keys()


class TestCheckpoints:
    @pytest.mark.parametrize(
        "config",
        [
            *FORMS.values(),
            dataclasses.replace(TINY, fold=3, hyper_levels=4, mlp_ratio=1.5, depths=(1, 3), heads=(4, 1), window=6),
            dataclasses.replace(PUBLISHED, dim=12, depths=(2, 4), heads=(3, 6), img_size=96, drop_path_rate=0.1),
            dataclasses.replace(METHOD.presets["paper"], depths=(2, 1), heads=(6, 6), n_feats=12, dim=18),
        ],
    )
    def test_config_round_trip(self, config: RrformerConfig) -> None:
        state = build(config).state_dict()
        if not config.use_body:
            state = fresh(state)
        expected = dataclasses.replace(config, drop_path_rate=0.1 if config.img_size else 0.0)
        if not config.use_body and config.img_size is None:
            expected = RrformerConfig(n_feats=8, dim=8, hyper_levels=1, use_body=False)
        assert METHOD.config_from_state_dict(state) == expected

    def test_body_that_was_never_taught_does_not_count(self) -> None:
        state = METHOD.build(PUBLISHED).state_dict()
        assert not METHOD.config_from_state_dict(state).use_body
        state["swinir_block.layers.0.residual_group.blocks.1.mlp.fc2.bias"][3] = 1e-6
        assert METHOD.config_from_state_dict(state).use_body

    def test_something_else(self) -> None:
        with pytest.raises(CheckpointError, match=r"no RRFormer checkpoint: conv1\.conv2d\.weight, conv3\.conv2d\.weight"):
            METHOD.config_from_state_dict(nn.Conv2d(1, 1, 1).state_dict())

    @pytest.mark.parametrize("key", ["swinir_block.norm.bias", "deconv1.conv2d.weight"])
    def test_keys_and_shapes_that_do_not_fit(self, key: str) -> None:
        state = build().state_dict()
        value = state.pop(key)
        with pytest.raises(CheckpointError, match=f"{key} is missing"):
            METHOD.config_from_state_dict(state)
        with pytest.raises(CheckpointError, match=f"of another shape is {key}"):
            METHOD.config_from_state_dict({**state, key: value[:-1]})

    def test_channels_that_are_no_levels(self) -> None:
        state = build().state_dict()
        state["conv1.conv2d.weight"] = rand(8, 100, 1, 1)
        with pytest.raises(CheckpointError, match="takes 88 channels besides the image"):
            METHOD.config_from_state_dict(state)

    def test_authors_checkpoints_are_given_vgg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = build(PUBLISHED).state_dict()
        theirs = {key: value for key, value in state.items() if not key.startswith("features.")}
        imagenet = Vgg19(5)
        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *_, **__: as_torchvision(imagenet))
        found = METHOD.convert_state_dict(theirs)
        build(PUBLISHED).load_state_dict(found)
        assert torch.equal(found["features.0.weight"], imagenet[0].weight)
        assert METHOD.convert_state_dict(state).keys() == state.keys() == found.keys()

    def test_no_imagenet_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OSError("no route to host")

        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
        with pytest.raises(CheckpointError, match=r"cannot be had: no route to host\. Connect .*/vgg19-\w+\.pth into"):
            build().load_imagenet()
        build(hyper_levels=0).load_imagenet()


def fresh(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A body as one that no gradient ever reached."""
    new = {key: value.clone() for key, value in state.items()}
    for key, value in new.items():
        if key.startswith("swinir_block.") and value.dim() == 1:
            value.fill_(float("norm" in key and key.endswith("weight")))
    return new


def as_torchvision(network: Vgg19) -> dict[str, Tensor]:
    return {f"features.{key}": value for key, value in network.state_dict().items()} | {"classifier.0.bias": torch.zeros(1)}


class TestVgg:
    def test_is_torchvisions(self) -> None:
        from torchvision.models import vgg19

        with torch.device("meta"):
            theirs, ours = vgg19().features, Vgg19()
        assert str(theirs) == str(nn.Sequential(*ours))
        assert {k: v.shape for k, v in theirs.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}

    def test_fresh_features_keep_their_size(self) -> None:
        torch.manual_seed(0)
        image = rand(1, 3, 32, 32) - 0.5
        with torch.no_grad():
            for level in Vgg19(4).maps(image, [2, 4]):
                assert float(level.square().mean()) == pytest.approx(float(image.square().mean()), rel=0.4)

    def test_maps_run_no_further_than_asked(self) -> None:
        network = Vgg19(3)
        (level,) = network.maps(rand(1, 3, 8, 8), [2])
        assert level.shape == (1, 64, 8, 8)
        assert vgg.LEVELS == (2, 7, 12, 21, 30)
