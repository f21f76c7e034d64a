"""The night camera: its statistics are the paper's, its pairs are what a non-blind method learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.degradations.base import degrade_image, seeded_generator
from restorekit.degradations.lowlight import Exposure, LowLight, LowLightSettings, clip_highlights, low_light_noise
from restorekit.errors import SettingError
from restorekit.layers import convolve_circular
from restorekit.settings import from_table


def take(level: float, gain: float, read: float = 2.0, dark: float = 5.0, banding: float = 0.02, size: int = 512) -> Tensor:
    exposure = Exposure(*(torch.tensor(float(value)) for value in (gain, read, dark, banding)))
    return low_light_noise(torch.full((1, 3, 2 * size, size), level / 255), exposure, seeded_generator(5))


@pytest.mark.parametrize(
    ("level", "gain", "red", "green"),
    [
        (0, 4, (0.0211, 0.0282), (0.0098, 0.0140)),
        (32, 15, (0.1823, 0.1509), (0.1472, 0.0913)),
        (255, 8, (0.8179, 0.0472), (0.8283, 0.0217)),
    ],
)
def test_statistics(level: int, gain: int, red: tuple[float, float], green: tuple[float, float]) -> None:
    """The table in the description of the authors' model: mean and standard deviation after highlights are clipped."""
    image = clip_highlights(take(level, gain), 1.2)
    found = torch.stack([image.mean((0, 2, 3)), image.std((0, 2, 3))], 1)
    assert torch.allclose(found, torch.tensor([red, green, red]), atol=4e-3)


def test_is_what_an_8_bit_file_holds() -> None:
    image = take(120, 9, size=64)
    steps = image * 255
    assert torch.allclose(steps, steps.round(), atol=1e-4)
    assert image.min() >= 0
    assert image.max() <= 1


def test_defective_pixels() -> None:
    """Without light, dark current, read noise and banding only hot pixels are not black: 6e-5 of the red, 3e-5 of the green."""
    image = take(0, 12, 0, 0, 0)
    red, green, _ = (image == 1).sum((2, 3))[0].tolist()
    assert (image[image < 1] == 0).all()
    assert 12 < red < 60  # 31 expected, standard deviation 6
    assert 3 < green < 35  # 16


def test_rows_differ_in_brightness() -> None:
    """Row means vary by sigma_beta relatively; the shot noise of 512 pixels adds little, as the gain is low."""
    rows = take(128, 1, 0, 0, 0.05).mean(3)[0]
    assert torch.allclose(rows.std(1) / rows.mean(1), torch.full((3,), 0.05), atol=5e-3)
    assert rows.corrcoef().fill_diagonal_(0).abs().max() < 0.15


class TestLowLight:
    @pytest.fixture
    def clean(self) -> Tensor:
        return torch.rand((3, 3, 56, 48), generator=torch.Generator().manual_seed(0))

    def test_pairs(self, clean: Tensor) -> None:
        pair = LowLight()(clean, seeded_generator(1, 2))
        again = LowLight()(clean, seeded_generator(1, 2))
        assert torch.equal(pair.target, clean)
        assert torch.equal(pair.input, again.input)
        psf, blurred, white = (pair.extras[name] for name in ("psf", "blurred", "white"))
        assert psf.shape == (3, 1, 37, 37)
        assert torch.allclose(psf.sum((1, 2, 3)), torch.ones(3), atol=1e-5)
        assert psf.min() >= 0
        assert torch.allclose(blurred, convolve_circular(clean, psf).clamp_min(0))
        assert white.flatten().tolist() == pytest.approx([1 / 1.2] * 3)
        assert pair.input.max() == pytest.approx(1 / 1.2)
        assert not torch.equal(psf[0], psf[1])

    def test_margin_is_surroundings(self, clean: Tensor) -> None:
        """With surroundings no light comes from the opposite border."""
        clean[:, :, :, :24] = 0
        degradation = LowLight(LowLightSettings(margin=8, psf_size=15, length=(5, 15)))
        pair = degrade_image(degradation, clean, seeded_generator(1))
        assert torch.equal(pair.target, clean)
        assert pair.input.shape == clean.shape
        assert pair.extras["blurred"][..., 0].max() < 1e-6
        assert (
            LowLight(LowLightSettings(psf_size=15, length=(15, 15)))(clean, seeded_generator(1)).extras["blurred"][..., 0].max()
            > 1e-2
        )

    @pytest.mark.parametrize(
        "table",
        [
            {"gain": [9, 4]},
            {"gain": [0.5, 4]},
            {"read": [-1, 1]},
            {"headroom": 0.9},
            {"psf_size": 36},
            {"length": [5, 40]},
            {"margin": 5},
        ],
    )
    def test_settings_that_do_not_hold(self, table: dict[str, object]) -> None:
        with pytest.raises(SettingError, match="must be"):
            from_table(LowLightSettings, table, "[degradation]")


def test_kernels_are_taken_from_files(tmp_path: Path) -> None:
    paths = []
    for number in range(2):
        kernel = np.zeros((5, 9), np.float32)
        kernel[2, 4 : 6 + number] = 3
        paths.append(tmp_path / f"{number}.npy")
        np.save(paths[-1], kernel)
    lowlight = LowLight(LowLightSettings(psf_size=11, length=(5, 9), kernels=tuple(paths)))
    pair = lowlight(torch.rand(24, 3, 16, 16, generator=torch.Generator().manual_seed(0)), seeded_generator(0))
    psf = pair.extras["psf"]
    assert psf.shape == (24, 1, 11, 11) and psf.sum((1, 2, 3)).sub(1).abs().max() < 1e-6
    taps = (psf[:, 0, 5] > 0).sum(1)
    assert set(taps.tolist()) == {2, 3} and (psf[:, 0, 5, 5] > 0).all() and (psf[:, 0, :5] == 0).all()


def test_a_kernel_that_is_too_large_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.ones((13, 3)))
    with pytest.raises(SettingError, match=r"the kernel in .*large\.npy has 3x13 pixels, more than 11"):
        LowLight(LowLightSettings(psf_size=11, length=(5, 9), kernels=(tmp_path / "large.npy",)))
