"""What RRFormer is taught by: pixels and their gradients, what VGG-19 sees, and a discriminator that learns beside it.

Source: "Benchmarking Ultra-High-Definition Image Reflection Removal" (2023), after ERRNet (CVPR 2019); relativistic losses: "The
relativistic discriminator" (ICLR 2019).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from restorekit.losses import decibels
from restorekit.methods.base import Batch, Objective
from restorekit.methods.rrformer import RrformerObjectiveSettings
from restorekit.methods.rrformer.discriminators import DISCRIMINATORS
from restorekit.methods.rrformer.perceptual import CONTEXT, CONV5_2, context_loss, deep_feature_loss, feature_loss
from restorekit.methods.rrformer.vgg import Vgg19, imagenet_weights

Gan = Literal["rasgan", "rsgan", "sgan"]


def gradient_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """The mean absolute errors of vertical and of horizontal forward differences of ``(B, C, H, W)``, added."""
    difference = prediction - target
    return difference.diff(dim=-2).abs().mean() + difference.diff(dim=-1).abs().mean()


def generator_loss(real: Tensor, fake: Tensor, kind: Gan = "rasgan") -> Tensor:
    """What the network pays for scores ``(B, ...)`` of true and of restored images."""
    if kind == "sgan":
        return F.softplus(-fake).mean()
    return discriminator_loss(fake, real, kind)


def discriminator_loss(real: Tensor, fake: Tensor, kind: Gan = "rasgan") -> Tensor:
    """What the discriminator pays for its scores ``(B, ...)``; the relativistic ones compare with the other kind of image.

    Cross entropy of ``real`` against 1 and ``fake`` against 0 (``"sgan"``), of ``real - fake`` against 1 (``"rsgan"``), or of
    ``real - mean(fake)`` against 1 and ``fake - mean(real)`` against 0 (``"rasgan"``), whose means are over the batch.
    """
    if kind == "rsgan":
        return F.softplus(fake - real).mean()
    if kind == "rasgan":
        real, fake = real - fake.mean(0, keepdim=True), fake - real.mean(0, keepdim=True)
    return (F.softplus(-real).mean() + F.softplus(fake).mean()) / 2


class ReflectionRemoval(Objective):
    """The objective of ``rrformer``, called as any other, for the network's own losses.

    ``mse MSE + gradient L_grad - psnr PSNR + lambda_vgg L_vgg + lambda_gan L_adv``, or for pairs that are not aligned another
    fidelity in place of the first four; see :class:`~restorekit.methods.rrformer.RrformerObjectiveSettings`.

    With ``lambda_gan`` there is a discriminator, which a training has to teach in turn. A step of it is::

        losses = objective.discriminator_loss(network, batch)   # none before the step gan_from
        ...backward, and a step of the optimiser of objective.discriminator
        losses = objective(network, batch)
        ...backward, and a step of the network's optimiser

    The network runs once in such a step: its answer is kept for the second call, with the same batch. Where several batches make
    a step, those of all come to the discriminator first; it is then told to keep none, and the network runs twice for each, the
    first time without a graph. The discriminator takes no gradient from the second call. What has to be kept across an
    interruption is the state of ``discriminator`` and of its optimiser.

    The step, which decides whether the discriminator takes part, is ``batch.extras["step"]`` where batches have it; else the
    calls are counted.

    Attributes:
        discriminator: learns beside the network; None without ``lambda_gan``.
        settings: weights and kinds of the terms.
    """

    def __init__(self, settings: RrformerObjectiveSettings) -> None:
        self.settings = settings
        if settings.lambda_gan:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(settings.seed)
                self.discriminator = DISCRIMINATORS[settings.discriminator]()
        self._vgg: Vgg19 | None = None
        self._kept: tuple[Batch, Tensor] | None = None
        self._calls = 0

    def prepare(self, network: Any) -> None:
        """Give a fresh network the ImageNet weights its VGG needs if it does not learn them; to be called once, before training.

        Raises:
            CheckpointError: if they cannot be had.
        """
        config = getattr(network, "config", None)
        if config is not None and not config.train_vgg:
            network.load_imagenet()

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The network's losses, weighted.

        Raises:
            CheckpointError: if a term needs the ImageNet weights of VGG-19, and they cannot be had.
        """
        adversary = self._adversary(batch)
        self._calls += 1
        image = self._answer(network, batch)
        self._kept = None
        losses = self._fidelity(image, batch.target)
        if adversary is not None:
            real, fake = self._scores(adversary, batch.target, image)
            losses["gan"] = self.settings.lambda_gan * generator_loss(real, fake, self.settings.gan)
        return losses

    def discriminator_loss(
        self, network: nn.Module, batch: Batch, discriminator: nn.Module | None = None, *, keep: bool = True
    ) -> dict[str, Tensor]:
        """The discriminator's loss, weighted; empty while it takes no part.

        Args:
            network: whose answers it learns to tell from ``batch.target``. No gradient reaches it.
            batch: what the objective will be called with next.
            discriminator: the wrapper in which to call ``self.discriminator`` (for several processes), if there is one.
            keep: whether the objective is called with this very batch next, and takes the network's answer from here.
        """
        own = self._adversary(batch)
        if own is None:
            return {}
        with torch.set_grad_enabled(keep and torch.is_grad_enabled()):
            image = self._answer(network, batch)
        if keep:
            self._kept = (batch, image)
        called = own if discriminator is None else discriminator
        scores = called(batch.target), called(image.detach())
        return {"discriminator": self.settings.lambda_gan * discriminator_loss(*scores, self.settings.gan)}

    def _adversary(self, batch: Batch) -> nn.Module | None:
        """The discriminator, on the batch's device, if it takes part in the batch's step."""
        if self.discriminator is None or int(batch.extras.get("step", self._calls)) < self.settings.gan_from:
            return None
        return self.discriminator.to(batch.target.device)

    def _answer(self, network: nn.Module, batch: Batch) -> Tensor:
        if self._kept is not None and self._kept[0] is batch:
            return self._kept[1]
        image: Tensor = network(batch.input).float()
        return image

    def _fidelity(self, image: Tensor, target: Tensor) -> dict[str, Tensor]:
        settings, device = self.settings, target.device
        if settings.fidelity == "mse":
            return {"mse": settings.lambda_unaligned * F.mse_loss(image, target)}
        if settings.fidelity == "vgg":
            return {"vgg": settings.lambda_unaligned * deep_feature_loss(self._eyes(device), image, target)}
        if settings.fidelity != "pixel":
            vgg, depths = self._eyes(device), CONTEXT[settings.fidelity]
            losses = {"context": settings.lambda_unaligned * context_loss(vgg, image, target, depths).mean()}
            if settings.fidelity == "ctx_vgg":
                losses["vgg"] = settings.lambda_unaligned * deep_feature_loss(vgg, image, target)
            return losses
        losses = {
            "mse": settings.mse * F.mse_loss(image, target),
            "gradient": settings.gradient * gradient_loss(image, target),
        }
        if settings.psnr:
            errors = (image - target).square().mean((1, 2, 3))
            losses["psnr"] = settings.psnr * decibels(errors, settings.eps).mean()
        if settings.lambda_vgg:
            losses["vgg"] = settings.lambda_vgg * feature_loss(self._eyes(device), image, target)
        return losses

    def _scores(self, discriminator: nn.Module, target: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of true and restored images, of which only the latter pass a gradient on, and that to the image alone."""
        frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
        with torch.no_grad():
            real = functional_call(discriminator, frozen, (target,))
        return real, functional_call(discriminator, frozen, (image,))

    def _eyes(self, device: torch.device) -> Vgg19:
        """VGG-19 with ImageNet weights, loaded when a term first needs it."""
        if self._vgg is None:
            with torch.device("meta"):  # draws no random numbers
                vgg = Vgg19(CONV5_2)
            vgg.load_state_dict(imagenet_weights(CONV5_2), assign=True)
            self._vgg = vgg.eval().requires_grad_(False)
        return self._vgg.to(device)
