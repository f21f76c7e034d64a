"""The training loop, on Lightning Fabric."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from restorekit.data import CleanPhotographs, SyntheticBatches, SyntheticSet
from restorekit.degradations import get_degradation
from restorekit.errors import CheckpointError, NumericalError
from restorekit.methods import Batch, Method, get_method
from restorekit.training import checkpoint
from restorekit.training.checkpoint import Progress
from restorekit.training.ema import Ema
from restorekit.training.log import CurveLog
from restorekit.training.recipe import Recipe
from restorekit.training.report import Reporter
from restorekit.training.result import write_result
from restorekit.training.schedule import learning_rate
from restorekit.training.validation import Scores, validate


def train(recipe: Recipe, run: Path, *, resume: bool = True, device: str = "auto", reporter: Reporter | None = None) -> Path:
    """Train what ``recipe`` says and return the path of the card that was written.

    The run folder receives ``checkpoints/last.pt``, the curves ``train.csv`` and ``validation.csv``, sample pictures, and card
    and weights, written anew whenever a validation beats all before. A run that was killed at any moment and is started again
    goes on from its last checkpoint and ends, on a CPU, with the same bits as one that was never killed: each step's pairs depend
    on the seed and the step's number alone.

    Args:
        recipe: what to do.
        run: folder for everything the run writes; made if missing.
        resume: continue from a checkpoint in ``run`` if there is one; otherwise start afresh.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        reporter: where progress is told; silent by default.

    Raises:
        DataError, CheckpointError, SettingError: if data, checkpoint or recipe do not hold.
        NumericalError: if the loss is no longer finite.
    """
    return Trainer(recipe, run, resume, device, reporter or Reporter()).run()


class Trainer:
    """One run: what it is made of, and its steps. Use :func:`train`."""

    def __init__(self, recipe: Recipe, folder: Path, resume: bool, device: str, reporter: Reporter) -> None:
        self.recipe, self.folder, self.reporter = recipe, folder, reporter
        self.settings = recipe.train
        precision = {"fp32": "32-true", "bf16": "bf16-mixed"}[self.settings.precision]
        self.fabric = Fabric(accelerator="gpu" if device == "cuda" else device, devices=1, precision=precision)  # type: ignore[arg-type]
        self.method: Method[Any] = get_method(recipe.method)
        self.config = recipe.method_config()
        self.objective = self.method.objective(self.config, recipe.objective)
        degradation = get_degradation(recipe.data.degradation, recipe.degradation)
        self.validation = None
        if recipe.data.validation:
            crop = recipe.report.validation_crop
            self.validation = SyntheticSet(recipe.data.validation, degradation, recipe.report.validation_seed, crop)
        photographs = CleanPhotographs(
            recipe.data.clean, halve=recipe.data.halve, pyramid=recipe.data.pyramid, device=self.fabric.device
        )
        self.batches = SyntheticBatches(photographs, degradation, self.settings.seed)
        self._build_network()
        self.progress = self._restore() if resume else Progress()
        self.train_log = CurveLog(folder, "train", self.progress.step)
        self.validation_log = CurveLog(folder, "validation", self.progress.step)

    def _build_network(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.settings.seed)
            network = self.method.build(self.config)
        if self.settings.init:
            from restorekit.zoo import load_card, load_network

            network.load_state_dict(load_network(load_card(self.settings.init)).state_dict())
        if self.settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        self.network = network.to(self.fabric.device).train()
        self.ema = Ema(self.network, self.settings.ema)
        optimiser = torch.optim.AdamW(
            self.network.parameters(),
            lr=self.settings.learning_rate,
            betas=self.settings.betas,
            weight_decay=self.settings.weight_decay,
            fused=self.fabric.device.type in ("cpu", "cuda"),
        )
        wrapped: nn.Module = torch.compile(self.network) if self.settings.compile else self.network  # type: ignore[assignment]
        self.wrapped, self.optimiser = self.fabric.setup(wrapped, optimiser)

    @property
    def checkpoint_path(self) -> Path:
        """Where the run continues from."""
        return self.folder / "checkpoints" / "last.pt"

    def _states(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def _restore(self) -> Progress:
        if not self.checkpoint_path.exists():
            return Progress()
        progress, states = checkpoint.load(self.checkpoint_path, self.recipe)
        try:
            self.network.load_state_dict(states["network"])
            self.ema.network.load_state_dict(states["ema"])
            self.optimiser.load_state_dict(states["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.checkpoint_path} does not fit the recipe: {error}", "Start again with --fresh"
            ) from None
        return progress

    def run(self) -> Path:
        """Take all steps that remain, then write card and weights."""
        report, progress = self.recipe.report, self.progress
        card = self.folder / f"{self.recipe.name}.toml"
        began, before = time.perf_counter(), progress.seconds
        with self.reporter.running(self.recipe, progress, str(self.fabric.device)):
            while progress.step < self.settings.steps:
                loss = self._step(progress.step)
                progress.step += 1
                progress.seconds = before + time.perf_counter() - began
                last = progress.step == self.settings.steps
                if progress.step % report.log_every == 0 or last:
                    self._log(loss)
                if self.validation is not None and (progress.step % report.validate_every == 0 or last):
                    card = self._validate()
                if progress.step % report.checkpoint_every == 0 or last:
                    checkpoint.save(self.checkpoint_path, self.recipe, progress, self._states())
        if self.validation is None or not card.exists():
            card = write_result(self.recipe, self.folder, self.ema.network, progress, None, self.fabric.device)
        return card

    def _step(self, step: int) -> dict[str, Tensor]:
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.settings)
        batch = self._to_device(self.batches.batch(step, self.settings.batch, self.settings.patch))
        losses = self.objective(self.wrapped, batch)
        self.fabric.backward(torch.stack(list(losses.values())).sum())
        if self.settings.clip:
            norm = self.fabric.clip_gradients(self.wrapped, self.optimiser, max_norm=self.settings.clip, error_if_nonfinite=False)
            losses = losses | {"gradient": torch.as_tensor(norm)}
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.ema.update(self.network, step)
        return {name: value.detach() for name, value in losses.items()}

    def _to_device(self, batch: Batch) -> Batch:
        memory = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        image = batch.input.to(self.fabric.device, memory_format=memory)
        target = batch.target.to(self.fabric.device)
        return Batch(image, target, {name: value.to(self.fabric.device) for name, value in batch.extras.items()})

    def _log(self, losses: dict[str, Tensor]) -> None:
        values = {name: float(value) for name, value in losses.items()}
        step = self.progress.step
        if not all(map(math.isfinite, values.values())):
            raise NumericalError(
                f"the loss is not finite at step {step} of '{self.recipe.name}'",
                "Lower train.learning_rate or set train.precision=fp32, and start again with --fresh",
            )
        values["learning_rate"] = learning_rate(step - 1, self.settings)
        self.train_log.write(step, values)
        self.reporter.logged(step, values)

    def _validate(self) -> Path:
        assert self.validation is not None
        step, report = self.progress.step, self.recipe.report
        pictures = self.folder / "samples" / f"step-{step:07d}"
        scores: Scores = validate(
            self.fabric, self.method, self.config, self.ema.network, self.validation, pictures, report.samples
        )
        values = {
            "psnr": scores.psnr,
            "ssim": scores.ssim,
            "gain": scores.gain,
            "worst_gain": scores.worst_gain,
            "hours": self.progress.seconds / 3600,
        }
        self.validation_log.write(step, values)
        self.reporter.validated(step, values)
        card = self.folder / f"{self.recipe.name}.toml"
        if scores.psnr > self.progress.best:
            self.progress.best = scores.psnr
            card = write_result(self.recipe, self.folder, self.ema.network, self.progress, scores, self.fabric.device)
        return card
