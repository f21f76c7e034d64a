"""``deeprft``: errors of pixels and of frequencies at two scales."""

from __future__ import annotations

import pytest
import torch

from restorekit.errors import SettingError
from restorekit.layers.pyramid import half_size
from restorekit.methods import Batch
from restorekit.methods.deeprft import METHOD, DeepRftConfig
from restorekit.methods.deeprft.objective import pixel_loss, spectrum_loss

ONE = ((1, 1, 1), (1, 1, 1))
TINY = DeepRftConfig(dims=4, dims_ker=4, enc_max_layers=ONE, dec_max_layers=ONE, enc_mid_layers=ONE, dec_mid_layers=ONE)


def test_losses_are_means_over_the_images() -> None:
    target = torch.rand(2, 3, 8, 12)
    images = [torch.rand(2, 3, 8, 12) for _ in range(3)]
    pixels = sum(float((image - target).abs().mean()) for image in images) / 3
    spectra = sum(float((torch.fft.rfft2(image) - torch.fft.rfft2(target)).abs().mean()) for image in images) / 3
    assert float(pixel_loss(images, target)) == pytest.approx(pixels, rel=1e-5)
    assert float(spectrum_loss(images, target)) == pytest.approx(spectra, rel=1e-5)


def test_a_perfect_image_has_no_loss_and_a_finite_gradient() -> None:
    target = torch.rand(1, 3, 8, 8)
    image = target.clone().requires_grad_()
    loss = pixel_loss([image], target) + spectrum_loss([image], target)
    (gradient,) = torch.autograd.grad(loss, image)
    assert loss == 0
    assert torch.isfinite(gradient).all()


def test_weights() -> None:
    torch.manual_seed(0)
    network, batch = METHOD.build(TINY).eval(), Batch(torch.rand(1, 3, 32, 48), torch.rand(1, 3, 32, 48), {})
    with torch.no_grad():
        plain = METHOD.objective(TINY, {})(network, batch)
        weighted = METHOD.objective(TINY, {"l1": 2.0, "fft": 0.1, "half": 0.5})(network, batch)
        answers = network(batch.input, everything=True)
    assert list(plain) == ["l1", "fft", "half_l1", "half_fft"]
    assert torch.allclose(plain["l1"], pixel_loss(answers.images, batch.target))
    assert torch.allclose(plain["half_fft"], 0.01 * spectrum_loss(answers.halves, half_size(batch.target)))
    ratios = [float(weighted[name] / plain[name]) for name in plain]
    assert ratios == pytest.approx([2, 10, 1, 5], rel=1e-5)


def test_odd_sizes_have_losses_too() -> None:
    losses = METHOD.objective(TINY, {})(METHOD.build(TINY), Batch(torch.rand(1, 3, 33, 45), torch.rand(1, 3, 33, 45), {}))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_a_step_down_the_gradient_lowers_the_loss() -> None:
    torch.manual_seed(0)
    network, objective = METHOD.build(TINY).train(), METHOD.objective(TINY, {})
    batch = Batch(torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), {})
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)

    def loss() -> torch.Tensor:
        return torch.stack(list(objective(network, batch).values())).sum()

    before = loss()
    before.backward()
    optimiser.step()
    assert loss() < before


@pytest.mark.parametrize("table", [{"half": -1.0}, {"l1": 0, "fft": 0}])
def test_weights_that_cannot_be(table: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="must not be negative, nor both l1 and fft 0"):
        METHOD.objective(TINY, table)
