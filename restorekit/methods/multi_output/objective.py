"""Winner takes all: only the best candidate of each image is scored, so the heads spread over the plausible answers.

Source: "Multi-Outputs Is All You Need For Deblur" (2022), distribution loss with hard assignment.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from restorekit.layers import reflect_to_multiple
from restorekit.layers.windows import STEP
from restorekit.losses import charbonnier, decibels, laplacian
from restorekit.methods.base import Batch, Objective
from restorekit.methods.multi_output import Kind, MultiOutputObjectiveSettings
from restorekit.methods.multi_output.caution import cautious
from restorekit.methods.multi_output.config import Backbone, MultiOutputConfig
from restorekit.methods.multi_output.deconvolution import unexplained, windows_of
from restorekit.methods.multi_output.heads import evidence, pair_means
from restorekit.metrics.colour import luma

_TAUGHT: dict[Backbone, tuple[Kind, float, int]] = {
    "nafnet": ("psnr", 1.0, 1),
    "restormer": ("l1", 1.0, 1),
    "hinet": ("psnr", 0.5, 2),
    "mprnet": ("mprnet", 1.0, 3),
}
"""Of each backbone: the kind of loss its authors taught it with, the weight of each stage, and how many stages it has."""


def candidate_errors(candidates: Tensor, target: Tensor, kind: Kind) -> Tensor:
    """The errors ``(B, K)`` of ``(B, K, 3, H, W)`` candidates against ``(B, 3, H, W)``, as :func:`winner_loss` takes them."""
    difference = candidates - target.unsqueeze(1)
    if kind == "l1":
        return difference.abs().mean((2, 3, 4))
    if kind == "mprnet":
        edges = laplacian(difference.flatten(0, 1)).view_as(difference)
        return charbonnier(difference).mean((2, 3, 4)) + 0.05 * charbonnier(edges).mean((2, 3, 4))
    if kind == "psnr_y":
        difference = luma(candidates) - luma(target).unsqueeze(1)
    return difference.square().mean((2, 3, 4))


def pair_errors(heads: Tensor, target: Tensor) -> Tensor:
    """``candidate_errors(pair_means(heads), target, "psnr")`` without making the pair means.

    With the errors ``d_i = h_i - target`` and their Gram matrix ``G_ij = mean(d_i * d_j)``, the mean square error of
    ``(h_i + h_j) / 2`` is ``(G_ii + 2 G_ij + G_jj) / 4``: n maps are read and written instead of n(n+1)/2.

    Args:
        heads: ``(B, n, 3, H, W)``.
        target: ``(B, 3, H, W)``.

    Returns:
        ``(B, K)``, K = n(n+1)/2, in the order of :func:`~restorekit.methods.multi_output.heads.pair_means`.
    """
    d = (heads - target.unsqueeze(1)).flatten(2)
    with torch.autocast(d.device.type, enabled=False):  # a product of matrices would be rounded to bfloat16
        gram = torch.bmm(d, d.transpose(1, 2)) / d.shape[2]
    i, j = torch.tril_indices(d.shape[1], d.shape[1], device=d.device)
    errors = (gram[:, i, i] + 2 * gram[:, i, j] + gram[:, j, j]) / 4
    return errors.clamp_min(0)  # opposite errors cancel but for rounding, of either sign


def winner_loss(
    candidates: Tensor,
    target: Tensor,
    kind: Kind = "psnr",
    weight: float = 1.0,
    eps: float = 1e-8,
) -> Tensor:
    """The loss of the best candidate of each image.

    Args:
        candidates: ``(B, K, 3, H, W)``.
        target: ``(B, 3, H, W)``.
        kind: ``"psnr"``: mean over images of ``10 / ln 10 * ln(min_k mse + eps)``, in decibels (NAFNet, HINet); ``"psnr_y"``:
            the same on luma; ``"l1"``: mean over images of the smallest mean absolute error (Restormer); ``"mprnet"``: of the
            smallest Charbonnier error plus 0.05 times that of the Laplacians (MPRNet, which adds up its three stages).
        weight: factor of the result; 0.5 for each stage of HINet.
        eps: what keeps a perfect image from taking all the gradient; 1e-8 in the paper's code.
    """
    return _loss_of_winner(candidate_errors(candidates, target, kind), kind, weight, eps)


def _loss_of_winner(errors: Tensor, kind: Kind, weight: float, eps: float) -> Tensor:
    best = errors.min(1).values  # min, not amin: a tie has one winner
    return weight * (decibels(best, eps) if kind in ("psnr", "psnr_y") else best).mean()


class WinnerTakesAll(Objective):
    """The objective of ``multi-output``; see :func:`winner_loss`.

    Only the winner gets gradient. When the winner is a pair, both its heads get half, which keeps heads from dying. A network of
    several stages has a loss, and a winner, for each; the answer's has the name of the kind.

    Args:
        settings: kind and weights of the terms. Who shows the mean of the heads as the answer should teach it: no winner is ever
            the mean of more than two. The cautious answer (:func:`~restorekit.methods.multi_output.caution.cautious`) teaches at
            least two heads to disagree where they err.
        config: of the network; whether pair averages compete, and what follows from the backbone where the settings are silent.

    Attributes:
        kind: see :func:`winner_loss`.
        weight: factor of each stage's loss.
        stages: of the network.
    """

    def __init__(self, settings: MultiOutputObjectiveSettings, config: MultiOutputConfig) -> None:
        kind, weight, stages = _TAUGHT[config.backbone]
        self.settings = settings
        self.config = config
        self.kind: Kind = settings.kind or kind
        self.weight = weight if settings.weight is None else settings.weight
        self.stages = stages

    def __call__(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if self.settings.of_stage:
            passes = network(batch.input, every_pass=True)
            early, answers = [], [each.heads.float() for each in passes]
            losses["kernels"] = self.settings.kernel_weight * _mean(self._unexplained(each.kernels, batch) for each in passes)
            weight = self.settings.inverted_weight
            losses["inverted"] = _mean(self._of_image(each.inverted, batch.target, weight) for each in passes)
        else:
            stages = [network(batch.input)] if self.stages == 1 else network(batch.input, every_stage=True).unbind(1)
            *early, answer = (heads.float() for heads in stages)
            answers = [answer]
        losses[self.kind] = _mean(self._loss(answer, batch.target) for answer in answers)
        for i, heads in enumerate(early, start=1):
            losses[f"{self.kind}_stage{i}"] = self._loss(heads, batch.target)
        if weight := self.settings.mean_weight:
            losses["mean"] = _mean(self._of_image(answer.mean(1), batch.target, weight) for answer in answers)
        if weight := self.settings.cautious_weight:
            given = (self._cautious(batch.input.float(), answer) for answer in answers)
            losses["cautious"] = _mean(self._of_image(image, batch.target, weight) for image in given)
        return losses

    def _cautious(self, image: Tensor, heads: Tensor) -> Tensor:
        config, mean, square = self.config, heads.mean(1), None
        if config.doubt_region:
            square, variance = evidence(heads, image, config.doubt_region).chunk(2, 1)
        else:
            squares = (heads - mean[:, None]).square().sum(1)  # as var(1) does it, which takes ten times as long on a CPU
            variance = squares.mean(1, keepdim=True) / (heads.shape[1] - 1)
        return cautious(image, mean, variance, config.doubt, square=square, power=config.doubt_power)

    def _of_image(self, image: Tensor, target: Tensor, weight: float) -> Tensor:
        """The loss of an image ``(B, 3, H, W)`` as of one candidate."""
        return winner_loss(image.unsqueeze(1), target, self.kind, weight, self.settings.eps)

    def _unexplained(self, kernels: Tensor, batch: Batch) -> Tensor:
        """The sum over the kernels ``(B m, r, S, S)`` found on the way, the mean over the windows."""
        stage = self.config.deconvolution
        assert stage is not None
        image, target = (reflect_to_multiple(each.float(), STEP) for each in (batch.input, batch.target))
        windows = windows_of(image, stage.window)
        image, target = windows.cut(image), windows.cut(target)
        return torch.stack([unexplained(kernel, target, image).mean() for kernel in kernels.unbind(1)]).sum()

    def _loss(self, heads: Tensor, target: Tensor) -> Tensor:
        return _loss_of_winner(self._errors(heads, target), self.kind, self.weight, self.settings.eps)

    def _errors(self, heads: Tensor, target: Tensor) -> Tensor:
        if not self.config.combinate_heads or heads.shape[1] == 1:
            return candidate_errors(heads, target, self.kind)
        if self.kind == "psnr":
            return pair_errors(heads, target)
        return candidate_errors(pair_means(heads), target, self.kind)


def _mean(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).mean()
