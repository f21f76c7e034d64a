from __future__ import annotations

import numpy as np
import pytest

from restorekit import images
from restorekit.cli.depth import Colours
from restorekit.inference import Restorer
from restorekit.inference.pictures import picture_of_disparity, picture_of_map
from tests.inference.networks import METHOD, SHORT, network_of, picture


@pytest.mark.parametrize("colours", Colours)
def test_disparities_have_the_colours_that_are_offered(colours: Colours) -> None:
    slope = np.linspace(0.2, 0.4, 50, dtype=np.float32)[None].repeat(2, 0)
    shown = picture_of_disparity(slope, colours.value).pixels
    assert shown.shape == (2, 50, 3) and shown.dtype == np.uint8 and len(np.unique(shown[0], axis=0)) > 40


def test_disparities_run_from_far_to_near() -> None:
    slope = np.linspace(0.2, 0.4, 50, dtype=np.float32)[None].repeat(2, 0)
    shown = picture_of_disparity(slope, "inferno").pixels.astype(int).sum(2)
    assert (np.diff(shown[0]) >= 0).all() and shown[0, 0] < 30 and shown[0, -1] > 500
    grey = picture_of_disparity(slope).pixels
    assert grey.dtype == np.uint16 and (grey.min(), grey.max()) == (0, 65535)
    assert picture_of_disparity(np.full((2, 3), 0.5, np.float32)).pixels.max() == 0


def test_zero_of_a_kernel_is_mid_grey() -> None:
    values = np.array([[-0.25, 0.0], [0.25, 0.5]], np.float32)
    assert picture_of_map("kernels", values).pixels[:, :, 0].tolist() == [[16384, 32768], [49151, 65535]]
    assert picture_of_map("other", values).pixels[:, :, 0].tolist() == [[0, 0], [16384, 32768]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_what_was_taken_away_is_a_map_of_models_for_dereflect(channels: int, strength: float) -> None:
    given = picture(40, 64, channels)
    restorer = Restorer(METHOD, SHORT, network_of(SHORT), device="cpu", precision="fp32", takes_away="reflection")
    whole = restorer(given).image.pixels
    result = restorer(given, strength=strength, maps="reflection")
    assert "reflection" in restorer.extras
    taken = result.maps["reflection"]
    assert taken.shape == ((40, 64) if channels == 1 else (40, 64, 3)) and np.abs(taken).max() > 0.01
    left = given - taken.reshape(given.shape)
    np.testing.assert_allclose(left.clip(0, 1), whole, atol=1e-5)
    if not strength:
        assert np.array_equal(result.image.pixels, given)


@pytest.mark.parametrize("strength", [0.02, 1.0])
def test_what_was_taken_away_is_not_rounded_as_images_are(strength: float) -> None:
    rounded = images.Image(images.quantise(picture(40, 64), np.uint8))
    restorer = Restorer(METHOD, SHORT, network_of(SHORT), device="cpu", precision="fp32", takes_away="reflection")
    exact = restorer(images.to_float(rounded.pixels), maps="reflection").maps["reflection"]
    np.testing.assert_allclose(restorer(rounded, strength=strength, maps="reflection").maps["reflection"], exact, atol=1e-6)
