"""What learns: a network, its average, its optimiser, and a discriminator beside it where the objective has one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from restorekit.errors import NumericalError, SettingError, UnknownNameError
from restorekit.methods import Batch, Method, Objective
from restorekit.training.activations import checkpoint_blocks
from restorekit.training.dilated import keep_dilated_planar
from restorekit.training.ema import Ema
from restorekit.training.idle import idle_note
from restorekit.training.recipe import Recipe, TrainSettings
from restorekit.training.schedule import learning_rate


class Learner:
    """Takes a batch and becomes a little better.

    Attributes:
        network: as it stands; what is trained.
        ema: its running average; what is validated and shipped.
        passed_over: steps in a row whose gradient was not finite.
    """

    def __init__(self, recipe: Recipe, method: Method[Any], config: Any, fabric: Fabric) -> None:
        self.recipe, self.settings, self.fabric = recipe, recipe.train, fabric
        self.objective: Objective = method.objective(config, recipe.objective)
        self.network = self._first_network(method, config).to(fabric.device)
        self.ema = Ema(self.network, self.settings.ema)
        self.passed_over = 0
        if self.settings.checkpointing:
            checkpoint_blocks(self.network)
        wrapped: nn.Module = torch.compile(self.network) if self.settings.compile else self.network  # type: ignore[assignment]
        own = optimiser(self.network, self.settings, fabric.device, self.settings.rates)
        self.wrapped, self.optimiser = fabric.setup(wrapped, own)
        self.discriminator = self.objective.discriminator
        if self.discriminator is not None:
            self.discriminator.to(fabric.device).train()
            own = optimiser(self.discriminator, self.settings, fabric.device)
            self.wrapped_discriminator, self.discriminator_optimiser = fabric.setup(self.discriminator, own)

    def _first_network(self, method: Method[Any], config: Any) -> nn.Module:
        """The network with its first weights, in training mode but for what normalises by the statistics of its card."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            network: nn.Module = method.build(config).train()
        if self.settings.init:
            from restorekit.zoo import load_card, load_network

            parts = _begin_with(network, load_network(load_card(self.settings.init)).state_dict(), self.settings)
            if self.settings.keep_statistics:
                _keep_statistics(network, parts)
        else:
            self.objective.prepare(network)
        if self.settings.channels_last:
            network = network.to(memory_format=torch.channels_last)
        if self.fabric.device.type == "cpu" and self.fabric.strategy.precision.precision == "bf16-mixed":
            keep_dilated_planar(network)
        return network

    def states(self) -> dict[str, Any]:
        """Everything a run needs to go on, as plain state dicts."""
        states = {
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        if self.discriminator is not None:
            states["discriminator"] = self.discriminator.state_dict()
            states["discriminator_optimiser"] = self.discriminator_optimiser.state_dict()
        return states

    def load_states(self, states: dict[str, Any]) -> None:
        """The inverse of :meth:`states`; KeyError, RuntimeError or ValueError if they do not fit."""
        self.network.load_state_dict(states["network"])
        self.ema.network.load_state_dict(states["ema"])
        self.optimiser.load_state_dict(states["optimiser"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(states["discriminator"])
            self.discriminator_optimiser.load_state_dict(states["discriminator_optimiser"])

    def learn(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Take step number ``step`` with this process's share of a batch, and return the losses before it, their mean over the
        parts it is cut into, and the gradient's norm before clipping, ``gradient_norm``.

        All randomness of networks, such as stochastic depth, follows from the seed, the step and the process, so that a resumed
        run draws the same.

        Raises:
            NumericalError: if the gradient was not finite in more steps in a row than ``patience``.
            SettingError: if the network is to be compiled and cannot be.
        """
        torch.manual_seed((self.settings.seed * 1_000_003 + step) * 1_009 + self.fabric.global_rank)
        parts = [self._to_device(part) for part in split(batch, self.settings.accumulate)]
        rate = learning_rate(step, self.settings)
        statistics = [(kept, kept.clone()) for name, kept in self.network.named_buffers() if "running_" in name]
        losses = {} if self.discriminator is None else self._teach_discriminator(parts, rate)
        for index, part in enumerate(parts):
            with self.fabric.no_backward_sync(self.wrapped, enabled=index < len(parts) - 1):
                found = self._losses(part)
                self.fabric.backward(torch.stack(list(found.values())).sum() / len(parts))
            for name, value in found.items():
                losses[name] = losses.get(name, 0) + value.detach() / len(parts)
        norm = self._clip()
        if math.isfinite(float(norm)):
            self.passed_over = 0
            _step(self.optimiser, rate)
            self.ema.update(self.network, step)
        else:
            self._pass_over(step, statistics)
        return losses | {"gradient_norm": norm}

    def idle_note(self) -> str:
        """A sentence on the weights that have stopped to learn, if they are worth telling; else nothing."""
        return idle_note(self.network, self.optimiser.optimizer)

    def _losses(self, part: Batch) -> dict[str, Tensor]:
        try:
            return self.objective(self.wrapped, part)
        except torch._dynamo.exc.TorchDynamoException as error:  # also where there is no compiler
            words = next(iter(str(error).splitlines()), type(error).__name__)
            raise SettingError(f"this network cannot be compiled here: {words}", "Set train.compile=false") from error

    def _teach_discriminator(self, parts: list[Batch], rate: float) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for part in parts:
            found = self.objective.discriminator_loss(self.wrapped, part, self.wrapped_discriminator, keep=len(parts) == 1)
            for name, value in found.items():
                self.fabric.backward(value / len(parts))
                losses[name] = losses.get(name, torch.zeros_like(value)) + value.detach() / len(parts)
        if losses and bool(_gradient_norm(self.wrapped_discriminator).isfinite()):
            _step(self.discriminator_optimiser, rate)
        else:
            self.discriminator_optimiser.zero_grad(set_to_none=True)
        return losses

    def _clip(self) -> Tensor:
        """Clip the gradient and return its norm before, which clipping by value would make finite whatever it was."""
        settings, norm = self.settings, _gradient_norm(self.network)
        if settings.clip_value:
            self.fabric.clip_gradients(self.wrapped, self.optimiser, clip_val=settings.clip_value)
        if settings.clip:
            self.fabric.clip_gradients(self.wrapped, self.optimiser, max_norm=settings.clip, error_if_nonfinite=False)
        return norm

    def _pass_over(self, step: int, statistics: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Take back what a step did: its gradient, and what it changed in ``statistics``, pairs of what is and what was."""
        self.optimiser.zero_grad(set_to_none=True)
        for now, before in statistics:
            now.copy_(before)
        self.passed_over += 1
        if self.passed_over > self.settings.patience:
            raise NumericalError(
                f"the gradient of '{self.recipe.name}' is not finite, {self.passed_over} steps in a row up to step {step + 1}",
                "Lower train.learning_rate or set train.precision=fp32, and start again with --fresh",
            )

    def _to_device(self, batch: Batch) -> Batch:
        device = self.fabric.device
        memory = torch.channels_last if self.settings.channels_last else torch.contiguous_format
        image = batch.input.to(device, memory_format=memory)
        return Batch(image, batch.target.to(device), {name: value.to(device) for name, value in batch.extras.items()})


def optimiser(
    network: nn.Module, settings: TrainSettings, device: torch.device, rates: Mapping[str, float] | None = None
) -> Optimizer:
    """The optimiser a recipe asks for, over all parameters that are trained, in a group for each factor of ``rates``.

    Raises:
        UnknownNameError: for a part the network does not have.
    """
    kind = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[settings.optimiser]
    return kind(
        _groups(network, rates or {}),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        amsgrad=settings.amsgrad,
        fused=device.type in ("cpu", "cuda"),
    )


def _groups(network: nn.Module, rates: Mapping[str, float]) -> list[dict[str, Any]]:
    """Parameters by the factor of their rate; of several that fit, the longest name counts. A factor of 0 freezes them."""
    names = [name for name, _ in network.named_parameters()]
    for part in rates:
        if not any(_is_of(name, part) for name in names):
            raise UnknownNameError("part", part, sorted({name.partition(".")[0] for name in names}), "train.rates")
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            fitting = max((part for part in rates if _is_of(name, part)), key=len, default="")
            factor = rates.get(fitting, 1.0)
            parameter.requires_grad_(factor > 0)  # what stays as it is needs no gradient, which costs twice an answer
            groups.setdefault(factor, []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


def _is_of(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}.")


def split(batch: Batch, parts: int) -> Iterator[Batch]:
    """The batch in equal parts."""
    size = batch.input.shape[0] // parts
    for begin in range(0, size * parts, size):
        yield batch.part(slice(begin, begin + size))


def _begin_with(network: nn.Module, state: dict[str, Tensor], settings: TrainSettings) -> set[str]:
    """Load weights, and return which parts of the network have some. Parts that have none at all, such as one that only training
    needs, stay as they are; if it may grow, so does everything else that has none.
    """
    parts = {key.partition(".")[0] for key in state}
    own = network.state_dict()
    fresh = {key: value for key, value in own.items() if settings.grow or key.partition(".")[0] not in parts}
    both = fresh | state
    unlike = sorted(key for key in own.keys() | both if key not in own or key not in both or own[key].shape != both[key].shape)
    if unlike:
        raise SettingError(
            f"the weights of {settings.init!r} do not fit the recipe's network: {len(unlike)} differ, the first {unlike[0]}",
            "Make [config] that of the card, or if it only has more blocks, set train.grow = true",
        )
    network.load_state_dict(both)
    return parts


def _keep_statistics(network: nn.Module, parts: Collection[str]) -> None:
    for name, module in network.named_modules():
        if isinstance(module, _BatchNorm) and name.partition(".")[0] in parts:
            module.eval()


def _gradient_norm(network: nn.Module) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])


def _step(optimiser: Any, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("factor", 1.0)  # checkpoints of before there were factors have none
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
