from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import restorekit
from restorekit import images
from restorekit.errors import DataError, UsageError
from restorekit.evaluation import Protocol, Score, evaluate, evaluate_pairs, score_pair

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 24, width: int = 32, channels: int = 3) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def noisy(pixels: Pixels, sigma: float, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def save(path: Path, pixels: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(images.Image.from_array(pixels), path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three pairs, one in a sub-folder and one of another file format."""
    restored, targets = tmp_path / "restored", tmp_path / "targets"
    for seed, (name, sigma) in enumerate({"a": 2.0, "b": 8.0, "deep/er/c": 4.0}.items()):
        save(targets / f"{name}.png", picture(seed))
        save(restored / f"{name}{'.bmp' if name == 'b' else '.png'}", noisy(picture(seed), sigma))
    return restored, targets


def test_folders_agree_with_scikit_image(folders: tuple[Path, Path]) -> None:
    report = evaluate(*folders)
    assert [score.name for score in report.scores] == ["a", "b", "deep/er/c"]
    for seed, (score, sigma) in enumerate(zip(report.scores, (2.0, 8.0, 4.0), strict=True)):
        a, b = picture(seed), noisy(picture(seed), sigma)
        expected = structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
        )
        assert score.psnr == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-3)
        assert score.ssim == pytest.approx(expected, abs=1e-5)
        assert score.gain is None


def test_is_the_public_evaluate(folders: tuple[Path, Path]) -> None:
    assert restorekit.evaluate is evaluate
    assert evaluate(str(folders[0]), str(folders[1])).scores == evaluate(*folders).scores


def test_two_files(folders: tuple[Path, Path]) -> None:
    report = evaluate(folders[0] / "b.bmp", folders[1] / "b.png")
    assert [score.name for score in report.scores] == ["b"]


def test_restores_on_the_fly_and_tells_the_gain(folders: tuple[Path, Path]) -> None:
    inputs, targets = folders
    calls: list[tuple[int, int, str]] = []

    def halfway(path: Path) -> images.Image:
        image = images.read(path)
        target = images.read((targets / path.relative_to(inputs)).with_suffix(".png"))
        middle = (image.pixels.astype(np.float64) + target.pixels) / 2
        return image.replace_pixels(np.rint(middle).astype(np.uint8))

    report = evaluate(
        inputs, targets, restore=halfway, progress=lambda done, total, score: calls.append((done, total, score.name))
    )
    assert calls == [(1, 3, "a"), (2, 3, "b"), (3, 3, "deep/er/c")]
    plain = evaluate(inputs, targets)
    for score, before in zip(report.scores, plain.scores, strict=True):
        assert (score.input_psnr, score.input_ssim) == (before.psnr, before.ssim)
        assert score.gain == pytest.approx(6.0, abs=0.7)  # half the error, but for rounding
    assert report.summary()["gain"].worst > 5


def test_restored_to_another_size_is_an_error(folders: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="a is 30 x 20 but its target is 32 x 24"):
        evaluate(*folders, restore=lambda path: picture(0, 20, 30))


class TestProtocols:
    def test_names(self) -> None:
        assert Protocol().name == "RGB, border 0, 8-bit"
        assert Protocol("y", 4, eight_bit=False).name == "Y, border 4, not rounded"

    def test_that_cannot_be(self) -> None:
        with pytest.raises(UsageError, match="'rgb' or 'y', not 'lab'"):
            Protocol("lab")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="cannot be -1 pixels"):
            Protocol(border=-1)

    def test_border(self) -> None:
        target = picture(0)
        framed = target.copy()
        framed[:3] = framed[-3:] = 0
        assert score_pair("x", framed, target, Protocol(border=3)) == Score("x", math.inf, pytest.approx(1, abs=1e-6))
        assert score_pair("x", framed, target, Protocol(border=2)).psnr < 25

    def test_eight_bit_rounding(self) -> None:
        target = picture(0)
        slightly_off = target.astype(np.float32) / 255 + np.float32(0.4 / 255)
        rounded, exact = (score_pair("x", slightly_off, target, Protocol(eight_bit=flag)).psnr for flag in (True, False))
        assert rounded == math.inf
        assert exact == pytest.approx(20 * math.log10(255 / 0.4), abs=0.1)

    def test_luma_of_a_grey_error(self) -> None:
        target = np.full((24, 32, 3), 100, np.uint8)
        rgb, y = (score_pair("x", target + 10, target, Protocol(colour)).psnr for colour in ("rgb", "y"))
        assert rgb == pytest.approx(20 * math.log10(25.5), abs=1e-3)
        assert y - rgb == pytest.approx(20 * math.log10(255 / 219), abs=1e-3)


class TestInMemory:
    def test_pairs_one_after_the_other(self) -> None:
        report = evaluate_pairs((f"n{seed}", noisy(picture(seed), 5), picture(seed)) for seed in range(3))
        assert [score.name for score in report.scores] == ["n0", "n1", "n2"]
        assert report.scores[1] == score_pair("n1", noisy(picture(1), 5), picture(1), Protocol())

    def test_no_pairs(self) -> None:
        with pytest.raises(DataError, match="no images to score"):
            evaluate_pairs([])

    def test_depths_and_greys_mix(self) -> None:
        grey = picture(0, channels=1)
        colour = np.repeat(noisy(grey, 6), 3, axis=2)
        expected = score_pair("x", noisy(grey, 6), grey, Protocol())
        assert score_pair("x", colour, grey, Protocol()).psnr == pytest.approx(expected.psnr, abs=1e-4)
        deep = noisy(grey, 6).astype(np.uint16) * np.uint16(257)
        assert score_pair("x", deep, grey, Protocol()).psnr == pytest.approx(expected.psnr, abs=1e-4)

    def test_alpha_is_left_out(self) -> None:
        target = picture(0)
        with_alpha = np.dstack([noisy(target, 6), picture(1, channels=1)])
        assert score_pair("x", with_alpha, target, Protocol()) == score_pair("x", noisy(target, 6), target, Protocol())


def test_json_has_no_infinity(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(0))
    table = json.loads(evaluate(tmp_path / "a.png", tmp_path / "a.png").to_json())
    assert table["images"] == [{"name": "a", "psnr": None, "ssim": pytest.approx(1, abs=1e-6)}]
    assert table["summary"]["psnr"] == {"mean": None, "median": None, "worst": None, "worst_name": "a"}
    assert table["protocol"] == {"name": "RGB, border 0, 8-bit", "colour": "rgb", "border": 0, "eight_bit": True}
