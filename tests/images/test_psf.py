"""Blur kernels from files and arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images.psf import read_psf

STREAK = np.array([[0, 1, 0], [0, 2, 0], [0, 0, 5]], np.float64)


def save(path: Path, values: np.ndarray) -> Path:
    match path.suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, values)
        case ".tif":
            tifffile.imwrite(path, values.astype(np.float32))
        case ".png":
            PillowImage.fromarray((values * 10).astype(np.uint8)).save(path)
        case ".csv":
            np.savetxt(path, values, delimiter=",")
        case _:
            np.savetxt(path, values)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".tif", ".png", ".csv", ".txt"])
def test_files_of_every_kind(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"psf{suffix}", STREAK)
    for source in (path, str(path)):
        psf = read_psf(source)
        assert psf.dtype == np.float32
        np.testing.assert_allclose(psf, STREAK / 8, atol=1e-6)


@pytest.mark.parametrize(("name", "text"), [("psf.csv", "0,1,0\n0,2,0\n0,0,5\n"), ("psf.txt", "0;1;0\r\n0;2;0\r\n0;0;5\r\n")])
def test_the_mark_that_spreadsheets_begin_a_file_with(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.encode())
    np.testing.assert_allclose(read_psf(tmp_path / name), STREAK / 8, atol=1e-6)


def test_sixteen_bits_are_used(tmp_path: Path) -> None:
    values = np.zeros((5, 5), np.uint16)
    values[2, 1:4] = (1, 65535, 40000)
    PillowImage.fromarray(values).save(tmp_path / "psf.png")
    np.testing.assert_allclose(read_psf(tmp_path / "psf.png")[0], np.array([1, 65535, 40000]) / 105536, rtol=1e-4)


def test_floats_need_no_white(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "psf.tif", np.full((3, 3), 7, np.float32))
    np.testing.assert_allclose(read_psf(tmp_path / "psf.tif"), 1 / 9)


@pytest.mark.parametrize("shape", [(3, 3), (3, 3, 1), (3, 3, 3), (1, 1, 3, 3)])
def test_arrays(shape: tuple[int, ...]) -> None:
    values = np.broadcast_to(STREAK[:, :, None], shape) if len(shape) == 3 else STREAK.reshape(shape)
    for scale in (1e-12, 1, 255):
        np.testing.assert_allclose(read_psf(values * scale), STREAK / 8, atol=1e-6)


def test_colours_are_averaged_and_negative_values_are_nothing() -> None:
    colours = np.zeros((3, 3, 3))
    colours[1, 1], colours[1, 2] = (3, 0, 0), (1, 1, 1)
    np.testing.assert_allclose(read_psf(colours)[0], [0, 0.5, 0.5])
    np.testing.assert_allclose(read_psf([[0, -1, 0], [0, 1, 3], [0, 0, 0]]), [[0, 0.25, 0.75]])


@pytest.mark.parametrize("size", [(9, 9), (8, 10), (9, 12)])
def test_zeros_around_are_cut_off_and_the_centre_stays(size: tuple[int, int]) -> None:
    height, width = size
    plane = np.zeros(size)
    plane[height // 2, width // 2] = 1
    plane[height // 2 + 1, width // 2 - 2] = 2
    psf = read_psf(plane)
    assert psf.shape == (3, 5)
    assert psf[1, 2] == pytest.approx(1 / 3) and psf[2, 0] == pytest.approx(2 / 3)


def test_a_kernel_that_fills_an_even_plane_stays_whole() -> None:
    assert read_psf(np.ones((4, 6))).shape == (4, 6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((3, 3)), "none of its values is positive"),
        (-np.ones((3, 3)), "none of its values is positive"),
        (np.array([[1, np.nan]]), "holds values that are not finite"),
        (np.array([[1, np.inf]]), "holds values that are not finite"),
        (np.ones(3), r"its shape is \(3,\)"),
        (np.ones((0, 3)), r"its shape is \(0, 3\)"),
        (np.ones((2, 2, 2)), r"its shape is \(2, 2, 2\)"),
        ([["a", "b"]], "is no blur kernel"),
        (None, "is no blur kernel"),
    ],
)
def test_what_is_no_kernel(values: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_psf(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("psf.txt", "1 2\n3\n", "psf.txt is no blur kernel"),
        ("psf.txt", "one two\n", "psf.txt is no blur kernel .*one"),
        ("psf.npy", "nonsense", "psf.npy is no blur kernel"),
        ("psf.npz", "nonsense", "psf.npz is no blur kernel"),
        ("psf.png", "nonsense", "psf.png is not an image|psf.png"),
        ("psf.mat", "nonsense", r"psf.mat is not a file that blur kernels are read from\. Give an image, a \.npy"),
    ],
)
def test_files_that_are_no_kernel(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ImageError, match=message):
        read_psf(tmp_path / name)


@pytest.mark.parametrize("name", ["none.txt", "none.npy", "none.png"])
def test_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImageError, match=f"{name} does not exist"):
        read_psf(tmp_path / name)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "psf.npy", np.array([[{}]], dtype=object))
    with pytest.raises(ImageError, match=r"psf\.npy is no blur kernel"):
        read_psf(tmp_path / "psf.npy")
