from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restorekit.errors import ImageError
from restorekit.images import depth, quantise, to_float
from restorekit.images.depth import change_depth


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_value_survives_the_way_through_floats(dtype: str) -> None:
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    floats = to_float(values)
    assert floats.dtype == np.float32
    assert floats[0] == 0.0
    assert floats[-1] == 1.0
    np.testing.assert_array_equal(quantise(floats, dtype), values)


def test_quantise_clips_and_rounds() -> None:
    values = np.array([-1.0, -0.001, 0.4 / 255, 0.6 / 255, 254.6 / 255, 1.0, 7.0, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(quantise(values, np.uint8), [0, 0, 0, 1, 255, 255, 255, 255, 0, 0])


def test_floats_are_clipped_only() -> None:
    values = np.array([-1.0, 0.25, 2.0, np.nan])
    np.testing.assert_array_equal(quantise(values, np.float32), np.array([0, 0.25, 1, 0], np.float32))
    np.testing.assert_array_equal(to_float(values), np.array([0, 0.25, 1, 0], np.float32))


def test_what_is_given_stays_as_it_was() -> None:
    values = np.array([-1.0, 2.0], np.float32)
    to_float(values)
    quantise(values, np.uint8)
    np.testing.assert_array_equal(values, [-1.0, 2.0])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 50))
def test_blocks_leave_nothing_out(height: int, width: int, block: int) -> None:
    values = np.random.default_rng(height).random((height, width, 3))
    whole = np.rint(values * 65535).astype(np.uint16)
    original = depth._BLOCK
    depth._BLOCK = block
    try:
        np.testing.assert_array_equal(
            quantise(values, np.uint16), np.rint(values.astype(np.float32) * np.float32(65535)).astype(np.uint16)
        )
        np.testing.assert_array_equal(change_depth(whole, np.uint8), np.rint(whole / 257).astype(np.uint8))
    finally:
        depth._BLOCK = original


def test_depths_are_rounded_to_the_nearest() -> None:
    every = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(change_depth(every, np.uint8), np.rint(every / 257).astype(np.uint8))
    eight = np.arange(256, dtype=np.uint8)
    wide = change_depth(eight, np.uint16)
    assert wide[1] == 257
    assert wide[255] == 65535
    np.testing.assert_array_equal(change_depth(wide, np.uint8), eight)
    assert change_depth(eight, np.uint8) is eight


@pytest.mark.parametrize("dtype", ["int16", "uint32", "bool", "complex64"])
def test_other_types_are_refused(dtype: str) -> None:
    values = np.zeros((2, 2), dtype)
    with pytest.raises(ImageError, match=f"samples of type {dtype} are not supported. Convert them to uint8, uint16, float32"):
        to_float(values)
    with pytest.raises(ImageError):
        quantise(np.zeros((2, 2)), dtype)
    with pytest.raises(ImageError):
        quantise(values, "uint8")
