"""Methods whose images are never cut, and what methods give besides the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from restorekit import images
from restorekit.errors import OutOfMemoryError, SettingError, UsageError
from restorekit.inference import Restorer
from restorekit.inference.canvas import Canvas
from restorekit.inference.engine import Engine
from restorekit.inference.tiling import plan_tiles
from restorekit.methods import Tiling, get_method
from restorekit.methods.multi_output import METHOD
from tests.inference.networks import SHORT, Mean3, Tight, picture, restorer_of

WHOLE = Tiling(multiple=8, halo=None, overlap=16, minimum=32, bytes_per_pixel=100, whole=True)


class WholeMean(Mean3):
    """The mean of 3x3 pixels, by a method that asks not to be cut."""

    name = "whole-mean"

    def tiling(self, config: int) -> Tiling:
        return replace(super().tiling(config), whole=True)


@pytest.fixture
def depth() -> Restorer:
    method = get_method("dcpi-depth")
    config = method.config_type((8, 16, 24), ((1,), (1,), (1, 2)), (4, 4, 4), scales=1, height=32, width=64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Restorer(method, config, method.build(config), device="cpu", precision="fp32")


@pytest.mark.parametrize("size", [(1, 1), (20_000, 30_000), (3, 9000)])
def test_no_limit_cuts_what_must_be_whole(size: tuple[int, int]) -> None:
    plan = plan_tiles(size, WHOLE, max_side=64, max_pixels=4096, overlap=16)
    assert plan.is_whole and plan.exact and plan.overlap == 0
    assert [(span.start, span.stop, span.first, span.last) for span in (*plan.rows, *plan.columns)] == [
        (0, side, 0, side) for side in size
    ]


def test_too_little_memory_for_the_whole_is_an_error_at_once() -> None:
    method = WholeMean()
    backend = Tight(method, nn.AvgPool2d(3, stride=1, padding=1), room=100)
    canvas = Canvas(images.Image.from_array(picture(40, 50)), 1, False, False)
    with pytest.raises(
        OutOfMemoryError, match="not enough memory for an image of 50x40 pixels, and whole-mean must see it whole"
    ):
        Engine(method, 0, backend).fill(canvas, lambda done, tiles: None, lambda text: None)
    assert len(backend.tried) == 1


@pytest.mark.parametrize("options", [{"tile": 64}, {"overlap": 8}])
def test_a_tile_for_what_must_be_whole_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(SettingError, match="whole-mean sees images whole, and takes no tile, overlap or batch"):
        Restorer(WholeMean(), 0, WholeMean().build(0), device="cpu", **options)


def test_depth_comes_as_numbers(depth: Restorer) -> None:
    assert depth.extras == {"disparity", "depth"}
    given = picture(45, 70)
    result = depth(given, maps=("disparity", "depth"))
    disparity = result.maps["disparity"]
    assert disparity.shape == result.maps["depth"].shape == (45, 70) and disparity.dtype == np.float32
    np.testing.assert_allclose(1 / result.maps["depth"], 1 / 80 + (1 / 0.1 - 1 / 80) * disparity, rtol=1e-5)
    np.testing.assert_allclose(result.image.pixels, disparity[..., None].repeat(3, 2), atol=1e-6)
    assert list(depth(given, maps=["depth"], strength=0).maps) == ["depth"]
    assert depth(given).maps == {}


def test_maps_are_put_together_from_tiles() -> None:
    given = picture(150, 190)
    whole = restorer_of(SHORT)(given, maps=("heads", "spread"))
    halo = METHOD.tiling(SHORT).halo or 0
    tiled = restorer_of(SHORT, tile=2 * halo + 40, overlap=halo)(given, maps=("heads", "spread"))
    assert tiled.run.tiles > 1 and whole.maps["heads"].shape == (150, 190, 3, 3)
    for name, values in whole.maps.items():
        np.testing.assert_allclose(tiled.maps[name], values, atol=1e-4)
    assert np.abs(whole.maps["heads"].std(2)).max() > 1e-3


def test_maps_nobody_knows_are_refused(depth: Restorer) -> None:
    with pytest.raises(UsageError, match=r"gives no heads\. Besides the image it gives depth and disparity"):
        depth(picture(40, 40), maps=("heads",))
    with pytest.raises(UsageError, match="Besides the image it gives nothing"):
        Restorer(Mean3(), 0, Mean3().build(0), device="cpu")(picture(9, 9), maps=("depth",))
