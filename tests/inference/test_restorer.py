from __future__ import annotations

import copy
import io
import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as PillowImage

import restorekit
from restorekit import images
from restorekit.errors import CardError, ImageError, SettingError, UnknownNameError, UsageError
from restorekit.inference import SPREAD_FULL_SCALE, Restorer, Run, restore
from restorekit.inference.backend import TorchBackend
from restorekit.inference.onnx_backend import OnnxBackend
from tests.inference.networks import METHOD, SHORT, Mean3, network_of, picture, restorer_of
from tests.tiny import write_other_card, write_tiny_card

SIZE = (45, 70)


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return restorer_of(SHORT)


def heads_of(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the network's heads say of ``(H, W, 3)`` as ``(n, H, W, 3)``, without any of the engine."""
    with torch.no_grad():
        heads = network_of(SHORT).eval()(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    return heads[0].permute(0, 2, 3, 1).numpy()


def samples(dtype: str, channels: int = 3, seed: int = 0) -> NDArray[np.generic]:
    return images.quantise(picture(*SIZE, channels, seed), dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_colours_keep_their_sample_type(restorer: Restorer, dtype: str) -> None:
    given = samples(dtype)
    result = restorer(given).to_array()
    expected = heads_of(images.to_float(given)).mean(0)
    assert result.dtype == dtype and result.shape == given.shape
    step = {"uint8": 1 / 255, "uint16": 1 / 65535, "float32": 0}[dtype]
    assert abs(images.to_float(result) - expected).max() <= step / 2 + 1e-5
    assert abs(expected - images.to_float(given)).max() > 0.01


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_grey_is_the_mean_of_the_colours_it_becomes(restorer: Restorer, dtype: str) -> None:
    given = samples(dtype, 1)
    result = restorer(given[:, :, 0])
    expected = heads_of(images.to_float(given).repeat(3, axis=2)).mean((0, 3))
    assert result.image.is_grey and result.to_array().shape == SIZE
    assert abs(images.to_float(result.to_array()) - expected).max() <= 0.5 / 255 + 1e-5


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_carried_over(restorer: Restorer, channels: int) -> None:
    given = samples("uint16", channels)
    result = restorer(given).to_array()
    assert (result[..., -1] == given[..., -1]).all()
    without = restorer(np.ascontiguousarray(given[..., :-1])).to_array().reshape(*SIZE, -1)
    assert (result[..., :-1] == without).all()
    assert (result[..., :-1] != given[..., :-1]).mean() > 0.9


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_strength_zero_gives_the_input_itself(restorer: Restorer, dtype: str, channels: int) -> None:
    given = np.asarray(
        np.random.default_rng(0).random((*SIZE, channels)) * {"uint8": 255, "uint16": 65535, "float32": 1.5}[dtype], dtype
    )
    result = restorer(given, strength=0)
    assert (result.to_array().reshape(given.shape) == given).all()
    assert result.run.tiles == 0 and "untouched" in str(result.run)
    with_heads = restorer(given, strength=0, candidates=True)
    assert (with_heads.to_array().reshape(given.shape) == given).all()
    assert with_heads.run.tiles == 1 and len(with_heads.candidates) == 3


def test_strength_blends_with_the_input(restorer: Restorer) -> None:
    given = samples("float32")
    full = restorer(given).to_array()
    for strength in (0.25, 0.8):
        np.testing.assert_allclose(restorer(given, strength=strength).to_array(), given + strength * (full - given), atol=1e-6)


@pytest.mark.parametrize("strength", [-0.1, 1.01, float("nan")])
def test_strength_outside_its_range(restorer: Restorer, strength: float) -> None:
    with pytest.raises(UsageError, match=f"a strength of {strength} is outside 0 to 1"):
        restorer(samples("uint8"), strength=strength)


def test_candidates_are_the_heads_and_strength_leaves_them_alone(restorer: Restorer) -> None:
    given = samples("uint16", 4)
    heads = heads_of(images.to_float(given[..., :3]))
    for strength in (1.0, 0.3):
        found = restorer(given, candidates=True, strength=strength).candidates
        assert len(found) == 3
        for image, head in zip(found, heads, strict=True):
            assert abs(images.to_float(image.pixels) - head).max() < 1e-5 + 1 / 65535
            assert image.alpha is not None and (image.alpha == given[..., 3]).all()
    grey = restorer(samples("uint8", 1), candidates=True).candidates
    assert [(image.is_grey, image.bit_depth) for image in grey] == [(True, 8)] * 3


def test_spread_map_has_a_fixed_scale(restorer: Restorer) -> None:
    given = samples("uint8")
    spread = restorer(given, spread=True).spread
    assert spread is not None and spread.is_grey and spread.bit_depth == 16 and spread.size == (SIZE[1], SIZE[0])
    expected = np.sqrt(heads_of(images.to_float(given)).var(0).mean(2))
    assert 0.01 < expected.max() < SPREAD_FULL_SCALE
    np.testing.assert_allclose(spread.pixels[:, :, 0] / 65535 * SPREAD_FULL_SCALE, expected, atol=1e-5)


def test_nothing_is_made_that_was_not_asked_for(restorer: Restorer) -> None:
    result = restorer(samples("uint8"))
    assert result.candidates == () and result.spread is None


@pytest.mark.parametrize(("option", "title"), [("candidates", "candidates"), ("spread", "spread map")])
def test_methods_without_heads_say_so(option: str, title: str) -> None:
    plain = Restorer(Mean3(), 0, Mean3().build(0), device="cpu")
    assert plain.extras == frozenset()
    with pytest.raises(UsageError, match=f"the method mean-3 gives no {title}. Leave out the {title}"):
        plain(samples("uint8"), **{option: True})
    with pytest.raises(UsageError, match=f"the method mean-3 gives no {title}. Leave out the {title}"):
        plain.check_gives(option == "candidates", option == "spread")
    plain.check_gives()


def test_what_a_method_gives_besides_the_image(restorer: Restorer) -> None:
    assert restorer.extras == {"heads", "spread"}


def test_inputs_of_every_kind_give_the_same(restorer: Restorer, tmp_path: Path) -> None:
    given = samples("uint8")
    path = tmp_path / "photo.png"
    PillowImage.fromarray(given).save(path)
    expected = restorer(given).to_array()
    for kind in (path, str(path), PillowImage.open(path), images.read(path), np.asfortranarray(given)):
        assert (restorer(kind).to_array() == expected).all()


def test_what_is_no_image_is_refused(restorer: Restorer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a list is not an image\. Give a path, a NumPy array or a Pillow image"):
        restorer([[1, 2], [3, 4]])  # type: ignore[arg-type]
    with pytest.raises(ImageError, match=r"has no pixels"):
        restorer(np.zeros((0, 5, 3), np.uint8))
    with pytest.raises(ImageError):
        restorer(np.zeros((4, 4, 3), np.int64))
    with pytest.raises(ImageError):
        restorer(tmp_path / "absent.png")


def test_result_is_saved_with_what_the_file_had(restorer: Restorer, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    PillowImage.fromarray(samples("uint8", 4)).save(source, dpi=(300, 300))
    result = restorer(source)
    assert result.image.metadata.dpi == pytest.approx((300, 300), rel=1e-3)
    result.save(tmp_path / "sharp.png")
    with PillowImage.open(tmp_path / "sharp.png") as saved:
        assert saved.mode == "RGBA" and saved.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
        assert (np.asarray(saved) == result.to_array()).all()
    assert (np.asarray(result.to_pil()) == result.to_array()).all()
    stripped = io.BytesIO()
    result.save(stripped, format="PNG", strip=True)
    assert "dpi" not in PillowImage.open(stripped).info


def test_run_says_how_it_went(restorer: Restorer) -> None:
    given = picture(90, 200)
    whole = restorer(given).run
    assert (whole.device, whole.precision, whole.tile, whole.overlap, whole.tiles, whole.notes) == ("cpu", "fp32", None, 0, 1, ())
    assert 0 < whole.seconds < 60
    run = restorer_of(SHORT, tile=64, overlap=8)(given).run
    assert (run.tile, run.overlap, run.tiles) == ((64, 64), 8, 8)
    assert (
        str(Run("cuda:0", "bf16", (512, 640), 64, 6, 1.26))
        == "cuda:0, bf16, 6 tiles of 640x512 with 64 of context on each side, 1.3 s"
    )
    assert str(Run("cpu", "fp32", None, 0, 1, 0.3)) == "cpu, fp32, whole, 0.3 s"


def test_progress_and_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    run = TorchBackend.run

    def tight(self: TorchBackend, tile: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        if tile.shape[2] * tile.shape[3] > 100 * 100:
            raise MemoryError
        return run(self, tile)

    monkeypatch.setattr(TorchBackend, "run", tight)
    restorer = restorer_of(SHORT)
    progress: list[tuple[int, int]] = []
    notes: list[str] = []
    result = restorer(picture(90, 180), progress=lambda *counts: progress.append(counts), on_note=notes.append)
    assert result.run.notes == tuple(notes) == ("not enough memory on cpu for a tile of 180x92: 90 is the most now",)
    assert progress == [(0, 1), *((i, result.run.tiles) for i in range(result.run.tiles + 1))]
    assert max(result.run.tile or (0,)) <= 90


def test_progress_may_ask_what_the_method_gives() -> None:
    restorer = restorer_of(SHORT)
    found: list[frozenset[str]] = []
    worker = threading.Thread(
        target=lambda: restorer(picture(20, 20), progress=lambda *_: found.append(restorer.extras)), daemon=True
    )
    worker.start()
    worker.join(60)
    assert not worker.is_alive() and found[0] >= {"heads", "spread"}


def test_bf16_comes_close_and_is_reported() -> None:
    given = picture(64, 80)
    rough = restorer_of(SHORT, precision="bf16")
    result = rough(given)
    assert (rough.precision, result.run.precision) == ("bf16", "bf16")
    assert 0 < abs(result.to_array() - restorer_of(SHORT)(given).to_array()).max() < 5e-3


def test_low_precision_that_runs_over_is_raised_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    run = TorchBackend.run

    def runs_over(self: TorchBackend, tile: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        maps = run(self, tile)
        return {name: values * np.float32("inf") for name, values in maps.items()} if self.precision == "bf16" else maps

    monkeypatch.setattr(TorchBackend, "run", runs_over)
    restorer = restorer_of(SHORT, precision="bf16")
    given = picture(30, 40)
    first, second = restorer(given), restorer(given)
    assert first.run.notes == ("bf16 gave values that are not finite: the image is run again in fp32",)
    assert (first.run.precision, second.run.precision, second.run.notes) == ("fp32", "fp32", ())
    assert (first.to_array() == restorer_of(SHORT)(given).to_array()).all()


def test_threads_share_one(restorer: Restorer) -> None:
    pictures = [samples("uint8", seed=seed) for seed in range(6)]
    expected = [restorer(given).to_array() for given in pictures]
    with ThreadPoolExecutor(3) as pool:
        for result, wanted in zip(pool.map(restorer, pictures), expected, strict=True):
            assert (result.to_array() == wanted).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 63}, "tile must be at least 64 for multi-output, not 63"),
        ({"overlap": -1}, "overlap must be at least 0 for multi-output, not -1"),
        ({"memory": 0}, "memory must be at least 1 for multi-output, not 0"),
        ({"tile": 96, "overlap": 48}, "an overlap of 48 pixels needs tiles of at least 100 a side, and 96 is the most"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, int], message: str) -> None:
    with pytest.raises(SettingError, match=re.escape(message)):
        restorer_of(SHORT, **options)


def test_devices_and_precisions_nobody_knows() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'gpu'"):
        restorer_of(SHORT, device="gpu")
    with pytest.raises(UnknownNameError, match="unknown precision 'half'"):
        restorer_of(SHORT, precision="half")


def test_a_card_makes_a_restorer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_card(tmp_path, scale=0.1)
    restorer = Restorer.from_card(path, device="cpu", precision="fp32", tile=64, overlap=8, memory=10**8)
    card = restorekit.load_card(str(path))
    assert (restorer.name, restorer.method.name, restorer.device, restorer.precision) == ("tiny", "multi-output", "cpu", "fp32")
    given = picture(70, 90)
    result = restorer(given)
    assert result.run.tiles == 4
    assert (Restorer.from_card(card, device="cpu", precision="fp32")(given).run.tiles) == 1
    whole = restore(given, path, device="cpu", precision="fp32")
    monkeypatch.setattr("restorekit.zoo.contenders", lambda task, inputs: {"deblur": [card]}[task])
    assert (restore(given, device="cpu", precision="fp32").to_array() == whole.to_array()).all()
    card.weights_path().unlink()
    with pytest.raises(CardError):
        Restorer.from_card(path)


def test_without_a_model_what_is_given_beside_the_image_chooses_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (write_tiny_card(tmp_path, "plain"), write_other_card(tmp_path, "infwide")):
        path.write_text('default_for = ["deblur"]\n' + path.read_text())
    monkeypatch.setattr("restorekit.zoo.find._shipped_folder", lambda: tmp_path)
    given, psf = picture(32, 32), np.ones((1, 5), np.float32)
    settings: dict[str, Any] = {"device": "cpu", "precision": "fp32"}
    expected = Restorer.from_card(tmp_path / "tiny-deblur.toml", **settings)(given, psf=psf).to_array()
    assert (restore(given, psf=psf, **settings).to_array() == expected).all()
    plain = Restorer.from_card(tmp_path / "plain.toml", **settings)(given).to_array()
    assert (restore(given, **settings).to_array() == plain).all()


class Exported(OnnxBackend):
    """An exported model, as far as its precision goes."""

    precision = "fp32"
    facts: Any = SimpleNamespace(tiling=lambda: METHOD.tiling(SHORT), size=None, longest=None)

    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("precision", "remedy"),
    [
        ("fp16", "Export one with --precision fp16."),
        ("bf16", "Leave the precision out, or name the card it was exported from."),
    ],
)
def test_an_exported_model_of_another_precision_names_a_remedy_that_there_is(precision: str, remedy: str) -> None:
    with pytest.raises(SettingError) as caught:
        Restorer(METHOD, SHORT, Exported(), precision=precision)
    assert str(caught.value) == f"this ONNX model computes in fp32. {remedy}"


def test_importing_the_engine_does_not_import_torch() -> None:
    code = "import sys, restorekit.inference; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
def test_the_result_shares_no_memory_with_what_was_given(restorer: Restorer, strength: float) -> None:
    given = np.dstack([samples("uint8"), np.full(SIZE, 77, np.uint8)])
    own = images.Image.from_array(given)
    for result in (restorer(given, strength=strength), restorer(own, strength=strength, candidates=True)):
        for image in (result.image, *result.candidates):
            image.pixels[:] = 0
            assert image.alpha is not None
            image.alpha[:] = 0
    assert (given[..., 3] == 77).all() and np.array_equal(given[..., :3], samples("uint8"))


def test_a_map_may_be_named_without_a_list(restorer: Restorer) -> None:
    result = restorer(samples("uint8"), maps="heads")
    assert result.maps["heads"].shape == (*SIZE, 3, 3)
    np.testing.assert_allclose(
        result.maps["heads"].transpose(2, 0, 1, 3), heads_of(samples("uint8") / np.float32(255)), atol=1e-5
    )
    with pytest.raises(UsageError, match=r"gives no depth\. Besides the image it gives candidates \(heads\) and spread"):
        restorer(samples("uint8"), maps="depth")


def test_copies_and_pickles_give_the_same(restorer: Restorer) -> None:
    expected = restorer(samples("uint8")).to_array()
    for another in (copy.deepcopy(restorer), pickle.loads(pickle.dumps(restorer))):
        assert np.array_equal(another(samples("uint8")).to_array(), expected)


def test_a_failing_caller_is_not_taken_for_the_network(restorer: Restorer) -> None:
    def full(done: int, tiles: int) -> None:
        if done:
            raise MemoryError("a preview")

    small = restorer_of(SHORT, tile=64)
    before = small(samples("uint8")).run
    with pytest.raises(MemoryError, match="a preview"):
        small(samples("uint8"), progress=full)
    after = small(samples("uint8")).run
    assert (after.tile, after.notes) == (before.tile, ())
