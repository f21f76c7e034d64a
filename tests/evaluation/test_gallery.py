from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PillowImage

from restorekit.evaluation import Exhibit, Gallery, Policy, Score
from restorekit.evaluation.gallery import encode, find_window
from restorekit.images import Image, Metadata
from restorekit.images.colour import display_p3

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 24, width: int = 32) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def exhibit(name: str, count: int = 2, height: int = 24, width: int = 32) -> Exhibit:
    pictures = {f"p{seed}": picture(seed, height, width) for seed in range(count)}
    return Exhibit(name, (width, height), (0, 0, width, height), pictures)


def offer(gallery: Gallery, name: str, before: float, after: float) -> None:
    scores = [Score(name, "input", {"psnr": before}), Score(name, "m", {"psnr": after})]
    gallery.offer(name, {"input": picture(0), "m": picture(1)}, picture(2), scores)


def test_the_worst_gains_are_kept_the_worst_first() -> None:
    gallery = Gallery(Policy(count=3))
    for name, gain in {"a": 2.0, "b": -1.0, "c": 0.5, "d": 3.0, "e": -2.0, "f": 0.5}.items():
        offer(gallery, name, 30.0, 30.0 + gain)
    assert [entry.name for entry in gallery.exhibits] == ["e", "b", "c"]
    assert list(gallery.exhibits[0].pictures) == ["input", "m", "target"]


def test_where_none_are_to_be_shown_none_are_kept() -> None:
    gallery = Gallery(Policy(count=0))
    offer(gallery, "a", 30.0, 29.0)
    offer(gallery, "b", 30.0, 28.0)
    assert gallery.exhibits == () and gallery.show().files == ()


def test_without_an_input_the_worst_scores_are_kept() -> None:
    gallery = Gallery(Policy(count=2))
    for name, value in {"a": 30.0, "b": 20.0, "c": 25.0}.items():
        gallery.offer(name, {"m": picture(1)}, picture(2), [Score(name, "m", {"psnr": value})])
    assert [entry.name for entry in gallery.exhibits] == ["b", "c"]
    gallery = Gallery(Policy(count=1))
    for name, value in {"a": 0.1, "b": 0.4}.items():
        gallery.offer(name, {"m": picture(1)}, picture(2), [Score(name, "m", {"lpips": value})])
    assert [entry.name for entry in gallery.exhibits] == ["b"]


def test_large_pictures_are_cut_to_where_the_error_is() -> None:
    target = picture(2, 300, 400)
    wrong = target.copy()
    wrong[200:220, 310:330] ^= 128
    gallery = Gallery(Policy(pixels=4800))
    gallery.offer("x", {"m": wrong}, target, [Score("x", "m", {"psnr": 20.0})])
    entry = gallery.exhibits[0]
    left, top, width, height = entry.window
    assert width * height <= 4800 and width == pytest.approx(80, abs=1)
    assert left <= 310 and left + width >= 330 and top <= 200 and top + height >= 220
    assert np.array_equal(entry.pictures["m"], wrong[top : top + height, left : left + width])
    assert entry.size == (400, 300)


def test_without_a_target_it_is_where_most_was_changed_or_the_middle() -> None:
    before = picture(2, 300, 400)
    after = before.copy()
    after[200:220, 310:330] ^= 128
    scores = [Score("x", "input", {"brisque": 30.0}), Score("x", "m", {"brisque": 120.0})]
    gallery = Gallery(Policy(pixels=4800, count=1))
    gallery.offer("x", {"input": before, "m": after}, None, scores)
    gallery.offer("y", {"input": before, "m": after}, None, [*scores[:1], Score("y", "m", {"brisque": 110.0})])
    (entry,) = gallery.exhibits
    left, top, width, height = entry.window
    assert entry.name == "x" and list(entry.pictures) == ["input", "m"]
    assert left <= 310 and left + width >= 330 and top <= 200 and top + height >= 220 and "changed" in entry.why
    gallery = Gallery(Policy(pixels=4800))
    gallery.offer("x", {"restored": before}, None, [Score("x", "restored", {"brisque": 30.0})])
    assert gallery.exhibits[0].window == (160, 120, 80, 60) and gallery.exhibits[0].why == ""


@pytest.mark.parametrize("shape", [(10, 1000), (1000, 10), (60, 80), (1, 7)])
def test_windows_lie_inside(shape: tuple[int, int]) -> None:
    a, b = picture(0, *shape), picture(1, *shape)
    left, top, width, height = find_window(a, b, 1200)
    assert width * height <= 1200 and left + width <= shape[1] and top + height <= shape[0]
    assert min(width, height) >= 1


def test_what_fits_is_stored_without_loss() -> None:
    shown = encode([exhibit("x")], 1 << 20)
    assert (shown.quality, shown.left_out) == (100, 0)
    stored = np.asarray(PillowImage.open(io.BytesIO(shown.files[0]["p1"])))
    assert np.array_equal(stored, picture(1))


def test_what_does_not_fit_is_compressed_then_left_out() -> None:
    exhibits = [exhibit(name, height=96, width=96) for name in "abcd"]
    whole = sum(len(data) for table in encode(exhibits, 1 << 24).files for data in table.values())
    compressed = encode(exhibits, whole - 1)
    assert compressed.quality < 100 and compressed.left_out == 0
    few = encode(exhibits, 20_000)
    size = sum(len(data) for table in few.files for data in table.values())
    assert few.quality == 80 and 0 < size <= 20_000
    assert len(few.exhibits) == len(few.files) and len(few.exhibits) + few.left_out == 4 and few.left_out > 0


def test_pictures_are_shown_in_srgb_arrays_by_the_profile_of_the_input() -> None:
    red = np.broadcast_to(np.array([234, 51, 35], np.uint8), (12, 16, 3))  # as Display P3 has the red of sRGB
    wide = Image(red, metadata=Metadata(icc_profile=display_p3()))
    gallery = Gallery()
    gallery.offer("x", {"input": wide, "m": wide, "classical": red}, Image(red), [Score("x", "m", {"psnr": 20.0})])
    shown = gallery.exhibits[0].pictures
    for label in ("input", "m", "classical"):
        assert np.abs(shown[label].astype(int) - (255, 0, 0)).max() <= 3
    assert np.array_equal(shown["target"], red)
