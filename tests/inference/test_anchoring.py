"""Tiles of a network that judges an image as a whole get one tone from a reduced copy of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from restorekit import images
from restorekit.inference import Restorer
from restorekit.inference.anchoring import Anchor, reduced, reduced_size
from restorekit.inference.engine import Engine
from restorekit.inference.resampling import enlarged, means
from restorekit.inference.tiling import Span, TilePlan, plan_tiles
from restorekit.methods import Tiling
from tests.inference.networks import Mean3, Tight, picture
from tests.inference.test_engine import fill


class Judge(Mean3):
    """Gives every image the same mean, as a network does that judges an image as a whole."""

    name = "judge"

    def __init__(self, anchor: int = 16) -> None:
        self.anchor = anchor

    def tiling(self, config: int) -> Tiling:
        return Tiling(multiple=8, halo=None, overlap=8, minimum=16, bytes_per_pixel=64, anchor=self.anchor)

    def predict(self, network: nn.Module, image: Tensor, **extras: Tensor) -> dict[str, Tensor]:
        return {"image": image - image.mean((2, 3), keepdim=True) + 0.5}


def restorer(anchor: int = 16, **options: Any) -> Restorer:
    method = Judge(anchor)
    return Restorer(method, 0, method.build(0), device="cpu", precision="fp32", **options)


def test_tiles_have_the_tone_of_the_whole_and_their_own_detail() -> None:
    image = picture(150, 190)
    whole = restorer(tile=10_000)(image).image.pixels
    alone, anchored = (abs(restorer(anchor, tile=64)(image).image.pixels - whole) for anchor in (0, 16))
    assert alone.max() > 0.1
    assert anchored.max() < 0.02 and anchored.mean() < 0.003  # the grain alone is 0.06


def test_the_copy_takes_no_more_than_a_tile_and_is_run_once() -> None:
    for options in ({"max_side": 64}, {"memory": 64 * 64 * 64}, {"size": (64, 80)}):
        method = Judge()
        backend = Tight(method, method.build(0), 2**30)
        plan = fill(Engine(method, 0, backend, **options), picture(170, 230))[1]  # type: ignore[arg-type]
        assert len(backend.tried) == 1 + plan.tiles > 5
        height, width = backend.tried[0]
        assert height * width <= plan.tile[0] * plan.tile[1]
        assert max(height, width) <= 64 or "memory" in options
        assert height / width == pytest.approx(170 / 230, rel=0.2)


def test_images_of_one_tile_and_exact_tiles_have_no_copy() -> None:
    for method, side in ((Judge(), 10_000), (Judge(anchor=0), 64), (Mean3(), 64)):
        backend = Tight(method, method.build(0), 2**30)
        plan = fill(Engine(method, 0, backend, max_side=side), picture(150, 170))[1]
        assert len(backend.tried) == plan.tiles


def test_images_in_their_files_get_the_same_answer(tmp_path: Path) -> None:
    pixels = images.quantise(picture(263, 150), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", metadata=None, compression="zlib", rowsperstrip=16)
    image = images.open_large(tmp_path / "a.tif", scratch=tmp_path)
    assert image is not None
    network = restorer(tile=64)
    answer, run = network.restore_large(image)
    assert run.tiles > 6
    np.testing.assert_array_equal(answer.load().pixels, network(pixels).image.pixels)


def test_a_copy_is_made_of_means_whatever_is_read_at_a_time() -> None:
    image = images.Image(picture(60, 84))
    copy = reduced(image, (20, 28), 11).pixels
    np.testing.assert_allclose(copy, image.pixels.reshape(20, 3, 28, 3, 3).mean((1, 3)), atol=1e-6)
    odd = [reduced(image, (17, 31), band).pixels for band in (1, 60)]
    np.testing.assert_allclose(odd[0], odd[1], atol=1e-6)
    assert odd[0].mean((0, 1)) == pytest.approx(image.pixels.mean((0, 1)), abs=1e-5)


def test_sizes_of_copies() -> None:
    plan = plan_tiles((5464, 8192), Tiling(16, None, 32, 128, 1), max_pixels=1024**2)
    height, width = reduced_size(plan, 16, None)
    assert 0.9 * 2**20 < height * width <= plan.tile[0] * plan.tile[1]
    assert max(reduced_size(plan, 16, 512)) == 512
    slender = TilePlan((20, 40_000), (24, 1000), 32, False, (), ())
    assert reduced_size(slender, 8, None) == (8, 6928)


def test_means_share_pixels_between_cells() -> None:
    values = np.array([[[1.0, 2.0, 4.0], [3.0, 6.0, 8.0]]], np.float32)
    found = means(values, np.array([0.0, 2.0]), np.array([0.5, 1.5, 3.0]))
    np.testing.assert_allclose(found, [[[(1 + 2 + 3 + 6) / 4, (0.5 * 2 + 4 + 0.5 * 6 + 8) / 3]]])


def test_enlarging_keeps_what_is_the_same_everywhere_and_agrees_with_pytorch() -> None:
    values = np.random.default_rng(0).random((2, 4, 5), np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(values)[None], (9, 33), mode="bilinear")[0].numpy()
    np.testing.assert_allclose(enlarged(values, (9, 33)), expected, atol=1e-6)
    assert (enlarged(np.full((1, 1, 1), 0.3, np.float32), (5, 6)) == np.float32(0.3)).all()


def test_all_maps_are_corrected() -> None:
    def maps(value: float, *size: int) -> dict[str, NDArray[np.float32]]:
        return {"a": np.full((3, *size), value, np.float32), "b": np.full((1, *size), 2 * value, np.float32)}

    anchor = Anchor(maps(0.5, 10, 20), (100, 200), 16)
    found = anchor.correct(maps(0.2, 40, 33), Span(60, 100, 60, 100, 0, 0), Span(7, 40, 7, 40, 0, 0))
    np.testing.assert_allclose(found["a"], 0.5, atol=1e-6)
    np.testing.assert_allclose(found["b"], 1.0, atol=1e-6)
