"""INFWIDE: sizes, precision and gradients of the network; each faster form against the plain formula; what the method answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.degradations.base import seeded_generator
from restorekit.degradations.lowlight import LowLight, LowLightSettings
from restorekit.errors import CheckpointError, DataError, ImageError, SettingError, UsageError
from restorekit.layers import unit_sum
from restorekit.methods import Batch, get_method
from restorekit.methods.infwide import HEADROOM, METHOD, InfwideConfig, InfwideObjectiveSettings
from restorekit.methods.infwide.blocks import crop_like, pad_like
from restorekit.methods.infwide.fusion import _half
from restorekit.methods.infwide.network import Infwide
from restorekit.methods.infwide.objective import reblur_loss
from restorekit.methods.infwide.wiener import Wiener, median3x3, noise_level
from restorekit.settings import from_table

TINY = InfwideConfig(feat=4, width=4, n_resblock=1, n_conv=2, denoise=(4, 5, 6, 7))


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(config: InfwideConfig = TINY, **changes: Any) -> Infwide:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return METHOD.build(dataclasses.replace(config, **changes))


@pytest.fixture(scope="module")
def network() -> Infwide:
    return build().eval().requires_grad_(False)


class TestNetwork:
    @pytest.mark.parametrize(("preset", "parameters", "keys"), [("compact", 3_405_878, 256), ("paper", 15_742_342, 276)])
    def test_presets(self, preset: str, parameters: int, keys: int) -> None:
        with torch.device("meta"):
            built = METHOD.build(METHOD.presets[preset])
        assert sum(p.numel() for p in built.parameters()) == parameters
        assert len(built.state_dict()) == keys

    @pytest.mark.parametrize("size", [(2, 2), (7, 5), (9, 10), (11, 12), (13, 14)])
    def test_any_size(self, network: Infwide, size: tuple[int, int]) -> None:
        branches = network(rand(1, 3, *size), rand(1, 1, 5, 5), with_half=True)
        assert {tuple(m.shape) for m in branches[:4]} == {(1, 3, *size)}
        assert branches.half is not None
        assert branches.half.shape == (1, 3, round(size[0] / 2), round(size[1] / 2))
        assert all(m.isfinite().all() for m in branches if m is not None)

    def test_batch_is_singles(self, network: Infwide) -> None:
        image, psf = rand(2, 3, 17, 22), rand(2, 1, 5, 5)
        both = network(image, psf)
        for i in range(2):
            single = network(image[i : i + 1], psf[i : i + 1])
            assert torch.allclose(both.out[i], single.out[0], atol=1e-5)

    def test_half_size_image_is_extra(self, network: Infwide) -> None:
        image, psf = rand(1, 3, 16, 20), rand(1, 1, 5, 5)
        without = network(image, psf)
        assert without.half is None
        assert torch.equal(without.out, network(image, psf, with_half=True).out)

    def test_bfloat16(self) -> None:
        built = build(feat=8, width=8).eval()
        image, psf = rand(1, 3, 40, 48), rand(1, 1, 7, 7)
        with torch.no_grad():
            exact = built(image, psf)
            with torch.autocast("cpu", torch.bfloat16):
                rounded = built(image, psf)
        for name in ("out", "features", "denoised", "deconvolved"):
            mse = (getattr(rounded, name).float() - getattr(exact, name)).square().mean()
            assert 10 * torch.log10(1 / mse) > 45, name
        assert rounded.deconvolved.dtype == torch.float32

    @pytest.mark.parametrize("changes", [{}, {"n_conv": 1}, {"n_conv": 3, "n_resblock": 2}, {"n_colors": 1}])
    def test_gradients(self, changes: dict[str, int]) -> None:
        built = build(**changes)
        branches = built(rand(2, built.n_colors, 13, 18), rand(2, 1, 5, 5), with_half=True)
        sum(m.square().mean() for m in branches if m is not None).backward()
        for name, parameter in built.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_without_denoiser(self) -> None:
        built = build(input_denoise="none").eval()
        image = rand(1, 3, 12, 16)
        assert built(image, rand(1, 1, 5, 5)).denoised is image
        assert built.state_dict().keys() == build().state_dict().keys()

    def test_network_of_one_colour_takes_each(self) -> None:
        built = build(n_colors=1).eval()
        image, psf = rand(2, 3, 12, 15), rand(2, 1, 5, 5)
        together = built(image, psf, with_half=True)
        assert together.half is not None
        assert together.half.shape == (2, 3, 6, 8)
        for colour in range(3):
            assert torch.allclose(together.out[:, colour], built(image[:, colour : colour + 1], psf).out[:, 0], atol=1e-6)

    def test_black_image_is_harmless(self, network: Infwide) -> None:
        """0 / 0 in both noise estimates of the published code."""
        image = torch.zeros(1, 3, 16, 16).requires_grad_()
        out = network(image, rand(1, 1, 5, 5)).out
        assert out.isfinite().all()
        (gradient,) = torch.autograd.grad(out.sum(), image)
        assert gradient.isfinite().all()

    @pytest.mark.parametrize(
        ("image", "psf", "error", "problem"),
        [
            ((1, 3, 1, 8), (1, 1, 3, 3), ImageError, "an image of 8 x 1 pixels is too small"),
            ((2, 3, 8, 8), (3, 1, 3, 3), UsageError, "do not fit 2 images"),
            ((1, 3, 8, 8), (1, 3, 3, 3), UsageError, "do not fit 1 images"),
            ((1, 3, 8, 8), (1, 1, 2, 13), ImageError, "a PSF of 13 x 2 pixels is too wide"),
        ],
    )
    def test_what_does_not_fit(
        self, network: Infwide, image: tuple[int, ...], psf: tuple[int, ...], error: type[Exception], problem: str
    ) -> None:
        with pytest.raises(error, match=problem):
            network(rand(*image), rand(*psf))


class TestSizes:
    def test_half_is_rounded_to_even(self) -> None:
        assert [_half(n) for n in range(2, 60)] == [round(n / 2) for n in range(2, 60)]

    @pytest.mark.parametrize(("size", "top", "bottom"), [(12, 0, 0), (13, 1, 2), (14, 1, 1), (15, 0, 1)])
    def test_crop(self, size: int, top: int, bottom: int) -> None:
        x = torch.arange(float(size + top + bottom)).view(1, 1, -1, 1).expand(-1, -1, -1, size + top + bottom)
        cropped = crop_like(x, rand(1, 1, size, size))
        assert cropped[0, 0, :, 0].tolist() == list(range(top, top + size))
        assert cropped.shape[-1] == size

    def test_pad(self) -> None:
        padded = pad_like(torch.ones(1, 2, 3, 4), rand(1, 5, 4, 4))
        assert padded.shape == (1, 2, 4, 4)
        assert padded[0, 0].sum(1).tolist() == [4, 4, 4, 0]


class TestPlainFormulas:
    """The published formulation, written out, in float64."""

    @pytest.mark.parametrize("size", [(2, 2), (9, 14)])
    def test_median(self, size: tuple[int, int]) -> None:
        x = rand(2, 3, *size)
        x[0] = (4 * x[0]).round()  # ties
        windows = F.unfold(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3).view(2, 3, 9, *size)
        assert torch.equal(median3x3(x), windows.median(2).values)

    def test_gradient_of_a_median_goes_to_the_pixel_that_is_it(self) -> None:
        x = rand(1, 2, 5, 6).double().requires_grad_()
        assert torch.autograd.gradcheck(median3x3, x)
        flat = torch.ones(1, 1, 4, 4, requires_grad=True)
        (gradient,) = torch.autograd.grad(median3x3(flat).sum(), flat)
        assert float(gradient.sum()) == pytest.approx(16)  # ties share it

    def test_noise_level(self) -> None:
        x = rand(2, 3, 9, 14).double()
        m = median3x3(x)
        expected = (m - x).std((2, 3)) / (m.square().sum((2, 3)) / (9 * 14 - 1)).sqrt()
        assert torch.allclose(noise_level(x), expected)

    @pytest.mark.parametrize("square_count", [True, False])
    @pytest.mark.parametrize(("kh", "kw"), [(5, 5), (6, 6), (3, 8), (7, 4)])
    def test_deconvolution(self, kh: int, kw: int, square_count: bool) -> None:
        x, psf = (rand(2, 3, 9, 14) - 0.3).double(), rand(2, 1, kh, kw).double()
        rows, columns = 9 + 2 * kh, 14 + 2 * kh
        n = rows * (rows if square_count else columns)
        answer = Wiener(psf, 9, 14, square_count)(x)
        for i in range(2):
            for c in range(3):
                plane = torch.zeros(rows, columns, dtype=torch.float64)
                plane[:kh, :kw] = psf[i, 0] / psf[i, 0].sum()
                k = torch.fft.fft2(plane.roll((-(kh // 2), -(kw // 2)), (0, 1)))
                padded = F.pad(x[i : i + 1, c : c + 1], (kh,) * 4, mode="replicate")
                d = (median3x3(padded) - padded)[0, 0]
                xp = padded[0, 0]
                variance = (d - d.sum() / n).square().sum() / (n - 1)
                deviation = ((xp - xp.sum() / n).square().sum() / (n - 1)).sqrt()
                y = torch.fft.ifft2(k.conj() * torch.fft.fft2(xp) / (k.abs() ** 2 + variance / deviation * 8 / 30)).real
                assert torch.allclose(answer[i, c], y[kh:-kh, kh:-kh], atol=1e-10)

    def test_reblurring(self) -> None:
        image, blurred, psf = rand(2, 3, 12, 15), rand(2, 3, 12, 15, seed=1), rand(2, 1, 4, 5)
        padded = F.pad(image, (2, 2, 1, 2), mode="circular")  # floor((k - 1) / 2) before, the rest after
        reblurred = torch.stack(
            [F.conv2d(p.unsqueeze(1), k.flip(1, 2).unsqueeze(0))[:, 0] for p, k in zip(padded, psf, strict=True)]
        )
        difference = (reblurred - blurred).abs()
        assert torch.allclose(reblur_loss(image, psf, blurred), difference.mean(), atol=1e-5)
        assert torch.allclose(reblur_loss(image, psf, blurred, 2), difference[..., 2:-2, 2:-2].mean(), atol=1e-5)
        with pytest.raises(UsageError, match="cannot be cropped"):
            reblur_loss(image, psf, blurred, 6)

    def test_a_point_stays_where_it_is(self) -> None:
        """The spectrum of a point in the middle is 1: only the noise term is left."""
        x = rand(1, 2, 10, 13)
        for size in (5, 6):
            psf = torch.zeros(1, 1, size, size)
            psf[..., size // 2, size // 2] = 3
            deconvolve = Wiener(psf, 10, 13)
            shrink = 1 + deconvolve.noise_to_signal(deconvolve.surround(x))[..., None, None]
            assert torch.allclose(deconvolve(x), x / shrink, atol=1e-5)


class TestMethod:
    def test_registered(self) -> None:
        assert get_method("infwide") is METHOD
        assert METHOD.extra_inputs == ("psf",)
        tiling = METHOD.tiling(TINY)
        assert not tiling.is_exact(10_000)
        assert tiling.overlap % tiling.multiple == 0

    def test_photographs_are_dimmed_for_the_network(self, network: Infwide) -> None:
        image, psf = rand(2, 3, 16, 16), rand(2, 1, 5, 5)
        direct = network(image / HEADROOM, psf)
        maps = METHOD.predict(network, image, psf=psf)
        prediction = METHOD.finish(maps, TINY)
        for name in ("features", "denoised", "deconvolved"):
            assert torch.allclose(getattr(prediction, name), HEADROOM * getattr(direct, name), atol=1e-6)
        assert torch.allclose(prediction.image, HEADROOM * direct.out, atol=1e-6)

    def test_images_that_clip_where_the_network_expects_it(self, network: Infwide) -> None:
        image, psf = rand(2, 3, 16, 16), rand(2, 1, 5, 5)
        white = torch.full((2, 1, 1, 1), 1 / HEADROOM)
        assert torch.allclose(METHOD.predict(network, image, psf=psf, white=white)["image"], network(image, psf).out, atol=1e-6)

    def test_wide_psf_is_squared(self, network: Infwide) -> None:
        image, psf = rand(1, 3, 16, 16), rand(1, 1, 1, 7)
        square = F.pad(psf, (0, 0, 3, 3))
        assert torch.equal(METHOD.predict(network, image, psf=psf)["image"], METHOD.predict(network, image, psf=square)["image"])

    def test_no_psf(self, network: Infwide) -> None:
        with pytest.raises(UsageError, match="needs the blur kernel"):
            METHOD.predict(network, rand(1, 3, 16, 16))

    @pytest.mark.parametrize(
        "config",
        [
            TINY,
            InfwideConfig(n_colors=1, feat=3, width=6, n_resblock=4, n_conv=1, denoise=(2, 3, 5, 7)),
            InfwideConfig(n_colors=4, feat=9, width=2, n_resblock=2, n_conv=5, denoise=(7, 3, 2, 4)),
            *METHOD.presets.values(),
        ],
    )
    def test_config_from_state_dict(self, config: InfwideConfig) -> None:
        with torch.device("meta"):
            state = METHOD.build(config).state_dict()
        assert METHOD.config_from_state_dict(state) == dataclasses.replace(config, square_count=True, residual=False)

    def test_state_dict_of_something_else(self) -> None:
        with pytest.raises(CheckpointError, match=r"FeatModule1\.FeatureBlock\.0\.body\.0\.weight, FSRefineModule"):
            METHOD.config_from_state_dict(nn.Conv2d(1, 1, 1).state_dict())
        state = build().state_dict()
        del state["DenoiseUnet.m_head.weight"]
        with pytest.raises(CheckpointError, match=r"DenoiseUnet\.m_head\.weight is missing"):
            METHOD.config_from_state_dict(state)

    def test_keys_and_shapes_that_do_not_fit(self) -> None:
        state = build().state_dict()
        key = "MergeRefineModule.XRFUnet.XRD1.conv1.0.body.0.weight"
        with pytest.raises(CheckpointError, match=f"no INFWIDE checkpoint: of another shape is {key} "):
            METHOD.config_from_state_dict({**state, key: state[key][1:]})
        key = "FSRefineModule.InBlock2.inBlock.0.body.0.bias"
        with pytest.raises(CheckpointError, match=f"no INFWIDE checkpoint: {key} is missing"):
            METHOD.config_from_state_dict({name: value for name, value in state.items() if name != key})

    def test_settings_that_cannot_be(self) -> None:
        for table in ({"width": 0}, {"denoise": [1, 2, 3]}, {"denoise": [1, 2, 3, 0]}):
            with pytest.raises(SettingError):
                from_table(InfwideConfig, table, "[config]")


class TestObjective:
    @pytest.fixture
    def batch(self) -> Batch:
        clean = F.interpolate(rand(2, 3, 8, 8), (32, 40), mode="bicubic").clamp(0, 1)
        pair = LowLight(LowLightSettings(psf_size=7, length=(3, 7)))(clean, seeded_generator(1))
        return Batch(pair.input, pair.target, pair.extras)

    def test_a_step_helps(self, batch: Batch) -> None:
        built = build()
        objective = METHOD.objective(TINY, {})
        losses = objective(built, batch)
        assert list(losses) == ["half", "full", "denoise", "reblur"]
        before = sum(losses.values())
        before.backward()
        with torch.no_grad():
            for parameter in built.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad
        assert sum(objective(built, batch).values()) < before

    def test_settings_reach_the_terms(self, network: Infwide, batch: Batch) -> None:
        usual = METHOD.objective(TINY, {})(network, batch)
        other = METHOD.objective(TINY, {"main": {"l1": 1.0}, "denoise_weight": 1.0, "reblur_weight": 0.0})(network, batch)
        out = network(batch.input, batch.extras["psf"]).out
        assert torch.allclose(other["full"], F.l1_loss(out, batch.target), atol=1e-6)
        assert torch.allclose(other["denoise"], 2 * usual["denoise"])
        assert other["reblur"] == 0

    def test_blurred_side_follows_from_target_and_psf(self, network: Infwide, batch: Batch) -> None:
        extras = {name: value for name, value in batch.extras.items() if name != "blurred"}
        known, found = (METHOD.objective(TINY, {})(network, Batch(batch.input, batch.target, e)) for e in (batch.extras, extras))
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {n: v.item() for n, v in known.items()}, abs=1e-6
        )

    def test_photographs_are_dimmed(self, network: Infwide, batch: Batch) -> None:
        """A pair that clips at 1 and is 1.2 times as bright teaches the same."""
        bright = Batch(HEADROOM * batch.input, HEADROOM * batch.target, {"psf": 7 * unit_sum(batch.extras["psf"])})
        known, found = (METHOD.objective(TINY, {})(network, b) for b in (batch, bright))
        assert {name: value.item() for name, value in found.items()} == pytest.approx(
            {n: v.item() for n, v in known.items()}, abs=1e-6
        )

    def test_one_that_answers_corrections_begins_with_its_input(self, batch: Batch) -> None:
        config = dataclasses.replace(TINY, residual=True)
        torch.manual_seed(0)
        network = METHOD.build(config)
        METHOD.objective(config, {}).prepare(network)
        branches = network(batch.input, batch.extras["psf"], with_half=True)
        for image in (branches.denoised, branches.out):
            assert torch.equal(image, batch.input)
        assert torch.equal(branches.half, F.interpolate(batch.input, scale_factor=0.5, mode="bilinear"))
        fresh = METHOD.build(TINY)
        before = {name: value.clone() for name, value in fresh.state_dict().items()}
        METHOD.objective(TINY, {}).prepare(fresh)
        assert all(torch.equal(before[name], value) for name, value in fresh.state_dict().items())

    def test_no_psf(self, network: Infwide, batch: Batch) -> None:
        with pytest.raises(DataError, match="without blur kernels"):
            METHOD.objective(TINY, {})(network, Batch(batch.input, batch.target, {}))

    def test_border_must_not_be_negative(self) -> None:
        with pytest.raises(SettingError):
            METHOD.objective(TINY, {"reblur_border": -1})
        for settings in ({"denoise_weight": -1}, {"main": {"ssim": -0.2}}):
            with pytest.raises(SettingError, match="must not be negative"):
                METHOD.objective(TINY, settings)
        assert from_table(InfwideObjectiveSettings, {}, "[objective]").main.ssim == 0.2
