"""Each estimate alone, on pictures whose truth is known."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.diagnosis.blur import estimate_blur
from restorekit.diagnosis.falling import estimate_falling
from restorekit.diagnosis.noise import estimate_noise, is_grey
from restorekit.diagnosis.veil import estimate_distant_veil, estimate_veil
from restorekit.diagnosis.views import AREA, WINDOW, Array, luma, reduced, tile_means, windows
from restorekit.images import Image


def scene(height: int = 384, width: int = 512, seed: int = 0) -> Array:
    """Smooth colours with sharp edges between them, from near black to near white."""
    random = np.random.default_rng(seed)
    blocks = random.uniform(0.1, 0.9, (height // 48 + 1, width // 48 + 1, 3)).astype(np.float32)
    blocks[0, 0] = 0.01
    picture = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(picture)


def with_noise(picture: Array, sigma: float, seed: int = 1) -> Array:
    return np.clip(picture + np.random.default_rng(seed).normal(0, sigma, picture.shape), 0, 1).astype(np.float32)


@settings(max_examples=12)
@given(sigma=st.floats(2 / 255, 24 / 255), channels=st.sampled_from([1, 3]))
def test_white_noise_is_measured_within_a_fifth(sigma: float, channels: int) -> None:
    noisy = with_noise(np.full((384, 384, channels), 0.5, np.float32), sigma)
    assert estimate_noise([noisy], grey=channels == 1) == pytest.approx(sigma, rel=0.2)


def test_the_estimate_grows_with_the_noise() -> None:
    found = [estimate_noise([with_noise(scene(), sigma / 255)], grey=False) for sigma in (0, 2, 4, 8, 16, 32)]
    assert found[0] < 0.5 / 255
    assert all(low < high for low, high in pairwise(found))


def test_texture_that_all_colours_share_is_no_noise() -> None:
    grain = with_noise(np.full((384, 384, 1), 0.5, np.float32), 0.05)
    textured = np.clip(np.array([0.8, 1.0, 0.9], np.float32) * grain, 0, 1)
    assert estimate_noise([textured], grey=False) < 0.001
    assert estimate_noise([grain], grey=True) == pytest.approx(0.05, rel=0.2)


def test_noise_does_not_depend_on_the_size_of_the_photograph() -> None:
    pixels = (255 * with_noise(np.full((800, 770, 3), 0.4, np.float32), 0.03)).round().astype(np.uint8)
    whole, part = (estimate_noise(windows(Image(p)), grey=False) for p in (pixels, np.ascontiguousarray(pixels[:384, :384])))
    assert whole == pytest.approx(part, rel=0.1) and part == pytest.approx(0.03, rel=0.2)


def test_grey_is_what_jpeg_leaves_of_it() -> None:
    picture = luma(scene())[:, :, None]
    assert is_grey(picture) and is_grey(with_noise(np.repeat(picture, 3, 2), 0.002)) and not is_grey(scene())


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_blur_is_measured_in_pixels(sigma: float) -> None:
    blurred = cv2.GaussianBlur(luma(scene()), (0, 0), sigma)
    assert estimate_blur(blurred) == pytest.approx(sigma, rel=0.25)


def test_blur_does_not_mind_that_most_of_the_picture_is_out_of_focus() -> None:
    sharp = luma(scene())
    blurred = cv2.GaussianBlur(sharp, (0, 0), 4)
    blurred[:, :130] = sharp[:, :130]
    part, whole = (estimate_blur(picture) for picture in (blurred, cv2.GaussianBlur(sharp, (0, 0), 4)))
    assert part is not None and whole is not None and part < 0.8 < 3 < whole


def test_a_plain_gradient_has_no_edges() -> None:
    plain = np.broadcast_to(np.linspace(0.2, 0.9, 384, dtype=np.float32)[:, None], (384, 512))
    assert estimate_blur(plain) is None and estimate_blur(plain[:15]) is None


@given(height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=15)
def test_small_pictures_give_finite_numbers(height: int, width: int) -> None:
    picture = np.random.default_rng(0).random((height, width, 3), np.float32)
    brightness, falling = luma(picture), estimate_falling(luma(picture))
    numbers = [
        estimate_noise([picture], grey=False),
        estimate_blur(brightness) or 0,
        estimate_veil(picture),
        estimate_distant_veil(picture),
    ]
    assert np.isfinite([*numbers, falling.contrast, falling.upright, falling.bright]).all()


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6])
def test_the_veil_is_the_light_that_was_added(share: float) -> None:
    picture = scene()
    veiled = (1 - share) * picture + share * np.float32(0.8)
    expected = (1 - share) * 0.01 + share * 0.8
    assert estimate_veil(veiled.astype(np.float32)) == pytest.approx(expected, abs=0.02)


def test_the_veil_of_the_upper_third_is_found_and_that_of_a_plain_sky_is_not() -> None:
    picture = with_noise(scene(seed=5), 0.01)
    veiled = picture.copy()
    veiled[:130] = 0.4 * picture[:130] + 0.6 * 0.8
    assert estimate_distant_veil(veiled) > 0.48 > 0.2 > estimate_distant_veil(picture)
    sky = picture.copy()
    sky[:200] = 0.8
    assert estimate_distant_veil(sky) == pytest.approx(estimate_distant_veil(picture[200:]), abs=0.1)
    assert estimate_distant_veil(sky[:200]) == estimate_distant_veil(picture[:20]) == 0


def test_lines_too_thin_for_the_reduced_copy_are_dark_all_the_same() -> None:
    page = np.full((1200, 1600, 3), 0.95, np.float32)
    page[100:1100:40, 200:1400] = 0.03
    assert estimate_veil(page) < 0.04 < 0.9 < estimate_veil(page[101:140])


def strewn(kernel: Array, seed: int = 3) -> Array:
    """A smooth picture with bright things of one shape all over it."""
    points = (np.random.default_rng(seed).random((384, 512)) < 0.004).astype(np.float32)
    return np.clip(0.3 + 0.3 * cv2.filter2D(points, -1, kernel), 0, 1)


def test_upright_streaks_are_told_from_lying_ones_and_from_spots() -> None:
    line = np.zeros((31, 31), np.float32)
    line[:, 15] = 1
    spot = cv2.getGaussianKernel(9, 1.5, cv2.CV_32F)
    spot = (spot @ spot.T) / float(spot.max() ** 2)
    rain, lying, snow = (estimate_falling(strewn(kernel)) for kernel in (line, line.T, spot))
    assert rain.upright > 0.6 and lying.upright < -0.6 and abs(snow.upright) < 0.1
    assert snow.bright > 1 and estimate_falling(1 - strewn(spot)).bright < -1
    assert min(rain.contrast, snow.contrast) > 0.01


def test_noise_neither_stands_nor_shines() -> None:
    found = estimate_falling(luma(with_noise(np.full((384, 384, 3), 0.5, np.float32), 0.05)))
    assert abs(found.upright) < 0.06 and abs(found.bright) < 0.2 and found.contrast > 0.02


def test_large_photographs_are_reduced_by_a_whole_number() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3001, 4003, 1), dtype=np.uint8)
    small = reduced(Image(pixels))
    assert small.shape == (1000, 1334, 1) and abs(small.size - AREA) < 0.5 * AREA
    np.testing.assert_allclose(small[5, 7, 0], pixels[15:18, 21:24].mean() / 255, atol=1 / 255)
    assert reduced(Image(pixels[:1000, :1500])).shape == (1000, 1500, 1)


def test_windows_are_spread_over_the_photograph() -> None:
    pixels = np.zeros((2000, 900, 3), np.uint8)
    pixels[-1, -1] = 255
    found = list(windows(Image(pixels)))
    assert len(found) == 6 and {part.shape for part in found} == {(WINDOW, WINDOW, 3)}
    assert found[-1][-1, -1].tolist() == [1.0, 1.0, 1.0] and sum(float(part.sum()) for part in found) == 3.0
    assert [part.shape for part in windows(Image(pixels[:50, :60]))] == [(50, 60, 3)]


def test_means_of_tiles() -> None:
    values = np.arange(42, dtype=np.float32).reshape(6, 7)
    np.testing.assert_allclose(tile_means(values, 3), [[8, 11], [29, 32]])
    assert tile_means(values, 8).size == 0
