from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from restorekit.errors import DataError, ImageError, UnknownNameError, UsageError
from restorekit.evaluation import DEPTH_PROTOCOLS, DepthProtocol, evaluate_depth, get_depth_protocol, read_depth
from restorekit.metrics import depth_scores

Depth = NDArray[np.float32]


def scene(height: int = 30, width: int = 40) -> Depth:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return 4 + 60 * (1 - y / height) ** 2 + np.sin(x / 5)


def save_png(path: Path, depth: Depth, scale: float = 256) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.rint(depth * scale).astype(np.uint16))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two maps, predicted at a third of their scale and with an error; the truth has holes."""
    for seed, name in enumerate(("a", "b")):
        truth = scene()
        random = np.random.default_rng(seed)
        predicted = (truth / 3 * np.exp(random.normal(0, 0.1, truth.shape))).astype(np.float32)
        truth[random.random(truth.shape) < 0.3] = 0
        save_png(tmp_path / "truth" / f"{name}.png", truth)
        (tmp_path / "predicted").mkdir(exist_ok=True)
        np.save(tmp_path / "predicted" / f"{name}.npy", predicted)
    return tmp_path / "predicted", tmp_path / "truth"


def test_scores_are_those_of_the_metric(folders: tuple[Path, Path]) -> None:
    report = evaluate_depth(*folders, get_depth_protocol("kitti"))
    assert report.protocol.name == "depth to 80 m, Garg crop, scaled by the median, clamped"
    assert report.images == ("a", "b")
    truth = torch.from_numpy(read_depth(folders[1] / "b.png"))[None, None].double()
    predicted = torch.from_numpy(np.load(folders[0] / "b.npy"))[None, None].double()
    expected = depth_scores(predicted, truth, garg=True).mean()
    assert report.scores[1].values == pytest.approx(expected, rel=1e-6)
    assert report.summary()["abs_rel"].mean == pytest.approx(0.08, abs=0.01)  # of errors of 10 %: sqrt(2 / pi) of it
    assert report.summary()["a1"].worst <= report.summary()["a1"].mean
    assert report.summary()["rmse"].worst >= report.summary()["rmse"].mean


def test_a_picture_beside_an_array_is_not_scored(folders: tuple[Path, Path]) -> None:
    plain = evaluate_depth(*folders)
    save_png(folders[0] / "a.png", np.full((30, 40), 9, np.float32))
    assert evaluate_depth(*folders).scores == plain.scores


def test_inverse_and_smaller_predictions(folders: tuple[Path, Path]) -> None:
    for name in ("a", "b"):
        inverse = 1 / cv2.resize(scene(), (20, 15), interpolation=cv2.INTER_AREA)
        np.save(folders[0] / f"{name}.npy", 7 * inverse)
    good = evaluate_depth(*folders, inverse=True).summary()["abs_rel"].mean
    bad = evaluate_depth(*folders).summary()["abs_rel"].mean
    assert good < 0.03 and bad > 0.3


def test_what_depth_files_hold(tmp_path: Path) -> None:
    depth = scene()
    save_png(tmp_path / "metres.png", depth)
    save_png(tmp_path / "millimetres.png", depth / 2, 1000)
    np.savez(tmp_path / "array.npz", depth[None])
    cv2.imwrite(str(tmp_path / "floats.tiff"), depth)
    assert np.allclose(read_depth(tmp_path / "metres.png"), depth, atol=1 / 512)
    assert np.allclose(read_depth(tmp_path / "millimetres.png", 1000), depth / 2, atol=1 / 2000)
    assert np.array_equal(read_depth(tmp_path / "array.npz"), depth)
    assert read_depth(tmp_path / "floats.tiff").shape == depth.shape


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    path = tmp_path / "depth.npz"
    np.savez(path, scene())
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]):
        path.write_bytes(damaged)
        with pytest.raises(ImageError, match=r"depth\.npz cannot be read as an array"):
            read_depth(path)


def test_what_is_no_depth_map(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "colours.png"), np.zeros((4, 5, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((4, 5), np.uint8))
    np.save(tmp_path / "video.npy", np.zeros((2, 4, 5)))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY but no more")
    for name, told in {
        "colours.png": "has colours",
        "grey.png": "8 bits",
        "video.npy": "shape",
        "broken.npy": "cannot be read",
    }.items():
        with pytest.raises(ImageError, match=told):
            read_depth(tmp_path / name)


def test_what_cannot_be_scored(folders: tuple[Path, Path]) -> None:
    save_png(folders[1] / "b.png", np.full((30, 40), 90, np.float32))
    with pytest.raises(DataError, match=r"b.png has no depth to compare"):
        evaluate_depth(*folders)
    np.save(folders[0] / "a.npy", np.zeros((30, 40), np.float32))
    with pytest.raises(DataError, match=r"a.npy holds depths that are not positive"):
        evaluate_depth(*folders)
    with pytest.raises(UnknownNameError, match=r"unknown depth protocol 'kiti'. Did you mean 'kitti'"):
        get_depth_protocol("kiti")
    with pytest.raises(UsageError, match="nothing to compare"):
        DepthProtocol(maximum=0)


def test_names_tell_protocols_apart() -> None:
    assert len({protocol.name for protocol in DEPTH_PROTOCOLS.values()}) == len(DEPTH_PROTOCOLS)
