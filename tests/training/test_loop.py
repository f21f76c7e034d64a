from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from restorekit import devices
from restorekit.data import SyntheticBatches
from restorekit.errors import CheckpointError, NumericalError, SettingError, UnknownNameError
from restorekit.methods import Batch, get_method
from restorekit.training import Hardware, Recipe, idle, load_recipe, loop, rehearse, train
from restorekit.training.checkpoint import Progress, load, save
from restorekit.training.ema import Ema
from restorekit.training.log import CurveLog
from restorekit.training.report import Reporter
from restorekit.zoo import load_card, load_network

RECIPE = """
method = "multi-output"
[config]
width = 4
enc_blk_nums = [1]
dec_blk_nums = [1]
n_heads = 2
[data]
clean = ["{folder}"]
validation = ["{folder}"]
[degradation]
margin = 6
length = [2, 6]
[train]
steps = 8
batch = 2
patch = 24
ema = 0.5
[report]
log_every = 1
checkpoint_every = 2
validate_every = 4
samples = 1
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(2):
        coarse = PIL.Image.fromarray(rng.integers(0, 256, (18, 20, 3), dtype=np.uint8))
        coarse.resize((80, 72), PIL.Image.Resampling.BICUBIC).save(folder / f"{index}.png")
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(folder=folder))
    return load_recipe(path)


class KilledError(Exception):
    pass


class KillAt(Reporter):
    """Ends the run as a kill would, in the middle of things."""

    def __init__(self, step: int) -> None:
        self.step = step

    def logged(self, step: int, values: dict[str, float]) -> None:
        if step == self.step:
            raise KilledError


def weights(card: Path | None) -> dict[str, torch.Tensor]:
    assert card is not None
    return load_network(load_card(card)).state_dict()


def columns(path: Path, *leave_out: str) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in leave_out} for row in csv.DictReader(file)]


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


def test_another_recipe_is_not_continued_unless_it_only_reports_otherwise(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", reporter=KillAt(3))
    path = tmp_path / "tiny.toml"
    with pytest.raises(CheckpointError, match=r"differs in train\.learning_rate"):
        train(load_recipe(path, ["train.learning_rate=0.5"]), tmp_path / "run")
    train(load_recipe(path, ["report.validate_every=8", "data.memory=1", "data.validation=[]"]), tmp_path / "run")
    train(load_recipe(path, ["train.learning_rate=0.5"]), tmp_path / "run", resume=False)


def test_a_run_that_starts_afresh_leaves_nothing_of_the_one_before(recipe: Recipe, tmp_path: Path) -> None:
    keeping = load_recipe(tmp_path / "tiny.toml", ["report.keep=2", "train.learning_rate=0.01"])
    train(keeping, tmp_path / "run")
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", resume=False, reporter=KillAt(1))
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    resumed, whole = weights(train(recipe, tmp_path / "run")), weights(train(recipe, tmp_path / "whole"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@pytest.mark.parametrize(
    ("change", "best"),
    [
        ("report.validation_crop=24", False),
        ("report.validation_seed=1", False),
        ("data.validation=[]", False),
        ("data.validation_depth=[]", True),
        ("report.validate_every=2", True),
        ("data.memory=1", True),
    ],
)
def test_what_was_best_by_other_validations_is_no_more(recipe: Recipe, tmp_path: Path, change: str, best: bool) -> None:
    save(tmp_path / "last.pt", recipe, Progress(3, 1.5, 20.0, 2), {})
    assert load(tmp_path / "last.pt", recipe)[0] == Progress(3, 1.5, 20.0, 2)
    progress, _ = load(tmp_path / "last.pt", load_recipe(tmp_path / "tiny.toml", [change]))
    assert progress == (Progress(3, 1.5, 20.0, 2) if best else Progress(3, 1.5))


def test_the_best_of_other_validations_is_beaten_by_the_first(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        train(recipe, tmp_path / "run", reporter=KillAt(7))
    path = tmp_path / "run" / "checkpoints" / "last.pt"
    states = torch.load(path, weights_only=True)
    states["progress"]["best"] = 1e3
    torch.save(states, path)
    card = train(load_recipe(tmp_path / "tiny.toml", ["report.validation_crop=40"]), tmp_path / "run")
    assert card is not None and load_card(card).training["steps"] == 8


def test_a_run_starts_from_the_weights_of_a_card(recipe: Recipe, tmp_path: Path) -> None:
    card = train(recipe, tmp_path / "first")
    follow = load_recipe(tmp_path / "tiny.toml", [f"train.init={card}", "train.steps=1", "train.learning_rate=1e-12"])
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


def test_ema_is_a_running_mean_that_starts_fast() -> None:
    network = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        network.weight.fill_(0)
        ema = Ema(network, 0.9)
        network.weight.fill_(1)
        ema.update(network, 0)
        assert ema.network.weight.item() == pytest.approx(0.9)  # decay (1 + 0) / (10 + 0)
        network.weight.fill_(2)
        ema.update(network, 1000)
        assert ema.network.weight.item() == pytest.approx(0.9 * 0.9 + 0.1 * 2)


def test_damaged_checkpoints_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    save(path, recipe, Progress(3, 1.5, 20.0), {"network": {"w": torch.ones(2)}})
    progress, states = load(path, recipe)
    assert progress == Progress(3, 1.5, 20.0) and torch.equal(states["network"]["w"], torch.ones(2))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load(path, recipe)


def fail_as_torch(*_: object) -> None:
    raise RuntimeError("basic_ios::clear: iostream error")


def fail_when_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("fail", "reason"), [(fail_as_torch, "the disk may be full"), (fail_when_full, os.strerror(errno.ENOSPC))]
)
@pytest.mark.parametrize("where", ["save", "fsync"])
def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: Callable[..., None], reason: str, where: str
) -> None:
    path = tmp_path / "checkpoints" / "last.pt"
    save(path, recipe, Progress(3), {"network": {"w": torch.ones(2)}})
    monkeypatch.setattr(*((torch, "save") if where == "save" else (os, "fsync")), fail)
    with pytest.raises(CheckpointError, match=rf"last\.pt cannot be written: {reason}\. Make room and start it again"):
        save(path, recipe, Progress(4), {"network": {"w": torch.zeros(2)}})
    assert [file.name for file in path.parent.iterdir()] == ["last.pt"]
    progress, states = load(path, recipe)
    assert progress.step == 3 and torch.equal(states["network"]["w"], torch.ones(2))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("numbers", [2, 3_000_000])
def test_a_full_disk_is_told(recipe: Recipe, tmp_path: Path, numbers: int) -> None:
    (tmp_path / "last.tmp").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be written: the disk may be full"):
        save(tmp_path / "last.pt", recipe, Progress(4), {"w": torch.zeros(numbers)})
    assert not (tmp_path / "last.tmp").is_symlink() and not (tmp_path / "last.pt").exists()


def test_a_disk_that_fills_up_elsewhere_is_told(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CurveLog, "write", fail_when_full)
    with pytest.raises(CheckpointError, match=rf"run cannot be written: {os.strerror(errno.ENOSPC)}\. Make room"):
        train(recipe, tmp_path / "run")

    def fail(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(CurveLog, "write", fail)
    with pytest.raises(PermissionError):
        train(recipe, tmp_path / "run")


def test_curves_forget_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    log = CurveLog(tmp_path, "train")
    for step in (1, 2, 3):
        log.write(step, {"loss": step / 10})
    CurveLog(tmp_path, "train", start=2).write(3, {"loss": 9})
    assert columns(tmp_path / "train.csv") == [
        {"step": "1", "loss": "0.1"},
        {"step": "2", "loss": "0.2"},
        {"step": "3", "loss": "9"},
    ]


@pytest.mark.parametrize("left", [b"", b"12", b"1", b"12,0.", b"12,0.5,1.2", b"\0" * 40, b"12,0\0\0\r\n", b"\0\0\r\n13,0\0\xff"])
def test_what_a_power_cut_left_of_a_line_is_passed_over(tmp_path: Path, left: bytes) -> None:
    log = CurveLog(tmp_path, "train")
    for step in (10, 11):
        log.write(step, {"mse": step / 10, "ssim": 0.5})
    before = columns(log.path)
    log.path.write_bytes(log.path.read_bytes() + left)
    CurveLog(tmp_path, "train", start=20).write(12, {"mse": 3, "ssim": 4})
    assert columns(tmp_path / "train.csv") == [*before, {"step": "12", "mse": "3", "ssim": "4"}]
    log.path.write_bytes(b"\0" * 50)
    CurveLog(tmp_path, "train", start=20).write(13, {"mse": 3})
    assert columns(tmp_path / "train.csv") == [{"step": "13", "mse": "3"}]


def test_losses_that_begin_late_widen_the_table(tmp_path: Path) -> None:
    log = CurveLog(tmp_path, "train")
    log.write(1, {"mse": 0.5})
    log.write(2, {"mse": 0.25, "gan": 1.0})
    log.write(3, {"mse": 0.125})
    assert columns(tmp_path / "train.csv") == [
        {"step": "1", "mse": "0.5", "gan": ""},
        {"step": "2", "mse": "0.25", "gan": "1"},
        {"step": "3", "mse": "0.125", "gan": ""},
    ]


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


def poison(monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """The inputs of these steps are no numbers."""
    original = SyntheticBatches.batch

    def poisoned(self: SyntheticBatches, step: int, count: int, patch: int) -> Batch:
        batch = original(self, step, count, patch)
        return Batch(batch.input * float("nan"), batch.target, batch.extras) if step in steps else batch

    monkeypatch.setattr(SyntheticBatches, "batch", poisoned)


def test_one_bad_step_is_passed_over(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[int, int]] = []

    class Listener(Reporter):
        def passed_over(self, step: int, count: int) -> None:
            heard.append((step, count))

    poison(monkeypatch, 2, 3)
    result = weights(train(recipe, tmp_path / "run", reporter=Listener()))
    assert heard == [(3, 1), (4, 2)]
    assert all(value.isfinite().all() for value in result.values())


def test_old_checkpoints_are_kept_as_asked(recipe: Recipe, tmp_path: Path) -> None:
    train(load_recipe(tmp_path / "tiny.toml", ["report.keep=2"]), tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["last.pt", "step-00000006.pt", "step-00000008.pt"]


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


def test_two_processes_say_once_what_will_be(recipe: Recipe, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "restorekit", "train", str(tmp_path / "tiny.toml"), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and (done.stdout + done.stderr).count("Time:") == 1, done.stderr


def test_two_processes_learn_what_one_does(recipe: Recipe, tmp_path: Path) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    command = [sys.executable, "-m", "restorekit", "train", str(tmp_path / "tiny.toml"), "--device", "cpu", "--devices", "2"]
    done = subprocess.run([*command, "-o", str(tmp_path / "two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shared = weights(tmp_path / "two" / "tiny.toml")
    assert all(torch.allclose(whole[key], shared[key], atol=1e-5) for key in whole)
    assert columns(tmp_path / "two" / "validation.csv")[-1]["step"] == "8"


STOPPED = """
import signal, sys
from pathlib import Path
from restorekit.training import load_recipe
from restorekit.training.loop import Hardware, train
from restorekit.training.report import Reporter

class StopAt(Reporter):
    def logged(self, step, values):
        if step == 3:
            signal.raise_signal(signal.SIGINT)
    def stopped(self, step):
        print("stopped", step)

train(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), hardware=Hardware("cpu", 2), reporter=StopAt())
"""
"""Ctrl-C for one process of two: as the other's reporter tells nothing, it is not asked."""


def test_two_processes_stop_together_when_one_is_asked_to(recipe: Recipe, tmp_path: Path) -> None:
    whole = weights(train(recipe, tmp_path / "whole"))
    (tmp_path / "stopped.py").write_text(STOPPED)
    command = [sys.executable, str(tmp_path / "stopped.py"), str(tmp_path / "tiny.toml"), str(tmp_path / "two")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.split() == ["stopped", "3"], done.stderr
    resumed = weights(train(recipe, tmp_path / "two"))
    assert all(torch.allclose(whole[key], resumed[key], atol=1e-5) for key in whole)


ADVERSARIAL = """
method = "rrformer"
[config]
dim = 8
depths = [1]
heads = [2]
n_feats = 8
hyper_levels = 1
[objective]
lambda_gan = 0.01
gan_from = 2
discriminator = "disc_patch"
[data]
clean = ["{folder}"]
degradation = "reflection"
[train]
steps = 5
batch = 2
patch = 64
learning_rate = 1e-3
clip = 1.0
[report]
log_every = 1
checkpoint_every = 1
"""


def test_a_discriminator_learns_beside_the_network_and_is_resumed(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "gan.toml"
    path.write_text(ADVERSARIAL.format(folder=tmp_path / "photos"))
    adversarial = load_recipe(path)
    whole = weights(train(adversarial, tmp_path / "whole"))
    rows = columns(tmp_path / "whole" / "train.csv")
    assert [bool(row["gan"] and row["discriminator"]) for row in rows] == [False, False, True, True, True]
    with pytest.raises(KilledError):
        train(adversarial, tmp_path / "killed", reporter=KillAt(4))
    resumed = weights(train(adversarial, tmp_path / "killed"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    states = torch.load(tmp_path / "whole" / "checkpoints" / "last.pt", weights_only=True)
    assert states["discriminator_optimiser"]["state"][0]["step"] == 3


def test_a_discriminator_forgets_a_bad_step(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "gan.toml"
    path.write_text(ADVERSARIAL.format(folder=tmp_path / "photos"))
    poison(monkeypatch, 3)
    train(load_recipe(path), tmp_path / "run")
    states = torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)
    assert states["discriminator_optimiser"]["state"][0]["step"] == 2  # steps 2 and 4
    assert all(value.isfinite().all() for part in ("discriminator", "network") for value in states[part].values())
