"""Tiles against the whole image: equal where the method's halo allows it, without a visible seam where it does not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks.tiling import Choice, tone
from restorekit import images
from restorekit.inference import Restorer
from restorekit.inference.tiling import TilePlan, plan_tiles
from restorekit.methods import get_method
from restorekit.methods.multi_output import METHOD, MultiOutputConfig
from restorekit.zoo import load_card, load_network
from tests.inference.networks import LONG, SHORT, picture, restorer_of

EXAMPLES = Path(__file__).parents[2] / "examples"
WHOLE = 100_000  # a tile no image here is longer than

CASES = {
    "two levels": (SHORT, (197, 223)),
    "oblong windows": (replace(SHORT, train_size=(8, 12)), (97, 333)),
    "odd windows": (replace(SHORT, enc_blk_nums=(2,), dec_blk_nums=(0,), train_size=(6, 10)), (211, 130)),
    "asked around": (replace(SHORT, answer="cautious", doubt=0.3, doubt_region=40, doubt_power=2.0), (333, 350)),
    "deep": (replace(SHORT, enc_blk_nums=(0, 1, 1), middle_blk_num=0, dec_blk_nums=(0, 0, 1), train_size=(8, 8)), (301, 45)),
}


@pytest.mark.parametrize(("config", "size"), CASES.values(), ids=CASES)
def test_tiles_give_what_the_whole_image_gives(config: MultiOutputConfig, size: tuple[int, int]) -> None:
    halo = METHOD.tiling(config).halo
    assert halo is not None
    image = picture(*size)
    whole = restorer_of(config, tile=WHOLE)(image, candidates=True, spread=True)
    tiled = restorer_of(config, tile=2 * halo + 40, overlap=halo)(image, candidates=True, spread=True)
    assert whole.run.tiles == 1 and whole.run.tile is None
    assert tiled.run.tiles >= 4 and tiled.run.overlap >= halo
    assert whole.image.pixels.dtype == np.float32
    assert abs(whole.image.pixels - image).max() > 0.03  # the network does something
    np.testing.assert_allclose(tiled.image.pixels, whole.image.pixels, atol=1e-5)
    for one, other in zip(tiled.candidates, whole.candidates, strict=True):
        np.testing.assert_allclose(one.pixels, other.pixels, atol=1e-5)
    assert tiled.spread is not None and whole.spread is not None
    assert abs(tiled.spread.pixels.astype(int) - whole.spread.pixels.astype(int)).max() <= 3


def test_equality_is_the_halos_doing() -> None:
    image = picture(130, 150)
    whole, near = (restorer_of(SHORT, tile=tile, overlap=overlap)(image) for tile, overlap in ((WHOLE, None), (100, 12)))
    assert abs(near.image.pixels - whole.image.pixels).max() > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 5), (65, 63)])
def test_small_and_slender_images(size: tuple[int, int]) -> None:
    image = picture(*size)
    whole, tiled = (restorer_of(SHORT, tile=tile)(image) for tile in (WHOLE, 256))
    assert tiled.image.pixels.shape == (*size, 3)
    np.testing.assert_allclose(tiled.image.pixels, whole.image.pixels, atol=1e-5)


def steps_at_borders(values: NDArray[np.float32], plan: TilePlan) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """For rows and for columns: the mean step onto each line where a tile or fade starts or ends, and onto all others."""
    result = []
    for axis, spans in ((0, plan.rows), (1, plan.columns)):
        steps = abs(np.diff(values, axis=axis)).mean((1 - axis, 2))
        lines = {
            line for span in spans for line in (span.start, span.stop, span.first, span.last, span.first + span.fade_in // 2)
        }
        borders = sorted(lines - {0, values.shape[axis]})
        result.append((steps[np.subtract(borders, 1)], np.delete(steps, np.subtract(borders, 1))))
    return result


def test_no_step_at_the_borders_of_tiles_that_are_not_exact() -> None:
    size = (263, 327)
    image = picture(*size)
    plan = plan_tiles(size, METHOD.tiling(LONG), max_side=128)
    assert len(plan.rows) > 2 and len(plan.columns) > 2 and not plan.exact
    whole, tiled = (restorer_of(LONG, tile=tile)(image).image.pixels for tile in (WHOLE, 128))
    assert abs(tiled - whole).max() > 1e-3  # the tiles do differ, and the merge has something to hide
    for at_borders, elsewhere in steps_at_borders(tiled, plan):
        assert at_borders.max() <= elsewhere.max()
        assert at_borders.mean() <= 1.05 * elsewhere.mean()
    for at_borders, elsewhere in steps_at_borders(tiled - whole, plan):
        assert at_borders.mean() <= 1.25 * elsewhere.mean()


def test_steps_would_show_without_the_merge() -> None:
    size = (256, 384)  # whole tiles
    image = picture(*size)
    plan = plan_tiles(size, METHOD.tiling(LONG), max_side=128, overlap=0)
    whole, tiled = (restorer_of(LONG, tile=tile, overlap=0)(image).image.pixels for tile in (WHOLE, 128))
    for at_borders, elsewhere in steps_at_borders(tiled - whole, plan):
        assert at_borders.mean() > 2 * elsewhere.mean()


def test_shipped_weights_leave_no_blocks_of_tone_in_a_hazy_sky() -> None:
    card = load_card("histoformer-compact")
    network, method, config = load_network(card), get_method(card.method), card.parsed_config()
    photograph = images.read(EXAMPLES / "lighthouse.jpg").to_pil().resize((256, 192), Image.Resampling.BOX)
    image = np.float32(0.34) + np.float32(0.6) * images.to_float(np.asarray(photograph))  # a veil, for the weights to take off
    plan = plan_tiles((192, 256), method.tiling(config), max_side=128)
    assert (len(plan.rows), len(plan.columns)) == (2, 3)

    def answer(tile: int, anchor: int = 0) -> NDArray[np.float32]:
        chosen = Choice(False, anchor).of(method)
        return Restorer(chosen, config, network, device="cpu", precision="fp32", tile=tile)(image).image.pixels

    whole = answer(WHOLE)
    by_themselves, anchored = (tone(answer(128, anchor) - whole, plan) for anchor in (0, method.tiling(config).anchor))
    assert by_themselves > 10  # levels of 8 bits, which anyone sees
    assert anchored < 5  # sorts depend on the last digits, and so on the processor: 4.2 on one, less than 4 on others
    assert anchored < by_themselves / 2
