"""Several tiles at once: the same answer, less memory asked for where it ends."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from restorekit import images
from restorekit.errors import SettingError
from restorekit.inference import Restorer
from restorekit.inference.canvas import Canvas
from restorekit.inference.engine import Engine, _alike
from restorekit.inference.memory import Budget
from restorekit.inference.onnx_backend import OnnxBackend
from restorekit.inference.tiling import Span, least_side
from restorekit.methods import Tiling
from restorekit.zoo import list_cards, load_card
from tests.inference.networks import SHORT, Mean3, Tight, picture, restorer_of

MEAN = Mean3()
TILED = [card.name for card in list_cards() if not card.restoration_method().tiling(card.parsed_config()).whole]
PSF = np.array([[0.1, 0.2, 0.4, 0.2, 0.1]], np.float32)


class Groups(Tight):
    """Notes how many tiles it was given at a time, and has no room for more than some of them."""

    def __init__(self, most: int = 99, device: str = "cpu") -> None:
        super().__init__(MEAN, MEAN.build(0), 2**30)
        self.most = most
        self.groups: list[int] = []
        self.device = torch.device(device)

    def run(self, tile: np.ndarray, **extras: np.ndarray) -> dict[str, np.ndarray]:
        self.groups.append(len(tile))
        if len(tile) > self.most:
            raise MemoryError("simulated")
        return {"image": torch.nn.functional.avg_pool2d(torch.from_numpy(tile), 3, stride=1, padding=1).numpy()}

    def start(self, tile: np.ndarray, **extras: np.ndarray) -> Any:
        maps = self.run(tile)
        return lambda: maps

    def release(self) -> None:
        self.released += 1


def fill(engine: Engine, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    canvas = Canvas(images.Image.from_array(pixels), 1, False, False)
    notes: list[str] = []
    engine.fill(canvas, lambda done, tiles: None, notes.append)
    return canvas.answer, notes


@pytest.mark.parametrize("name", TILED)
def test_a_model_says_the_same_of_tiles_alone_and_at_once(name: str) -> None:
    card = load_card(name)
    method = card.restoration_method()
    side = max(96, least_side(method.tiling(card.parsed_config()), 0))
    given = {"psf": PSF} if "psf" in method.extra_inputs else {}
    values = images.quantise(picture(2 * side - 32, 2 * side - 32), "uint16")
    single, batched = (
        Restorer.from_card(card, device="cpu", precision="fp32", tile=side, overlap=8, batch=batch) for batch in (None, 2)
    )
    one, several = single(values, **given), batched(values, **given)
    assert one.run.tiles == several.run.tiles >= 4 and (one.run.batch, several.run.batch) == (1, 2)
    assert several.run.memory == 2 * one.run.memory and "at once" in str(several.run) and "at once" not in str(one.run)
    error = images.to_float(one.to_array()) - images.to_float(several.to_array())
    least = 45 if name.startswith("histoformer") else 70  # of nearly equal ranks rounding decides; in float64 both are equal
    assert 10 * np.log10(1 / max((error**2).mean(), 1e-12)) > least


def test_heads_and_views_come_in_batches_too() -> None:
    values = picture(150, 170)
    for views in (1, 2):
        one, several = (
            restorer_of(SHORT, tile=64, batch=batch, views=views)(values, candidates=True, spread=True) for batch in (1, 3)
        )
        np.testing.assert_allclose(several.to_array(), one.to_array(), atol=1e-6)
        for head, other in zip(several.candidates, one.candidates, strict=True):
            np.testing.assert_allclose(head.pixels, other.pixels, atol=1e-6)


def test_tiles_of_one_size_are_taken_together() -> None:
    rows = [Span(0, 64, 0, 60, 0, 8), Span(48, 100, 52, 100, 8, 0)]
    columns = [Span(0, 64, 0, 60, 0, 8), Span(48, 112, 52, 108, 8, 8), Span(96, 150, 100, 150, 8, 0)]
    tiles = list(product(rows, columns))
    assert [len(group) for group in _alike(iter(tiles), 2)] == [2, 1, 2, 1]
    assert [tile for group in _alike(iter(tiles), 4) for tile in group] == tiles
    assert [len(group) for group in _alike(iter(tiles), 1)] == [1] * 6


def test_where_memory_ends_fewer_tiles_are_run_at_once_before_smaller_ones() -> None:
    backend = Groups(most=2)
    engine = Engine(MEAN, 0, backend, max_side=64, batch=6)
    image = picture(152, 172)
    answer, notes = fill(engine, image)
    expected, _ = fill(Engine(MEAN, 0, Groups(), max_side=64), image)
    np.testing.assert_allclose(answer, expected, atol=1e-6)
    assert notes == [
        "not enough memory on cpu for 6 tiles at once: 3 is the most now",
        "not enough memory on cpu for 3 tiles at once: 1 is the most now",
    ]
    assert backend.released == 2 and backend.groups[:2] == [6, 3] and set(backend.groups[2:]) == {1}
    assert fill(engine, image)[1] == []  # it is remembered


def test_fewer_at_once_are_less_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that grew as their number shrank would ask for as much again."""
    backend = Groups(most=2)
    engine = Engine(MEAN, 0, backend, memory=8 * 64 * 64 * MEAN.tiling(0).bytes_per_pixel, batch=8)
    tiles: list[int] = []
    plan = engine._plan
    monkeypatch.setattr(engine, "_plan", lambda picture: tiles.append((found := plan(picture)).tile[0]) or found)
    fill(engine, picture(300, 312))
    assert (backend.groups[:3], set(backend.groups[3:])) == ([8, 4, 2], {2}) and len(set(tiles)) == 1


def test_where_tiles_cannot_be_smaller_fewer_run_at_once() -> None:
    backend = Groups()
    least = least_side(MEAN.tiling(0), None or MEAN.tiling(0).overlap)
    engine = Engine(MEAN, 0, backend, memory=3 * least * least * MEAN.tiling(0).bytes_per_pixel, batch=50)
    canvas = Canvas(images.Image.from_array(picture(152, 172)), 1, False, False)
    plan = engine.fill(canvas, lambda done, tiles: None, lambda text: None)
    assert 1 <= max(backend.groups) == engine.at_once < 50
    assert engine.at_once * plan.tile[0] * plan.tile[1] <= max(3 * least * least, plan.tile[0] * plan.tile[1])


def test_what_compiles_is_given_one_at_a_time_unless_more_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.inference.engine.tile_budget", lambda device, memory: Budget(2**30))
    for batch, most in ((None, 1), (3, 3)):
        backend = Groups(device="cuda")
        backend.compiles = True
        fill(Engine(MEAN, 0, backend, max_side=64, batch=batch), picture(152, 172))
        assert max(backend.groups) == most


def test_a_gpu_gets_as_many_as_its_memory_takes_and_a_cpu_one(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(300, 312)
    counts = {}
    for device, tiles in (("cuda", 3), ("cuda", 100), ("cpu", 100)):
        room = tiles * 64 * 64 * MEAN.tiling(0).bytes_per_pixel
        monkeypatch.setattr("restorekit.inference.engine.tile_budget", lambda device, memory, room=room: Budget(room))
        backend = Groups(device=device)
        fill(Engine(MEAN, 0, backend, max_side=64), image)
        counts[device, tiles] = max(backend.groups)
    assert counts == {("cuda", 3): 3, ("cuda", 100): 8, ("cpu", 100): 1}


def test_tiles_that_are_to_run_at_once_share_the_memory() -> None:
    image = picture(300, 312)
    area = {}
    for batch in (1, 4):
        backend = Groups()
        engine = Engine(MEAN, 0, backend, memory=160 * 160 * MEAN.tiling(0).bytes_per_pixel, batch=batch)
        canvas = Canvas(images.Image.from_array(image), 1, False, False)
        plan = engine.fill(canvas, lambda done, tiles: None, lambda text: None)
        area[batch] = plan.tile[0] * plan.tile[1] * engine.at_once
        assert max(backend.groups) == batch
    assert max(area.values()) <= 160 * 160


def test_a_batch_that_cannot_be_is_refused() -> None:
    with pytest.raises(SettingError, match="batch must be at least 1"):
        restorer_of(SHORT, batch=0)
    with pytest.raises(SettingError, match="one tile at a time"):
        exported = OnnxBackend.__new__(OnnxBackend)
        exported.facts = type("Facts", (), {"tiling": lambda self: Tiling(4, 1, 8, 16, 64), "size": None, "longest": None})()  # type: ignore[assignment]
        Restorer(MEAN, 0, exported, batch=2)
    with pytest.raises(SettingError, match="sees images whole, and takes no tile, overlap or batch"):
        Restorer.from_card("dcpi-depth-compact", batch=2)
