"""Images that stay in their files: the same answer as in memory, and no more memory for more rows."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from restorekit import images
from restorekit.errors import SettingError
from restorekit.images import LargeImage, Metadata
from restorekit.inference import Restorer, engine
from restorekit.inference.folder import Batch, FileOptions, Outcome, Products
from restorekit.inference.inputs import plan
from restorekit.methods import get_method
from tests.images.samples import XMP, exif_block, srgb, tags_of
from tests.inference.networks import LONG, METHOD, SHORT, Mean3, network_of, picture

MEAN = Mean3()


def stored(path: Path, pixels: np.ndarray, metadata: Metadata | None = None) -> LargeImage:
    if metadata is None:
        colours = "minisblack" if pixels.ndim == 2 else "rgb"
        tifffile.imwrite(path, pixels, photometric=colours, metadata=None, compression="zlib", rowsperstrip=16)
    else:
        images.write(images.Image(pixels[:, :, :3], pixels[:, :, 3], metadata), path)
    image = images.open_large(path, scratch=path.parent)
    assert image is not None
    return image


def everything(image: LargeImage) -> np.ndarray:
    return image.load().pixels


def restorer(config: Any, **options: Any) -> Restorer:
    method, network = (MEAN, MEAN.build(0)) if config == 0 else (METHOD, network_of(config))
    return Restorer(method, config, network, device="cpu", precision="fp32", **options)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_answer_is_that_of_the_same_tiles_in_memory(dtype: str, strength: float, tmp_path: Path) -> None:
    pixels = images.quantise(picture(301, 267), dtype)
    image = stored(tmp_path / "a.tif", pixels)
    network = restorer(LONG, tile=128)
    answer, run = network.restore_large(image, strength=strength)
    expected = network(pixels, strength=strength)
    assert run.tiles == expected.run.tiles > 6 and run.overlap == expected.run.overlap
    assert abs(expected.image.pixels.astype(float) - pixels).max() > 0
    np.testing.assert_array_equal(everything(answer), expected.image.pixels)


@pytest.mark.parametrize("config", [0, SHORT], ids=["one pixel", "short"])
def test_answer_is_that_of_the_whole_where_tiles_are_exact(config: Any, tmp_path: Path) -> None:
    halo = (MEAN if config == 0 else METHOD).tiling(config).halo  # type: ignore[arg-type]
    assert halo is not None
    pixels = picture(223, 197)
    strips, run = restorer(config, tile=max(2 * halo + 40, 64), overlap=halo).restore_large(stored(tmp_path / "a.tif", pixels))
    whole = restorer(config, tile=10_000)(pixels)
    assert run.tiles >= 4 and whole.run.tiles == 1
    np.testing.assert_allclose(everything(strips), whole.image.pixels, atol=1e-5)


def test_grey(tmp_path: Path) -> None:
    pixels = images.quantise(picture(130, 97, channels=1), "uint8")
    image = stored(tmp_path / "a.tif", pixels[:, :, 0])
    network = restorer(SHORT, tile=64)
    np.testing.assert_array_equal(everything(network.restore_large(image)[0]), network(pixels).image.pixels)


def test_statistics_of_the_whole_reach_every_strip(tmp_path: Path) -> None:
    """C-BSN gives tiles what the mean and spread of the whole image tell."""
    cbsn = get_method("cbsn")
    config = cbsn.config_type(filters=4, num_module=1, tail_channels=4)
    network = Restorer(cbsn, config, cbsn.build(config), device="cpu", precision="fp32", tile=64)
    pixels = picture(150, 97) * np.linspace(0.2, 1, 150, dtype=np.float32)[:, None, None]
    answer, run = network.restore_large(stored(tmp_path / "a.tif", pixels))
    assert run.tiles > 4
    whole = Restorer(cbsn, config, network._engine.backend.network, device="cpu", precision="fp32", tile=10_000)(pixels)  # type: ignore[attr-defined]
    assert whole.run.tiles == 1
    np.testing.assert_allclose(everything(answer), whole.image.pixels, atol=1e-5)


def test_no_array_grows_with_the_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles, windows read and sums kept are no larger for an image of eight times as many rows."""
    most: dict[str, int] = {}

    def counting(where: Any, name: str, sizes: Any) -> None:
        real = getattr(where, name)

        def counted(*arguments: Any, **options: Any) -> Any:
            result = real(*arguments, **options)
            most[name] = max(most.get(name, 0), sizes(result))
            return result

        monkeypatch.setattr(where, name, counted)

    counting(images.large.Windows, "_read", lambda image: image.pixels.size)
    counting(engine, "_cut", lambda tile: tile.size)
    counting(np, "empty", lambda array: array.size)
    seen = []
    for rows in (256, 2048):
        most.clear()
        answer, _ = restorer(0, tile=64).restore_large(stored(tmp_path / f"{rows}.tif", picture(rows, 90)))
        images.write(answer, tmp_path / "out.tif")
        seen.append(dict(most))
    assert seen[0].keys() == {"_read", "_cut", "empty"}
    assert seen[1] == seen[0]


def test_memory_that_ends_half_way_starts_the_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(150, 170)
    network = restorer(0, tile=64)
    run = network._engine.backend.run
    calls = 0

    def ends_once(tile: np.ndarray) -> dict[str, np.ndarray]:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise MemoryError
        return run(tile)

    monkeypatch.setattr(network._engine.backend, "run", ends_once)
    answer, report = network.restore_large(stored(tmp_path / "a.tif", pixels))
    assert len(report.notes) == 1
    np.testing.assert_allclose(everything(answer), restorer(0, tile=10_000)(pixels).image.pixels, atol=1e-6)


def test_strength_0_and_methods_that_see_images_whole(tmp_path: Path) -> None:
    image = stored(tmp_path / "a.tif", picture(64, 64))
    same, run = restorer(0).restore_large(image, strength=0)
    assert same is image and run.tiles == 0
    depth = get_method("dcpi-depth")
    config = depth.presets["compact-xs"]
    with pytest.raises(SettingError, match="sees images whole"):
        Restorer(depth, config, depth.build(config), device="cpu").restore_large(image)


def batch(source: Path, target: Path, options: FileOptions) -> tuple[Outcome, list[bool]]:
    """Blurs by :class:`Mean3`; gives what became of it, and whether the image stayed in its file."""
    network = restorer(0, tile=64)
    large: list[bool] = []

    def compute(image: Any, job: Any) -> Products:
        large.append(isinstance(image, LargeImage))
        if large[-1]:
            answer, run = network.restore_large(image)
            return Products(answer, run=run)
        result = network(image)
        return Products(result.image, run=result.run)

    jobs = plan([str(source)], suffix="soft", output=str(target))
    (outcome,) = Batch(jobs, {}, overwrite=True).run(lambda: compute, options)
    return outcome, large


def test_a_file_keeps_everything(tmp_path: Path) -> None:
    source, by_strips, whole = (tmp_path / name for name in ("a.tif", "strips/b.tif", "whole/b.tif"))
    pixels = images.quantise(np.dstack([picture(140, 150), picture(140, 150, 1, seed=1)]), "uint16")
    stored(source, pixels, Metadata(srgb(), exif_block(1), XMP % 1, (240.0, 120.0)))
    for target, strips in ((by_strips, True), (whole, False)):
        outcome, large = batch(source, target, FileOptions(strips=strips))
        assert outcome.status == "done" and large == [strips]
        assert [path.name for path in target.parent.iterdir()] == ["b.tif"]
    one, other = images.read(by_strips), images.read(whole)
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.alpha, pixels[:, :, 3])
    assert one.metadata.icc_profile == srgb() and one.metadata.xmp == XMP % 1 and one.metadata.dpi == (240.0, 120.0)
    assert tags_of(one.metadata.exif) == tags_of(other.metadata.exif) != {}


def test_by_themselves_only_images_too_large_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "a.tif", tmp_path / "b.tif"
    stored(source, picture(64, 64))
    assert batch(source, target, FileOptions(strips=None))[1] == [False]
    monkeypatch.setattr("restorekit.images.DEFAULT_MAX_PIXELS", 64 * 64 - 1)
    assert batch(source, target, FileOptions(strips=None))[1] == [True]
    assert batch(source, target, FileOptions(strips=None, max_pixels=5000))[1] == [False]
    monkeypatch.setattr(
        "restorekit.inference.memory.psutil.virtual_memory", lambda: type("M", (), {"available": 64 * 64 * 3 * 4})
    )
    assert batch(source, target, FileOptions(strips=None, max_pixels=5000))[1] == [True]
    assert batch(source, tmp_path / "b.png", FileOptions(strips=None, max_pixels=5000))[1] == [False]


def test_what_comes_through_a_pipe_is_read_once_and_whole(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe.tif", tmp_path / "a.tif"
    os.mkfifo(pipe)
    stored(file, images.quantise(picture(64, 80), "uint8"))
    assert batch(file, tmp_path / "expected.tif", FileOptions(strips=None))[1] == [False]
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, file.read_bytes())
        outcome, large = batch(pipe, tmp_path / "b.tif", FileOptions(strips=None))
    assert outcome.status == "done" and large == [False]
    np.testing.assert_array_equal(images.read(tmp_path / "b.tif").pixels, images.read(tmp_path / "expected.tif").pixels)


def test_strips_asked_for_where_there_are_none(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    stored(source, picture(64, 64))
    outcome, large = batch(source, tmp_path / "b.png", FileOptions(strips=True))
    assert outcome.status == "failed" and "cannot be restored in strips" in outcome.error and large == []
