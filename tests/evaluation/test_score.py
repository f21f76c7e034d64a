from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import restorekit
from restorekit import images
from restorekit.errors import DataError, UnknownNameError, UsageError
from restorekit.evaluation import (
    INPUT,
    RESTORED,
    Alignment,
    Answer,
    Gallery,
    Protocol,
    Sample,
    Subject,
    as_it_is,
    evaluate,
    evaluate_samples,
    from_baseline,
    from_restorer,
    get_protocol,
    score_pair,
)
from restorekit.inference import Restorer
from tests.metrics.support_vectors import write_support_vectors
from tests.tiny import write_tiny_card

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


def test_is_the_public_evaluate(folders: tuple[Path, Path]) -> None:
    assert restorekit.evaluate is evaluate
    assert evaluate(str(folders[0]), str(folders[1])).scores == evaluate(*folders).scores


def test_two_files(folders: tuple[Path, Path]) -> None:
    report = evaluate(folders[0] / "b.bmp", folders[1] / "b.png")
    assert [score.name for score in report.scores] == ["b"]


def test_restores_on_the_fly_and_tells_the_gain(folders: tuple[Path, Path]) -> None:
    calls: list[tuple[int, int, str, str]] = []

    def halfway(sample: Sample) -> Answer:
        pixels = [images.to_float(image.pixels) for image in (sample.image, sample.target)]  # type: ignore[union-attr]
        return Answer(images.quantise(sum(pixels) / np.float32(2), "uint8"))

    report = evaluate(
        *folders,
        subjects=[Subject("halfway", halfway)],
        progress=lambda number, total, score: calls.append((number, total, score.name, score.subject)),
    )
    assert calls[:3] == [(1, 3, "a", "input"), (1, 3, "a", "halfway"), (2, 3, "b", "input")]
    assert calls[-1] == (3, 3, "deep/er/c", "halfway")
    assert [score.psnr for score in report.of(INPUT)] == [score.psnr for score in evaluate(*folders).scores]
    for gain in report.gains("halfway").values():
        assert gain == pytest.approx(6.0, abs=0.7)  # half the error, but for rounding


def test_restored_to_another_size_is_an_error(folders: tuple[Path, Path]) -> None:
    smaller = Subject("smaller", lambda sample: Answer(picture(0, 20, 30)))
    with pytest.raises(DataError, match="a is 30 x 20 but its target is 32 x 24"):
        evaluate(*folders, subjects=[smaller])


def test_models_and_baselines_in_one_run(folders: tuple[Path, Path], tmp_path: Path) -> None:
    restorer = Restorer.from_card(write_tiny_card(tmp_path / "card"))
    report = evaluate(*folders, subjects=[from_restorer(restorer, candidates=True), from_baseline("input"), from_baseline("tv")])
    assert report.subjects == ("tiny", "input", "tv")
    assert report.images == ("a", "b", "deep/er/c")
    direct = restorer(folders[0] / "a.png", candidates=True)
    assert report.of("tiny")[0].psnr == score_pair("a", direct.image, picture(0), Protocol()).psnr
    found = report.candidates("tiny")
    assert found is not None and found.best_overall >= found.best_single >= found.mean
    scored = report.of("tiny")[0].candidates
    heads = [score_pair("a", head, picture(0), Protocol()).psnr for head in direct.candidates]
    assert [scored[str(number)] for number in range(1, len(heads) + 1)] == heads
    assert report.candidates("tv") is None


def test_means_of_two_heads_are_candidates_where_they_competed_in_training(tmp_path: Path) -> None:
    card = write_tiny_card(tmp_path / "card", combinate_heads=True)
    restorer = Restorer.from_card(card)
    answer = from_restorer(restorer, candidates=True).restore(Sample("a", picture(0)))
    heads = restorer(picture(0).astype(np.float32) / 255, candidates=True).candidates
    count = len(heads)
    assert len(answer.candidates) == count * (count + 1) // 2
    both = (heads[0].pixels + heads[1].pixels) / 2
    np.testing.assert_array_equal(answer.candidates["1+2"], both)
    assert list(answer.candidates)[:3] == ["1", "1+2", "2"]
    without = from_restorer(Restorer.from_card(write_tiny_card(tmp_path / "other", combinate_heads=False)), candidates=True)
    assert list(without.restore(Sample("a", picture(0))).candidates) == [str(number) for number in range(1, count + 1)]


def test_exact_answers_are_not_rounded(tmp_path: Path) -> None:
    restorer = Restorer.from_card(write_tiny_card(tmp_path))
    sample = Sample("x", picture(0), picture(1))
    rounded, exact = (from_restorer(restorer, exact=flag).restore(sample).image for flag in (False, True))
    assert rounded.pixels.dtype == np.uint8 and exact.pixels.dtype == np.float32  # type: ignore[union-attr]
    assert np.abs(exact.pixels - rounded.pixels / 255).max() <= 0.5001 / 255  # type: ignore[union-attr]


def test_names_must_differ() -> None:
    sample = Sample("x", picture(0), picture(1))
    with pytest.raises(UsageError, match="'a' would be scored twice"):
        evaluate_samples([sample], [as_it_is("a"), as_it_is("a")])
    with pytest.raises(UsageError, match="nothing to score"):
        evaluate_samples([sample], [])


def test_a_metric_without_weights_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    sample = Sample("x", picture(0), picture(1))
    report = evaluate_samples([sample], [as_it_is("a")], metrics=["lpips", "psnr"])
    assert report.metrics == ("psnr",)
    assert len(report.notes) == 1 and report.notes[0].startswith("LPIPS left out: the weights alexnet-owt")
    with pytest.raises(DataError, match=r"no metric can be taken. LPIPS left out"):
        evaluate_samples([sample], [as_it_is("a")], metrics=["lpips"])
    with pytest.raises(UnknownNameError, match=r"unknown metric 'pnsr'. Did you mean 'psnr'"):
        evaluate_samples([sample], [as_it_is("a")], metrics=["pnsr"])


def test_psfs_come_by_name_or_for_all(folders: tuple[Path, Path], tmp_path: Path) -> None:
    kernel = np.zeros((5, 5), np.uint8)
    kernel[2] = 0, 80, 160, 80, 0
    for name in ("a", "b", "deep/er/c"):
        save(tmp_path / "psf" / f"{name}.png", kernel)
    found: list[NDArray[np.float32]] = []

    def look(sample: Sample) -> Answer:
        assert sample.psf is not None
        found.append(sample.psf)
        return Answer(sample.image)

    for psf in (tmp_path / "psf", tmp_path / "psf" / "a.png"):
        evaluate(*folders, subjects=[Subject("look", look)], psf=psf)
    assert len(found) == 6
    assert all(psf.sum(0).tolist() == [0.25, 0.5, 0.25] for psf in found)
    (tmp_path / "psf" / "b.png").unlink()
    with pytest.raises(DataError, match="has no PSF for b"):
        evaluate(*folders, psf=tmp_path / "psf")


def test_psfs_that_lie_among_the_images_are_none_of_them(folders: tuple[Path, Path]) -> None:
    for name in ("a", "b", "deep/er/c"):
        save(folders[0] / "psf" / f"{name}.png", np.full((3, 3), 255, np.uint8))
    report = evaluate(*folders, subjects=[from_baseline("wiener")], psf=folders[0] / "psf")
    assert len(report.of("wiener")) == 3
    with pytest.raises(DataError, match="has no partner"):
        evaluate(*folders, subjects=[from_baseline("wiener")])


class TestAlignment:
    def test_sizes_are_cut_at_right_and_bottom(self) -> None:
        target = picture(0)
        cut = noisy(target, 5)[:20, :30]
        expected = score_pair("x", cut, target[:20, :30], Protocol())
        assert score_pair("x", cut, target, Protocol(), alignment=Alignment("crop")) == expected

    def test_the_shift_is_found(self) -> None:
        target = picture(0, 40, 44)
        moved = np.roll(noisy(target, 5), (2, -1), (0, 1))
        inner = score_pair("x", noisy(target, 5)[3:-3, 3:-3], target[3:-3, 3:-3], Protocol())
        assert score_pair("x", moved, target, Protocol(), alignment=Alignment(shift=3)).values == inner.values
        assert score_pair("x", moved, target, Protocol()).psnr < inner.psnr - 20

    def test_flat_images_do_not_wander(self) -> None:
        image, target = torch.full((1, 3, 30, 30), 0.4), torch.full((1, 3, 30, 30), 0.5)
        a, b = Alignment(shift=2).apply("x", image, target, Protocol())
        assert a.data_ptr() == image[:, :, 2:, 2:].data_ptr() and b.shape == (1, 3, 26, 26)

    def test_that_cannot_be(self) -> None:
        with pytest.raises(UsageError, match="cannot be -1 pixels"):
            Alignment(shift=-1)
        with pytest.raises(UsageError, match="leaves nothing of 32 x 24"):
            score_pair("x", picture(0), picture(1), Protocol(), alignment=Alignment(shift=12))


class TestProtocols:
    def test_names(self) -> None:
        assert Protocol().name == "RGB, border 0, 8-bit"
        assert Protocol("y", 4, eight_bit=False).name == "Y, border 4, not rounded"
        assert get_protocol("gopro").protocol.name == "RGB, border 0, 8-bit, 3-D SSIM"
        assert get_protocol("rrformer").protocol.name == "RGB, border 0, 8-bit truncated"

    def test_that_cannot_be(self) -> None:
        with pytest.raises(UsageError, match="'rgb', 'y' or 'y-swapped', not 'lab'"):
            Protocol("lab")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="cannot be -1 pixels"):
            Protocol(border=-1)
        with pytest.raises(UnknownNameError, match=r"unknown SSIM 'gausian'. Did you mean 'gaussian'"):
            Protocol(ssim="gausian")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="cannot be truncated"):
            Protocol(eight_bit=False, truncate=True)
        with pytest.raises(UnknownNameError, match=r"unknown protocol 'gpro'. Did you mean 'gopro'"):
            get_protocol("gpro")

    def test_border(self) -> None:
        target = picture(0)
        framed = target.copy()
        framed[:3] = framed[-3:] = 0
        score = score_pair("x", framed, target, Protocol(border=3))
        assert (score.psnr, score.ssim) == (math.inf, pytest.approx(1, abs=1e-6))
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
        samples = (Sample(f"n{seed}", noisy(picture(seed), 5), picture(seed)) for seed in range(3))
        report = evaluate_samples(samples, [as_it_is(RESTORED)])
        assert [score.name for score in report.scores] == ["n0", "n1", "n2"]
        assert report.scores[1] == score_pair("n1", noisy(picture(1), 5), picture(1), Protocol())

    def test_no_pairs(self) -> None:
        with pytest.raises(DataError, match="no images to score"):
            evaluate_samples([], [as_it_is(RESTORED)])

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
    assert table["images"] == [{"name": "a", "scores": {"restored": {"psnr": None, "ssim": pytest.approx(1, abs=1e-6)}}}]
    assert table["subjects"][0]["summary"]["psnr"] == {"mean": None, "median": None, "worst": None, "worst_name": "a"}
    assert table["protocol"] == {
        "name": "RGB, border 0, 8-bit",
        "colour": "rgb",
        "border": 0,
        "eight_bit": True,
        "truncate": False,
        "ssim": "gaussian",
        "alignment": {"sizes": "error", "shift": 0},
    }


class TestWithoutTargets:
    def test_metrics_that_need_one_are_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path / "a.png", picture(0))
        for call in (lambda: evaluate(path, None), lambda: evaluate_samples([Sample("a", picture(0))], [as_it_is("a")])):
            with pytest.raises(UsageError, match="PSNR compares with a target, and there is none"):
                call()

    def test_scores_and_pictures(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path / "hub"))
        write_support_vectors(tmp_path / "hub" / "checkpoints")
        save(tmp_path / "in" / "a.png", picture(0))
        gallery = Gallery()
        report = evaluate(tmp_path / "in", None, subjects=[from_baseline("tv")], metrics=["brisque"], gallery=gallery)
        assert report.subjects == ("input", "tv") and report.metrics == ("brisque",)
        assert list(gallery.exhibits[0].pictures) == ["input", "tv"]
        scores = [report.of(subject)[0].values["brisque"] for subject in report.subjects]
        assert report.gains("tv")["a"] == pytest.approx(scores[0] - scores[1])  # lower is better, and 100 is no ceiling
