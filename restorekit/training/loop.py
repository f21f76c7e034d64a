"""The training loop, on Lightning Fabric."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from restorekit.devices import cpu_has_bf16, peak_memory, resolve_device, resolve_precision
from restorekit.errors import CheckpointError, NumericalError, SettingError
from restorekit.methods import Method, get_method
from restorekit.training import checkpoint, idle, requirements, run_folder
from restorekit.training.checkpoint import Progress
from restorekit.training.learner import Learner
from restorekit.training.log import CurveLog, forget_boards
from restorekit.training.recipe import Recipe
from restorekit.training.report import Reporter
from restorekit.training.result import carry_over, training_facts, write_result
from restorekit.training.schedule import learning_rate
from restorekit.training.sources import Ahead, load_data
from restorekit.training.stopping import StopRequest, stop_request
from restorekit.training.validation import Scores, in_tiles_of, validate

_PATIENCE = timedelta(days=2)
"""How long processes wait for the first one, which alone validates: whole photographs of a large set take hours."""


@dataclass(frozen=True)
class Hardware:
    """What a training runs on.

    Attributes:
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
        devices: processes on each machine, a device each.
        nodes: machines.
    """

    device: str = "auto"
    devices: int = 1
    nodes: int = 1

    def precision(self, wanted: Literal["auto", "fp32", "bf16"]) -> Literal["fp32", "bf16"]:
        """``"fp32"`` or ``"bf16"``: what a recipe's ``train.precision`` comes to here."""
        if wanted != "auto":
            return wanted
        return "bf16" if resolve_precision("auto", resolve_device(self.device)) == "bf16" else "fp32"

    def fabric(self, precision: str) -> Fabric:
        """A launched Fabric. Under ``torchrun`` it takes the numbers of processes from there.

        Raises:
            UnknownNameError, SettingError: if there is no such device, or only one for several processes.
        """
        device = resolve_device(self.device)
        torchrun = "TORCHELASTIC_RUN_ID" in os.environ
        devices = int(os.environ["LOCAL_WORLD_SIZE"]) if torchrun else self.devices
        nodes = int(os.environ["WORLD_SIZE"]) // devices if torchrun else self.nodes
        numbered = ":" in self.device
        if numbered and devices * nodes > 1:
            raise SettingError(f"{self.device} is one device for {devices * nodes} processes", "Take the device cuda")
        fabric = Fabric(
            accelerator="gpu" if device.type == "cuda" else device.type,
            devices=[device.index] if numbered else devices,
            num_nodes=nodes,
            strategy=DDPStrategy(find_unused_parameters=True, timeout=_PATIENCE) if devices * nodes > 1 else "auto",
            precision={"fp32": "32-true", "bf16": "bf16-mixed"}[precision],  # type: ignore[arg-type]
        )
        fabric.launch()
        return fabric


@dataclass(frozen=True)
class Outlook:
    """What a training will be, found by trying.

    Attributes:
        photographs: photographs, or pairs, to train on.
        validated: those to validate on.
        parameters: of the network.
        pairs: that all steps see together.
        seconds_per_step: of the first stage, once it is warm.
        memory: bytes the process, or the GPU, held at most.
        device: where.
        precision: in which.
    """

    photographs: int
    validated: int
    parameters: int
    pairs: int
    seconds_per_step: float
    memory: int
    device: str
    precision: str


def train(
    recipe: Recipe,
    run: Path,
    *,
    resume: bool = True,
    hardware: Hardware | None = None,
    reporter: Reporter | None = None,
) -> Path | None:
    """Train what ``recipe`` says and return the path of the card that was written; None if the run was asked to stop before its
    end.

    The run folder receives ``checkpoints/last.pt``, the curves ``train.csv`` and ``validation.csv``, sample pictures, and card
    and weights, written anew whenever a validation beats all before. A run that was stopped or killed at any moment and is
    started again goes on from its last checkpoint and ends, on a CPU, with the same bits as one that never was: each step's pairs
    depend on the seed and the step's number alone. Several processes share out the pairs of each step, so that they learn what
    one would, but for degradations, which each draws for itself.

    Args:
        recipe: what to do.
        run: folder for everything the run writes; made if missing.
        resume: continue from a checkpoint in ``run`` if there is one; otherwise start afresh.
        hardware: where; by default one process on the best device.
        reporter: where progress is told; silent by default.

    Raises:
        DataError, CheckpointError, SettingError: if data, checkpoint or recipe do not hold.
        NumericalError: if gradients are no longer finite, or no validation was.
        RestoreKitError: if another process trains in ``run``.
    """
    with ExitStack() as held:
        try:
            return Trainer(recipe, run, resume, hardware or Hardware(), reporter or Reporter(), held).run()
        except OSError as error:
            if (told := run_folder.as_told(run, error)) is None:
                raise
            raise told from error


def rehearse(recipe: Recipe, *, hardware: Hardware | None = None, steps: int = 3) -> Outlook | None:
    """Take a few steps of ``recipe`` without leaving anything, and tell what the training will be; of several processes the first
    one tells, the others give None.
    """
    return Trainer(recipe, None, False, hardware or Hardware(), Reporter()).rehearse(steps)


class Trainer:
    """One run: its data, its learner, and what it tells. Use :func:`train`.

    Args:
        recipe: what to do.
        folder: of the run; None for what leaves nothing.
        resume: continue from a checkpoint there.
        hardware: where.
        reporter: where progress is told.
        held: what lets go of the folder in the end.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path | None,
        resume: bool,
        hardware: Hardware,
        reporter: Reporter,
        held: ExitStack | None = None,
    ) -> None:
        self.recipe, self.folder, self.settings, self.resumes = recipe, folder or Path(), recipe.train, resume
        self.precision = hardware.precision(self.settings.precision)
        # What a checkpoint holds: elsewhere "auto" may come to another precision, in which the run must not go on.
        self.resolved = replace(recipe, train=replace(recipe.train, precision=self.precision))
        self.fabric = hardware.fabric(self.precision)
        self.leads = self.fabric.is_global_zero
        self.reporter = reporter if self.leads else Reporter()
        if self.precision == "bf16" and self.fabric.device.type == "cpu" and not cpu_has_bf16():
            self.reporter.noted("This CPU only emulates bfloat16, many times slower than float32: set train.precision to auto")
        if 0 < self.settings.steps <= self.settings.warmup:
            self.reporter.noted(
                f"The warmup of {self.settings.warmup} steps takes the whole training, whose rate is never lowered: "
                "set train.warmup to a tenth of the steps or less"
            )
        self.method: Method[Any] = get_method(recipe.method)
        self.config = recipe.method_config()
        requirements.require_shares(recipe.train, self.fabric.world_size * recipe.train.accumulate)
        requirements.require_truth(recipe)
        requirements.require_kernels(self.method, recipe)
        if folder is not None and not resume:
            requirements.require_other_folder(recipe, folder)
        if folder is not None and held is not None:  # better refused now than after hours of decoding
            held.enter_context(run_folder.holding(folder, self.fabric))
        self.source, self.validation = load_data(recipe, self.fabric.device, self.reporter.noted)
        requirements.require_extras(self.method, self.validation)
        requirements.require_answer(self.method, self.validation)
        self.ahead = Ahead(self.source, self.fabric.global_rank, self.fabric.world_size)
        self.learner = Learner(recipe, self.method, self.config, self.fabric)
        if tile := recipe.report.validation_tile:  # better refused now than after thousands of steps
            in_tiles_of(self.fabric, self.method, self.config, self.learner.ema.network, tile)
        self.called, self.validated = recipe.name, False
        self.progress = self._restore() if resume else Progress()

    @property
    def checkpoint_path(self) -> Path:
        """Where the run continues from."""
        return self.folder / run_folder.CHECKPOINTS / "last.pt"

    def _restore(self) -> Progress:
        there = self.checkpoint_path.exists()
        seen = self._total(float(there))
        if 0 < seen < self.fabric.world_size:  # all of them say so: those that see it must not wait for the others
            raise CheckpointError(
                f"{self.checkpoint_path} is seen by {seen:.0f} of {self.fabric.world_size} processes",
                "Put the run into a folder that all machines share, or copy the checkpoint to each",
            )
        if not there:
            return Progress()
        progress, states = checkpoint.load(self.checkpoint_path, self.resolved)
        try:
            self.learner.load_states(states)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise checkpoint.unfit(self.checkpoint_path, error) from None
        self.called = states["name"]
        return progress

    def run(self) -> Path | None:
        """Take all steps that remain, then write card and weights."""
        report, progress = self.recipe.report, self.progress
        if self.leads:
            self._prepare_folder()
        self.train_log = CurveLog(self.folder, "train", progress.step, silent=not self.leads)
        self.validation_log = CurveLog(self.folder, "validation", progress.step, silent=not self.leads)
        card = self.folder / f"{self.recipe.name}.toml"
        began, before = time.perf_counter(), progress.seconds
        with self.reporter.running(self.recipe, progress, f"{self.fabric.device}, {self.precision}"), stop_request() as stop:
            if report.validate_first and self.validation is not None and progress.step == 0:
                card = self._validate()
            while progress.step < self.settings.steps and not self._gives_up():
                losses = self._step(progress.step)
                progress.step += 1
                progress.seconds = before + time.perf_counter() - began
                last = progress.step == self.settings.steps
                if progress.step % report.log_every == 0 or last:
                    self._log(losses)
                if self.validation is not None and (progress.step % report.validate_every == 0 or last):
                    card = self._validate()
                stops = self._is_to_stop(stop)
                if progress.step % report.checkpoint_every == 0 or last or stops or self._gives_up():
                    self._save()
                if stops and not last:
                    self.reporter.stopped(progress.step)
                    return None
                if not last and self._gives_up():
                    self.reporter.gave_up(progress.step, progress.step - progress.since * report.validate_every)
        if self._total(float(self.leads and self._has_diverged(card))):  # all of them say so: none must wait for the first one
            raise NumericalError(
                f"the training of {self.recipe.name} has diverged, and there is no result worth a card",
                "Lower train.learning_rate, set train.clip, or train in fp32, and start again with --fresh",
            )
        if self.leads and (self.validation is None or not card.exists()):
            card = self._write_result(None)
        self.fabric.barrier()
        self.reporter.ended(card)
        return card

    def _prepare_folder(self) -> None:
        """Remove what was left by a run that this one does not go on with, and call what it goes on with by its new name."""
        if not self.resumes:
            run_folder.clear(self.folder, self.recipe.name)
        if self.progress.step == 0:
            forget_boards(self.folder)
        if self.called != self.recipe.name and not carry_over(self.recipe, self.folder, self.called):
            self.progress.best, self.progress.since = -math.inf, 0

    def _has_diverged(self, card: Path) -> bool:
        """Whether no validation gave a number, or where no card came of any, the weights are none."""
        if self.validated and self.progress.best == -math.inf:
            return True
        needed = self.validation is None or not card.exists()
        return needed and not all(bool(value.isfinite().all()) for value in self.learner.ema.network.state_dict().values())

    def rehearse(self, steps: int) -> Outlook | None:
        """Take ``steps`` steps, after one that is not timed, and one of each further size; tell what was found, in the leading
        process.
        """
        self._step(0)
        began = time.perf_counter()
        for step in range(1, steps + 1):
            self._step(step)
        seconds = (time.perf_counter() - began) / steps
        for step in sorted(self.settings.sizes().values())[1:]:
            self._step(step)
        if not self.leads:
            return None
        return Outlook(
            photographs=len(self.source),
            validated=len(self.validation or ()),
            parameters=sum(parameter.numel() for parameter in self.learner.network.parameters()),
            pairs=self.settings.pairs,
            seconds_per_step=seconds,
            memory=peak_memory(self.fabric.device),
            device=str(self.fabric.device),
            precision=self.precision,
        )

    def _is_to_stop(self, stop: StopRequest) -> bool:
        """Whether anybody asked, in any process: all of them end after the same step."""
        return self._total(float(stop.made)) > 0

    def _total(self, value: float) -> float:
        """The sum of ``value`` over all processes."""
        if self.fabric.world_size == 1:
            return value
        return float(self.fabric.all_reduce(torch.tensor(value, device=self.fabric.device), reduce_op="sum"))  # type: ignore[arg-type]

    def _gives_up(self) -> bool:
        """Whether validations have brought nothing better for as long as the recipe has patience with them."""
        patience = self.recipe.report.give_up_after
        return bool(patience) and int(self.fabric.broadcast(self.progress.since)) >= patience

    def _step(self, step: int) -> dict[str, Tensor]:
        size, next_size = self.settings.size_at(step), self.settings.size_at(step + 1)
        return self.learner.learn(self.ahead.batch(step, size, next_size), step)

    def _save(self) -> None:
        if self.leads:
            checkpoint.save(self.checkpoint_path, self.resolved, self.progress, self.learner.states())
            checkpoint.keep(self.checkpoint_path, self.progress.step, self.recipe.report.keep)
        self.fabric.barrier()

    def _log(self, losses: dict[str, Tensor]) -> None:
        share = self.fabric.world_size  # each process knows the losses of its own pairs
        values = {name: self._total(float(value)) / share for name, value in losses.items()}
        step = self.progress.step
        values["learning_rate"] = learning_rate(step - 1, self.settings)
        self.train_log.write(step, values)
        self.reporter.logged(step, values)
        if self.learner.passed_over:
            self.reporter.passed_over(step, self.learner.passed_over)

    def _validate(self) -> Path:
        assert self.validation is not None
        card = self.folder / f"{self.recipe.name}.toml"
        if self.leads:
            step, report, network = self.progress.step, self.recipe.report, self.learner.ema.network
            pictures = self.folder / "samples" / f"step-{step:07d}"
            scores = validate(
                self.fabric,
                self.method,
                self.config,
                network,
                self.learner.objective,
                self.validation,
                pictures,
                report.samples,
                report.validation_tile,
                step,
            )
            self.validated = True
            values = scores.values | {"hours": self.progress.seconds / 3600}
            self.validation_log.write(step, values)
            self.reporter.validated(step, values, scores.summary, scores.merit)
            if step >= idle.EARLIEST and (note := self.learner.idle_note()):
                self.reporter.noted(f"step {step}: {note}")
            self.progress.since += 1
            if scores.merit > self.progress.best:
                self.progress.best, self.progress.since = scores.merit, 0
                card = self._write_result(scores)
        self.fabric.barrier()
        return card

    def _write_result(self, scores: Scores | None) -> Path:
        facts = training_facts(self.recipe, self.progress, self.fabric.device, self.fabric.world_size, self.precision)
        return write_result(self.recipe, self.folder, self.learner.ema.network, facts, scores)
