from __future__ import annotations

import signal
from pathlib import Path

import PIL.Image
import pytest
import torch
from torch import nn

from restorekit import devices
from restorekit.errors import CheckpointError, NumericalError, SettingError, UnknownNameError
from restorekit.methods import Batch, get_method
from restorekit.training import Hardware, Recipe, idle, load_recipe, loop, rehearse, train
from restorekit.training.learner import Learner
from restorekit.training.report import Reporter
from restorekit.zoo import load_card, load_network
from tests.training.conftest import KillAt, KilledError, columns, poison, weights


def test_a_run_leaves_card_weights_curves_and_pictures(recipe: Recipe, tmp_path: Path) -> None:
    run = tmp_path / "run"
    path = train(recipe, run)
    assert path is not None
    card = load_card(path)
    assert card.training["steps"] in (4, 8) and card.training["recipe_sha256"] == recipe.digest()
    assert load_recipe(run / "tiny.recipe.toml") == recipe
    assert card.scores[0].metric == "PSNR" and card.scores[0].input > 5
    assert [row["step"] for row in columns(run / "train.csv")] == [str(step) for step in range(1, 9)]
    validations = columns(run / "validation.csv")
    assert [row["step"] for row in validations] == ["4", "8"]
    assert all(float(row["best_overall"]) >= float(row["best_single"]) > 5 for row in validations)
    picture = PIL.Image.open(run / "samples" / "step-0000008" / "0.png")
    assert picture.size[0] == 3 * 80 and picture.size[1] == 72
    assert load_network(card)(torch.rand(1, 3, 20, 20)).shape == (1, 2, 3, 20, 20)


@pytest.mark.parametrize("moment", [1, 3, 6, 7])
def test_killed_and_resumed_is_never_killed(recipe: Recipe, tmp_path: Path, moment: int) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "killed", reporter=KillAt(moment))
    resumed = weights(train(recipe, tmp_path / "killed"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    assert columns(tmp_path / "whole" / "train.csv") == columns(tmp_path / "killed" / "train.csv")
    assert columns(tmp_path / "whole" / "validation.csv", "hours") == columns(tmp_path / "killed" / "validation.csv", "hours")


def test_a_finished_run_started_again_does_nothing(recipe: Recipe, tmp_path: Path) -> None:
    card = train(recipe, tmp_path / "run")
    before = weights(card)
    again = train(recipe, tmp_path / "run", reporter=KillAt(1))
    assert again == card and all(torch.equal(before[key], value) for key, value in weights(again).items())


def test_a_run_starts_from_the_weights_of_a_card(recipe: Recipe, tmp_path: Path) -> None:
    card = train(recipe, tmp_path / "first")
    follow = load_recipe(
        tmp_path / "tiny.toml",
        [f"train.init={card}", "train.steps=1", "train.learning_rate=1e-12", "train.final_learning_rate=0"],
    )
    before, after = weights(card), weights(train(follow, tmp_path / "second"))
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in before)


def test_learning_restores_better_and_better(recipe: Recipe, tmp_path: Path) -> None:
    longer = load_recipe(tmp_path / "tiny.toml", ["train.steps=160", "report.validate_every=20"])
    train(longer, tmp_path / "run")
    scores = [float(row["psnr"]) for row in columns(tmp_path / "run" / "validation.csv")]
    assert scores[-1] > scores[0] + 1


def test_a_loss_that_is_not_finite_ends_the_run(recipe: Recipe, tmp_path: Path) -> None:
    wild = load_recipe(tmp_path / "tiny.toml", ["train.learning_rate=1e30", "train.patience=2"])
    with pytest.raises(NumericalError, match="not finite, 3 steps in a row up to step"):
        train(wild, tmp_path / "run")


class Hears(Reporter):
    """Keeps what is noted."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def noted(self, text: str) -> None:
        self.notes.append(text)


def test_a_rate_that_never_falls_is_told(recipe: Recipe, tmp_path: Path) -> None:
    for warmup, told in ((2, ["The warmup of 2 steps takes the whole training"]), (1, [])):
        short, hears = load_recipe(tmp_path / "tiny.toml", ["train.steps=2", f"train.warmup={warmup}"]), Hears()
        train(short, tmp_path / str(warmup), reporter=hears)
        assert [note[:46] for note in hears.notes] == told


@pytest.mark.parametrize("killed", [False, True])
def test_weights_that_stand_still_are_told(killed: bool, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "EPS", 1e6)
    monkeypatch.setattr(idle, "EARLIEST", 4)
    if killed:
        with pytest.raises(KilledError):
            train(recipe, tmp_path / "run", reporter=KillAt(6))
    train(recipe, tmp_path / "run", resume=killed, reporter=(hears := Hears()))
    told = [note.partition(" of")[0] for note in hears.notes]
    assert told == (["step 8: 100%"] if killed else ["step 4: 100%", "step 8: 100%"])


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_learns_too(native: bool, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "cpu_has_bf16", lambda: native)
    short, hears = load_recipe(tmp_path / "tiny.toml", ["train.precision=bf16", "train.steps=2"]), Hears()
    card = train(short, tmp_path / "run", hardware=Hardware("cpu"), reporter=hears)
    assert [note[:40] for note in hears.notes] == ([] if native else ["This CPU only emulates bfloat16, many ti"])
    assert all(value.isfinite().all() and value.dtype == torch.float32 for value in weights(card).values())


@pytest.mark.parametrize(("native", "taken"), [(True, "bf16"), (False, "fp32")])
def test_auto_precision_is_what_the_machine_is_quick_in(
    native: bool, taken: str, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: native)
    shorter = load_recipe(tmp_path / "tiny.toml", ["train.precision=auto", "train.steps=1"])
    card = train(shorter, tmp_path / "run", hardware=Hardware("cpu"))
    assert card is not None
    facts = load_card(card).training
    assert facts["precision"] == taken and facts["recipe_sha256"] == shorter.digest()
    monkeypatch.setattr(devices, "cpu_has_bf16", lambda: not native)  # as on another machine
    with pytest.raises(CheckpointError, match=r"differs in train\.precision"):
        train(shorter, tmp_path / "run", hardware=Hardware("cpu"))


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("gpu", UnknownNameError, "unknown device 'gpu'"),
        ("cuda", SettingError, "no CUDA device here"),
        ("cuda:1", SettingError, "no CUDA device here"),
        ("mps", SettingError, "no Apple GPU"),
    ],
)
def test_devices_that_are_not_here_are_told(
    name: str, kind: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(kind, match=words):
        Hardware(name).fabric("fp32")


class StopAt(Reporter):
    """Presses Ctrl-C."""

    def __init__(self, step: int) -> None:
        self.step, self.stopped_at = step, 0

    def logged(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            signal.raise_signal(signal.SIGINT)

    def stopped(self, step: int) -> None:
        self.stopped_at = step


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(recipe: Recipe, tmp_path: Path) -> None:
    reporter, before = StopAt(3), signal.getsignal(signal.SIGINT)
    assert train(recipe, tmp_path / "stopped", reporter=reporter) is None
    assert reporter.stopped_at == 3 and signal.getsignal(signal.SIGINT) is before
    whole, resumed = weights(train(recipe, tmp_path / "whole")), weights(train(recipe, tmp_path / "stopped"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_batch_in_parts_teaches_what_the_whole_does(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    whole = weights(train(recipe, tmp_path / "whole"))
    parts = weights(train(load_recipe(path, ["train.accumulate=2"]), tmp_path / "parts"))
    assert all(torch.allclose(whole[key], parts[key], atol=1e-5) for key in whole)
    with pytest.raises(SettingError, match="2 pairs of a step cannot be shared out equally to 4 parts"):
        train(load_recipe(path, ["train.accumulate=4"]), tmp_path / "odd")


def test_a_batch_of_a_later_stage_that_cannot_be_shared_out_is_refused_at_once(recipe: Recipe, tmp_path: Path) -> None:
    path, stages = tmp_path / "tiny.toml", "train.stages=[{until=4, patch=24, batch=4}]"
    with pytest.raises(SettingError, match="3 pairs of a step from step 4 cannot be shared out equally to 2 parts"):
        train(load_recipe(path, [stages, "train.accumulate=2", "train.batch=3"]), tmp_path / "run")
    assert not (tmp_path / "run" / "train.csv").exists()
    beyond = ["train.stages=[{until=4, patch=24, batch=2}, {until=99, patch=24, batch=4}]", "train.batch=3"]
    assert train(load_recipe(path, [*beyond, "train.accumulate=2"]), tmp_path / "run") is not None  # no step comes to 3


def test_a_rehearsal_has_steps_of_every_size(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    learn = Learner.learn

    def noted(self: Learner, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        sizes.append((step, tuple(batch.input.shape)))
        return learn(self, batch, step)

    monkeypatch.setattr(Learner, "learn", noted)
    stages = "train.stages=[{until=5, patch=16, batch=2}, {until=7, patch=32, batch=1}]"
    outlook = rehearse(load_recipe(tmp_path / "tiny.toml", [stages]), steps=1)
    assert outlook is not None and outlook.pairs == 5 * 2 + 2 + 2
    assert sizes == [(0, (2, 3, 16, 16)), (1, (2, 3, 16, 16)), (5, (1, 3, 32, 32)), (7, (2, 3, 24, 24))]


def test_forgotten_activations_teach_the_same(recipe: Recipe, tmp_path: Path) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    again = weights(train(load_recipe(tmp_path / "tiny.toml", ["train.checkpointing=true"]), tmp_path / "again"))
    assert all(torch.allclose(whole[key], again[key], atol=1e-6) for key in whole)


def test_stages_grow_the_crops(recipe: Recipe, tmp_path: Path) -> None:
    stages = "train.stages=[{until=2, patch=16, batch=4}, {until=3, patch=20, batch=3}]"
    staged = load_recipe(tmp_path / "tiny.toml", [stages])
    assert [staged.train.size_at(step) for step in range(4)] == [(4, 16), (4, 16), (3, 20), (2, 24)]
    assert staged.train.pairs == 4 + 4 + 3 + 5 * 2
    path = train(staged, tmp_path / "run")
    assert path is not None
    card = load_card(path)
    assert card.training["pairs"] == staged.train.pairs_before(card.training["steps"])


def test_one_bad_step_is_passed_over(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []

    class Listener(Reporter):
        def passed_over(self, step: int, count: int) -> None:
            heard.append((step, count))

    poison(monkeypatch, 2, 3)
    result = weights(train(recipe, tmp_path / "run", reporter=Listener()))
    assert heard == [(3, 1), (4, 2)]
    assert all(value.isfinite().all() for value in result.values())


def test_a_rehearsal_tells_and_leaves_nothing(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    outlook = rehearse(recipe, hardware=Hardware("cpu"))
    assert (outlook.photographs, outlook.validated, outlook.pairs) == (2, 2, 16)
    assert outlook.parameters == sum(value.numel() for value in recipe_network(recipe).parameters())
    assert outlook.memory > 1 << 27 and outlook.seconds_per_step > 0
    assert list((tmp_path / "empty").iterdir()) == []


def recipe_network(recipe: Recipe) -> nn.Module:
    network: nn.Module = get_method(recipe.method).build(recipe.method_config())
    return network


def test_pairs_on_disk_teach_too(recipe: Recipe, tmp_path: Path) -> None:
    for side in ("input", "target"):
        (tmp_path / "set" / side).mkdir(parents=True)
        for index in range(2):
            PIL.Image.open(tmp_path / "photos" / f"{index}.png").save(tmp_path / "set" / side / f"{index}.png")
    paired = load_recipe(
        tmp_path / "tiny.toml",
        ["data.clean=[]", "data.validation=[]", f'data.pairs=["{tmp_path}/set"]', f'data.validation_pairs=["{tmp_path}/set"]'],
    )
    path = train(paired, tmp_path / "run")
    assert path is not None
    card = load_card(path)
    assert card.scores[0].input == 50 and "degraded" not in card.scores[0].protocol and "degradation" not in card.training


NOISY = """
method = "cbsn"
[config]
filters = 12
num_module = 1
tail_channels = 12
[data]
noisy = ["{folder}"]
[train]
steps = 2
batch = 2
patch = 40
"""


def test_noisy_photographs_teach_only_what_needs_no_truth(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "noisy.toml"
    path.write_text(NOISY.format(folder=tmp_path / "photos"))
    assert train(load_recipe(path, ["objective.supervised=false"]), tmp_path / "blind") is not None

    def fail(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(loop, "load_data", fail)
    nothing_clean = ["data.clean=[]", "data.validation=[]", f'data.noisy=["{tmp_path}/photos"]']
    for hopeless in (load_recipe(path, ["objective.supervised=true"]), load_recipe(tmp_path / "tiny.toml", nothing_clean)):
        with pytest.raises(SettingError, match="has noisy photographs alone, and its loss compares with clean ones"):
            train(hopeless, tmp_path / "run")
        with pytest.raises(SettingError, match=r"objective\.supervised=false .* data\.denoiser"):
            rehearse(hopeless)
    assert not (tmp_path / "run").exists()


KERNELS = """
method = "infwide"
[config]
feat = 4
width = 4
n_resblock = 1
denoise = [4, 4, 4, 4]
[data]
clean = ["{folder}/photos"]
degradation = "lowlight"
validation_pairs = ["{folder}/set"]
[degradation]
margin = 18
length = [3, 10]
[train]
steps = 1
batch = 1
patch = 40
"""


def test_photographs_whose_blur_is_not_known_are_not_validated_on(recipe: Recipe, tmp_path: Path) -> None:
    for side in ("input", "target"):
        (tmp_path / "set" / side).mkdir(parents=True)
        PIL.Image.open(tmp_path / "photos" / "0.png").save(tmp_path / "set" / side / "0.png")
    path = tmp_path / "kernels.toml"
    path.write_text(KERNELS.format(folder=tmp_path))
    with pytest.raises(SettingError, match=r"infwide needs the psf of each photograph, .* Give clean photographs"):
        train(load_recipe(path), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    known = load_recipe(path, ["data.validation_pairs=[]", f'data.validation=["{tmp_path}/photos"]'])
    assert train(known, tmp_path / "run") is not None
