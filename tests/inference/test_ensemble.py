from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restorekit.errors import SettingError
from restorekit.inference import Restorer
from restorekit.inference.ensemble import Ensemble, mirrored
from restorekit.methods import get_method, list_methods
from tests.inference.networks import SHORT, picture, restorer_of
from tests.tiny import write_other_card

FloatArray = NDArray[np.float32]

FLIPS: dict[int, list[tuple[int, ...]]] = {1: [()], 2: [(), (1,)], 4: [(), (1,), (0,), (0, 1)]}
"""Axes of ``(H, W, C)`` that the views turn round."""


@pytest.mark.parametrize("views", [1, 2, 4])
def test_the_answer_is_the_mean_of_the_answers_to_mirror_images(views: int) -> None:
    given = picture(45, 70)
    plain = restorer_of(SHORT)
    single = [np.flip(plain(np.flip(given, axes).copy()).to_array(), axes) for axes in FLIPS[views]]
    result = restorer_of(SHORT, views=views)(given).to_array()
    np.testing.assert_allclose(result, np.mean(single, 0), atol=1e-6)
    if views > 1:
        assert abs(result - single[0]).max() > 1e-3


def test_mirrored_images_get_mirrored_answers() -> None:
    restorer, given = restorer_of(SHORT, views=4), picture(40, 56)
    for axes in FLIPS[4]:
        result = restorer(np.flip(given, axes).copy()).to_array()
        np.testing.assert_allclose(np.flip(result, axes), restorer(given).to_array(), atol=1e-5)


def test_tiles_have_as_many_views_as_the_whole() -> None:
    given = picture(96, 160)
    whole = restorer_of(SHORT, views=4)(given)
    tiled = restorer_of(SHORT, views=4, tile=64, overlap=28)(given)
    assert tiled.run.tiles > 1
    assert 10 * np.log10(1 / np.square(tiled.to_array() - whole.to_array()).mean()) > 45


def test_candidates_and_spread_come_from_all_views() -> None:
    given = picture(45, 70)
    plain, double = restorer_of(SHORT), restorer_of(SHORT, views=2)
    one, other = plain(given, candidates=True), plain(given[:, ::-1].copy(), candidates=True)
    result = double(given, candidates=True, spread=True)
    for head, (first, second) in enumerate(zip(one.candidates, other.candidates, strict=True)):
        expected = (first.pixels + second.pixels[:, ::-1]) / 2
        np.testing.assert_allclose(result.candidates[head].pixels, expected, atol=1e-6)
    assert result.spread is not None


class Recorder:
    """A backend that notes what it is given, and answers with the tile."""

    uses_torch = True
    device = "nowhere"
    precision = "bf16"
    ahead = 1
    batches = True
    compiles = True

    def __init__(self) -> None:
        self.given: list[dict[str, FloatArray]] = []
        self.released = False

    def run(self, tile: FloatArray, **extras: FloatArray) -> dict[str, FloatArray]:
        return self.start(tile, **extras)()

    def start(self, tile: FloatArray, **extras: FloatArray) -> Callable[[], dict[str, FloatArray]]:
        self.given.append({"tile": tile, **extras})
        return lambda: {"image": tile}

    def in_float32(self) -> Recorder:
        return Recorder()

    def release(self) -> None:
        self.released = True


def test_only_extras_that_are_pictures_are_mirrored() -> None:
    backend = Recorder()
    rng = np.random.default_rng(0)
    tile, psf, white = (rng.random(shape, np.float32) for shape in ((1, 3, 4, 6), (1, 1, 3, 5), (2, 2)))
    answer = Ensemble(backend, 4, ["psf"]).run(tile, psf=psf, white=white)
    np.testing.assert_allclose(answer["image"], tile, atol=1e-7)
    assert len(backend.given) == 4
    for given, axes in zip(backend.given, [(), (3,), (2,), (2, 3)], strict=True):
        np.testing.assert_array_equal(given["tile"], np.flip(tile, axes))
        np.testing.assert_array_equal(given["psf"], np.flip(psf, axes))
        np.testing.assert_array_equal(given["white"], white)
        assert all(values.flags.c_contiguous for values in given.values())


def test_all_views_are_started_before_the_first_is_waited_for() -> None:
    backend = Recorder()
    Ensemble(backend, 2).start(np.zeros((1, 3, 4, 4), np.float32))
    assert len(backend.given) == 2


def test_it_passes_for_the_backend_it_runs() -> None:
    backend = Recorder()
    ensemble = Ensemble(backend, 2, ["psf"])
    ensemble.release()
    assert backend.released
    assert (ensemble.uses_torch, ensemble.device, ensemble.precision, ensemble.ahead) == (True, "nowhere", "bf16", 1)
    assert ensemble.batches and ensemble.compiles
    careful = ensemble.in_float32()
    assert careful.backend is not backend and (careful.views, careful.spatial) == (2, frozenset({"psf"}))


@pytest.mark.parametrize("side", [4, 5])
def test_the_centre_of_a_kernel_stays_its_centre(side: int) -> None:
    kernel = np.zeros((1, 1, side, side), np.float32)
    kernel[0, 0, side // 2, side // 2] = 1
    turned = mirrored(kernel, (-2, -1), centred=True)
    rows, columns = turned.shape[-2:]
    assert turned[0, 0, rows // 2, columns // 2] == 1 and turned.sum() == 1


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 1, 1, 9), (1, 1, 9, 1)])
@pytest.mark.parametrize("axes", [(), (-1,), (-2,), (-2, -1)])
def test_sides_of_one_sample_are_turned_too(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    turned = mirrored(values, axes, centred=True)
    assert min(turned.strides) > 0
    np.testing.assert_array_equal(torch.from_numpy(turned).numpy(), np.flip(values, axes))


def test_an_image_of_one_pixel_has_views_too() -> None:
    given = np.full((1, 1, 3), 0.5, np.float32)
    for views in (2, 4):
        assert restorer_of(SHORT, views=views)(given).to_array().shape == (1, 1, 3)


def test_a_kernel_turns_with_its_photograph(tmp_path: Path) -> None:
    """A kernel of even sides and no symmetry: what is answered must not move."""
    card = write_other_card(tmp_path, "infwide")
    given = picture(48, 64)
    psf = np.zeros((4, 6), np.float32)
    psf[2, 3:] = [0.5, 0.3, 0.2]
    plain, double = Restorer.from_card(card, precision="fp32"), Restorer.from_card(card, precision="fp32", views=2)
    turned = np.pad(psf, ((0, 0), (0, 1)))[:, ::-1]
    one, other = plain(given, psf=psf).to_array(), plain(given[:, ::-1].copy(), psf=turned).to_array()[:, ::-1]
    inside = (np.minimum(one, other) > 0) & (np.maximum(one, other) < 1)  # beyond, each was clipped before the mean
    assert inside.mean() > 0.5
    np.testing.assert_allclose(double(given, psf=psf).to_array()[inside], (one + other)[inside] / 2, atol=2e-5)


@pytest.mark.parametrize("views", [0, 3, 8])
def test_another_number_is_refused(views: int) -> None:
    with pytest.raises(SettingError, match=f"views must be 1, 2 or 4, not {views}"):
        restorer_of(SHORT, views=views)


def test_methods_say_how_many_views_they_may_have() -> None:
    views = {name: get_method(name).views for name in list_methods()}
    assert set(views.values()) <= {2, 4}
    assert views["dcpi-depth"] == 2
