"""``histoformer``: mean absolute error and correlation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from restorekit.errors import SettingError
from restorekit.methods import Batch
from restorekit.methods.histoformer import METHOD
from restorekit.methods.histoformer.objective import correlation_loss, pearson


class TestPearson:
    def test_is_the_correlation_of_all_values_of_an_image(self) -> None:
        a, b = torch.rand(2, 3, 6, 5, dtype=torch.float64), torch.rand(2, 3, 6, 5, dtype=torch.float64)
        expected = [torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1] for x, y in zip(a, b, strict=True)]
        assert torch.allclose(pearson(a, b), torch.stack(expected), atol=1e-6)

    def test_brightness_and_contrast_do_not_count(self) -> None:
        a, b = torch.rand(2, 3, 9, 9, dtype=torch.float64), torch.rand(2, 3, 9, 9, dtype=torch.float64)
        assert torch.allclose(pearson(0.5 * a + 0.2, b, eps=0), pearson(a, b, eps=0), atol=1e-12)
        assert torch.allclose(pearson(1 - a, b), -pearson(a, b), atol=1e-12)

    @pytest.mark.parametrize("constant", ["prediction", "target", "both"])
    def test_constant_images(self, constant: str) -> None:
        prediction, target = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
        if constant != "target":
            prediction = torch.full((1, 3, 8, 8), 0.5)
        if constant != "prediction":
            target = torch.full((1, 3, 8, 8), 0.5)
        prediction.requires_grad_()
        loss = correlation_loss(prediction, target)
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert loss == 0.5
        assert torch.isfinite(gradient).all()


class TestLoss:
    def test_range(self) -> None:
        a = torch.rand(2, 3, 8, 8)
        assert float(correlation_loss(a, a)) == pytest.approx(0, abs=1e-6)
        assert float(correlation_loss(1 - a, a)) == pytest.approx(1, abs=1e-6)

    def test_images_without_a_number_are_left_out(self) -> None:
        a, b = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 8, 8)
        a[1, 0, 0, 0], a[2, 0, 0, 0] = float("nan"), float("inf")
        assert torch.allclose(correlation_loss(a, b), correlation_loss(a[:1], b[:1]))
        assert correlation_loss(a[1:], b[1:]).isnan()

    def test_objective_weighs_both_terms(self) -> None:
        batch = Batch(torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), {})
        config = METHOD.presets["compact"]
        losses = METHOD.objective(config, {"l1": 2.0, "correlation": 0.5})(nn.Identity(), batch)
        assert torch.allclose(losses["l1"], 2 * (batch.input - batch.target).abs().mean())
        assert torch.allclose(losses["correlation"], 0.5 * correlation_loss(batch.input, batch.target))

    def test_decibels_of_each_image_count_alike(self) -> None:
        """Mean square errors of 0.01 and 0.0001, 20 and 40 dB, whose scale ends at -10 log10(eps)."""
        target = torch.full((2, 3, 8, 8), 0.5)
        batch = Batch(target + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1), target, {})
        config = METHOD.presets["compact"]
        losses = METHOD.objective(config, {"psnr": 0.1, "eps": 1e-9})(nn.Identity(), batch)
        assert float(losses["psnr"]) == pytest.approx(-0.1 * 30, rel=1e-4)
        ended = METHOD.objective(config, {"psnr": 0.1, "eps": 0.0099})(nn.Identity(), batch)
        assert float(ended["psnr"]) == pytest.approx(-0.1 * (17.0115 + 20) / 2, rel=1e-4)
        assert set(METHOD.objective(config, {})(nn.Identity(), batch)) == {"l1", "correlation"}

    @pytest.mark.parametrize("table", [{"l1": -1.0}, {"l1": 0, "correlation": 0}, {"psnr": -1}, {"eps": 0}])
    def test_weights_that_cannot_be(self, table: dict[str, float]) -> None:
        with pytest.raises(SettingError, match=r"must not be negative, nor all 0|eps must be positive"):
            METHOD.objective(METHOD.presets["compact"], table)
