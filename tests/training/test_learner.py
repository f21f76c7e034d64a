"""Rates of parts, statistics that stay, activations that do not, networks that grow, and checkpoints of before such settings."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, as_clip
from restorekit.data.videos import VideoTriplets
from restorekit.errors import SettingError, UnknownNameError
from restorekit.layers.naf import NAFBlock
from restorekit.methods import Batch, get_method
from restorekit.settings import from_table
from restorekit.training import Recipe, load_recipe
from restorekit.training.activations import checkpoint_blocks
from restorekit.training.checkpoint import Progress, load, save
from restorekit.training.learner import Learner
from tests.tiny import TINY, write_other_card, write_tiny_card


def recipe_for(card: Path, **train: object) -> Recipe:
    table = {
        "name": "tiny",
        "method": "dcpi-depth",
        "config": {**get_tiny(card), "pose": "light"},
        "data": {"corridors": 1},
        "train": {"steps": 2, "batch": 2, "learning_rate": 1e-3, "weight_decay": 0.0, "clip": 0.0, "init": str(card), **train},
    }
    return from_table(Recipe, table, "test")


def get_tiny(card: Path) -> dict[str, object]:
    from restorekit.zoo import load_card

    return dict(load_card(card).config)


def learner_of(recipe: Recipe) -> Learner:
    return Learner(recipe, get_method(recipe.method), recipe.method_config(), Fabric(accelerator="cpu", devices=1))


def a_batch() -> Batch:
    clip = as_clip(CorridorVideo(0, CorridorSettings(width=96, height=64)), 3)
    return VideoTriplets([clip], seed=0).batch(0, 2, 0)


def moved(recipe: Recipe) -> dict[str, float]:
    """How far each part's weights go in a step, and the encoder's statistics, at most."""
    learner = learner_of(recipe)
    before = {key: value.clone() for key, value in learner.network.state_dict().items()}
    learner.learn(a_batch(), 0)
    far: dict[str, float] = {}
    for key, value in learner.network.state_dict().items():
        part = "statistics" if "running" in key or "num_batches" in key else key.partition(".")[0]
        far[part] = max(far.get(part, 0.0), float((value - before[key]).abs().max()))
    return far


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_other_card(tmp_path_factory.mktemp("card"), "dcpi-depth")


def test_parts_learn_at_rates_of_their_own(card: Path) -> None:
    """Adam's first step is as long as the rate is high, whatever the gradient."""
    even = moved(recipe_for(card))
    assert even["encoder"] == pytest.approx(1e-3, rel=0.05) == even["pose"]
    slow = moved(recipe_for(card, rates={"encoder": 0.25, "decoder": 0.0}))
    assert slow["encoder"] == pytest.approx(2.5e-4, rel=0.05) and slow["decoder"] == 0
    assert slow["pose"] == pytest.approx(1e-3, rel=0.05)
    learner = learner_of(recipe_for(card, rates={"decoder": 0.0}))
    frozen = {name.partition(".")[0] for name, weights in learner.network.named_parameters() if not weights.requires_grad}
    assert frozen == {"decoder"}, "what stays as it is costs no gradient"
    deeper = learner_of(recipe_for(card, rates={"encoder": 0.25, "encoder.stages": 0.5})).optimiser.param_groups
    assert sorted(group["factor"] for group in deeper) == [0.25, 0.5, 1.0]


def test_rates_of_no_part_are_refused(card: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"encodr.*encoder"):
        learner_of(recipe_for(card, rates={"encodr": 0.5}))
    with pytest.raises(SettingError, match="rates must not be negative"):
        recipe_for(card, rates={"encoder": -1})


def test_statistics_of_the_first_weights_stay_if_they_are_asked_to(card: Path) -> None:
    assert moved(recipe_for(card))["statistics"] > 1e-3
    assert moved(recipe_for(card, keep_statistics=True))["statistics"] == 0
    with pytest.raises(SettingError, match="keep_statistics needs init"):
        recipe_for(card, keep_statistics=True, init="")


def test_statistics_of_fresh_parts_are_learnt(card: Path) -> None:
    recipe = recipe_for(card, keep_statistics=True)
    network = learner_of(replace(recipe, config={**recipe.config, "pose": "resnet18"})).network
    modes = {name.partition(".")[0]: part.training for name, part in network.named_modules() if hasattr(part, "running_mean")}
    assert modes == {"encoder": False, "pose": True} and network.training


class Block(nn.Module):
    """Convolves and normalises."""

    def __init__(self, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.convolution(x)).relu()


class Blocks(nn.Module):
    """Blocks in every kind of container, and what is none."""

    def __init__(self, momentum: float | None = 0.1) -> None:
        super().__init__()
        self.alone = Block(momentum)
        self.nested = nn.ModuleList(nn.Sequential(Block(momentum), Block(momentum)) for _ in range(3))
        self.listed = nn.ModuleList([Block(momentum), nn.Conv2d(3, 3, 1)])
        self.deep = nn.Sequential(nn.Sequential(nn.Sequential(Block(momentum)), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        x = self.alone(x)
        for part in (*self.nested, *self.listed):
            x = part(x)
        deep: Tensor = self.deep(x)
        return deep


def test_every_block_forgets_its_activations() -> None:
    recipe = load_recipe("multi-output-compact")
    network = get_method(recipe.method).build(recipe.method_config())
    blocks = [module for module in network.modules() if isinstance(module, NAFBlock)]
    assert checkpoint_blocks(network) == len(blocks) == 17
    assert all("forward" in vars(block) for block in blocks)
    network = Blocks()
    assert checkpoint_blocks(network) == 8
    forgetful = {name for name, module in network.named_modules() if "forward" in vars(module)}
    assert forgetful == {*(f"nested.{i}.{j}" for i in range(3) for j in range(2)), "listed.0", "deep.0.0.0"}


@pytest.mark.parametrize("momentum", [0.1, 0.75, None])
def test_what_is_computed_twice_is_averaged_once(momentum: float | None) -> None:
    torch.manual_seed(3)
    plain = Blocks(momentum).train()
    forgetful = copy.deepcopy(plain)
    checkpoint_blocks(forgetful)
    for _ in range(2):
        image = torch.rand(2, 3, 8, 8)
        for network in (plain, forgetful):
            network(image).square().mean().backward()
    states, again = plain.state_dict(), forgetful.state_dict()
    statistics = [key for key in states if "running" in key or "num_batches" in key]
    assert len(statistics) == 3 * 9 and all(torch.equal(states[key], again[key]) for key in statistics)
    assert int(again["listed.0.norm.num_batches_tracked"]) == 2
    assert all(norm.momentum == momentum for norm in forgetful.modules() if isinstance(norm, nn.BatchNorm2d))
    for parameter, same in zip(plain.parameters(), forgetful.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, same.grad)


def test_statistics_are_learnt_alike_whatever_is_kept_in_memory(card: Path) -> None:
    states = []
    for checkpointing in (False, True):
        learner = learner_of(recipe_for(card, checkpointing=checkpointing))
        learner.learn(a_batch(), 0)
        states.append(
            {key: value for key, value in learner.network.state_dict().items() if ".running" in key or "num_batches" in key}
        )
    assert states[0] and all(torch.allclose(value, states[1][key]) for key, value in states[0].items())


def test_a_checkpoint_of_before_there_was_a_setting_goes_on(card: Path, tmp_path: Path) -> None:
    recipe = recipe_for(card)
    save(tmp_path / "last.pt", recipe, Progress(7), {})
    stored = torch.load(tmp_path / "last.pt", weights_only=True)
    del stored["recipe"]["train"]["rates"], stored["recipe"]["data"]["flow"]
    stored["recipe"]["train"]["precision"] = "auto"  # now it is stored as what it came to
    torch.save(stored, tmp_path / "last.pt")
    assert load(tmp_path / "last.pt", recipe)[0].step == 7


def test_a_step_that_is_passed_over_leaves_no_trace_in_running_statistics(card: Path) -> None:
    """Nor do its coordinates, which are not numbers, end the process."""
    learner, batch = learner_of(recipe_for(card)), a_batch()
    before = {key: value.clone() for key, value in learner.network.state_dict().items() if "running" in key}
    extras = {name: value * torch.nan if value.is_floating_point() else value for name, value in batch.extras.items()}
    learner.learn(Batch(batch.input * torch.nan, batch.target, extras), 0)
    assert learner.passed_over == 1 and before
    assert all(torch.equal(learner.network.state_dict()[key], value) for key, value in before.items())


def deeper(card: Path, config: dict[str, object], **train: object) -> Recipe:
    table = {
        "name": "deeper",
        "method": "multi-output",
        "config": {**TINY, **config},
        "data": {"clean": [str(card.parent)]},
        "degradation": {},
        "train": {"steps": 1, "batch": 1, "init": str(card), **train},
    }
    return from_table(Recipe, table, "test")


def test_a_network_that_grew_begins_where_the_card_ended(tmp_path: Path) -> None:
    card = write_tiny_card(tmp_path)
    more = {"enc_blk_nums": [3], "middle_blk_num": 2, "dec_blk_nums": [2]}
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    before = learner_of(deeper(card, {})).network.eval()
    grown = learner_of(deeper(card, more, grow=True)).network.eval()
    with torch.no_grad():
        assert torch.equal(grown(image), before(image))
    assert sum(p.numel() for p in grown.parameters()) > 1.5 * sum(p.numel() for p in before.parameters())


def test_weights_that_do_not_fit_are_refused_with_the_way_out(tmp_path: Path) -> None:
    card = write_tiny_card(tmp_path)
    with pytest.raises(SettingError, match=r"do not fit .*middle_blks\.1\..*train\.grow"):
        learner_of(deeper(card, {"middle_blk_num": 2}))
    with pytest.raises(SettingError, match=r"do not fit the recipe's network"):
        learner_of(deeper(card, {"width": 8}, grow=True))
    with pytest.raises(SettingError, match="grow needs init"):
        deeper(card, {}, grow=True, init="")


def test_an_infinite_gradient_is_seen_before_its_values_are_clipped(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(recipe_for(card, clip_value=0.1))
    monkeypatch.setattr(learner, "objective", lambda network, _: {"loss": torch.inf * next(network.parameters()).sum()})
    nothing = torch.zeros(2, 3, 4, 4)
    assert learner.learn(Batch(nothing, nothing, {}), 0)["gradient_norm"].isinf() and learner.passed_over == 1


def test_the_norm_of_the_gradient_takes_no_loss_by_its_name(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(recipe_for(card))
    monkeypatch.setattr(learner, "objective", lambda network, _: {"gradient": 0 * next(network.parameters()).sum() + 3})
    nothing = torch.zeros(2, 3, 4, 4)
    told = learner.learn(Batch(nothing, nothing, {}), 0)
    assert (told["gradient"], told["gradient_norm"]) == (3, 0)  # a loss of rrformer's is called gradient


def test_a_network_that_cannot_be_compiled_is_told(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(recipe_for(card))

    def fail(*_: object) -> None:
        raise torch._dynamo.exc.TorchDynamoException("no compiler found\nand a long story")

    monkeypatch.setattr(learner, "objective", fail)
    nothing = torch.zeros(2, 3, 4, 4)
    with pytest.raises(SettingError, match=r"cannot be compiled here: no compiler found\. Set train\.compile=false"):
        learner.learn(Batch(nothing, nothing, {}), 0)
