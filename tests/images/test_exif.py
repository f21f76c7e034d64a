from __future__ import annotations

import random
import struct
from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import IFDRational

from restorekit.images import exif, ifd
from tests.images.samples import MAKER_NOTE, exif_block, tags_of, with_preview

PIXEL_X, PIXEL_Y = 0x8769 * 65536 + 0xA002, 0x8769 * 65536 + 0xA003


def big_endian(block: bytes) -> bytes:
    """The same tags in the other byte order."""
    directory, layout = exif.entries(block)

    def swapped(data: bytes, kind: int) -> bytes:
        unit = {3: 2, 8: 2, 4: 4, 9: 4, 5: 4, 10: 4, 11: 4, 12: 8}.get(kind, 1)
        return b"".join(data[i : i + unit][::-1] for i in range(0, len(data), unit))

    def turned(entries: ifd.Directory) -> ifd.Directory:
        return {
            t: ifd.Entry(e.kind, e.count, swapped(e.data, e.kind), turned(e.children) if e.children else None)
            for t, e in entries.items()
        }

    return exif.from_entries(turned(directory), ">" if layout.order == "<" else "<")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_found_in_either_byte_order(orientation: int) -> None:
    block = exif_block(orientation)
    assert exif.orientation(block) == orientation
    assert exif.orientation(big_endian(block)) == orientation
    assert tags_of(big_endian(block)) == tags_of(block)


def test_a_block_that_is_upright_stays_bit_for_bit() -> None:
    block = with_preview(exif_block(1))
    assert exif.made_upright(block, 1) == block


def test_a_preview_of_other_pixels_is_unlinked() -> None:
    block = exif_block(1)
    without = exif.without_preview(with_preview(block))
    assert tags_of(without) == tags_of(block) and without.startswith(block[:-4])
    assert exif.without_preview(block) == block
    other = with_preview(big_endian(block))
    assert exif.without_preview(other) != other and tags_of(exif.without_preview(other)) == tags_of(block)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("turn", [lambda block: block, big_endian])
def test_only_what_turning_changes_is_changed(orientation: int, turn) -> None:
    before = turn(exif_block(orientation, _256=17, _257=13))
    after = exif.made_upright(before, orientation)
    assert len(after) == len(before)
    expected = tags_of(before) | {274: 1}
    if orientation >= 5:
        expected |= {256: 13, 257: 17, 282: 120.0, 283: 240.0, PIXEL_X: 13, PIXEL_Y: 17}
    assert tags_of(after) == expected
    assert MAKER_NOTE in after
    assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)


def test_an_orientation_of_another_type_is_understood() -> None:
    layout = ifd.Layout(">")
    block = exif.from_entries({274: ifd.Entry(ifd.LONG, 1, struct.pack(">I", 6))}, layout.order)
    assert exif.orientation(block) == 6
    assert exif.orientation(exif.made_upright(block, 6)) == 1


def test_the_orientation_can_be_taken_out() -> None:
    block = with_preview(exif_block(1))
    without = exif.without_orientation(block)
    assert len(without) == len(block)
    assert exif.orientation(without) is None
    assert tags_of(without) == {tag: value for tag, value in tags_of(block).items() if tag != 274}
    assert exif.without_orientation(without) == without
    assert exif.dots_per_inch(without) == (240.0, 120.0)


def test_resolution() -> None:
    assert exif.dots_per_inch(exif_block(1)) == (240.0, 120.0)
    assert exif.dots_per_inch(exif_block(1, _296=3)) == pytest.approx((609.6, 304.8))
    assert exif.dots_per_inch(exif_block(1, _296=1)) is None
    assert exif.dots_per_inch(exif_block(1, _282=0.0)) is None


def test_resolution_is_added_where_there_is_none() -> None:
    bare = exif.with_resolution(None, (300.0, 299.9994))
    assert exif.dots_per_inch(bare) == (300.0, 299.9994)
    directory, layout = exif.entries(exif_block(1))
    block = exif.from_entries({t: e for t, e in directory.items() if t not in (282, 283, 296)}, layout.order)
    extended = exif.with_resolution(block, (72.0, 72.0))
    assert tags_of(extended) == tags_of(block) | {282: 72.0, 283: 72.0, 296: 2}
    assert extended.index(MAKER_NOTE) == block.index(MAKER_NOTE)
    assert exif.with_resolution(exif_block(1), (10.0, 10.0)) == exif_block(1)


def test_a_block_is_fitted_by_its_preview_first_and_its_largest_values_next() -> None:
    block = with_preview(exif_block(1)) + bytes(5000)
    assert exif.fitted(block, len(block)) == block
    smaller = exif.fitted(block, 2000)
    assert len(smaller) <= 2000
    assert tags_of(smaller) == tags_of(block)
    tiny = exif.fitted(block, 700)
    lost = tags_of(block).keys() - tags_of(tiny).keys()
    assert len(tiny) <= 700
    assert lost == {0x8769 * 65536 + 0x927C}
    assert exif.fitted(block, 20) is None


def test_sizes_are_added_up_once_however_many_values_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    added: list[int] = []

    def counted(sizes: Iterable[int]) -> int:
        added.extend(sizes)
        return sum(added)

    monkeypatch.setattr(exif, "sum", counted, raising=False)
    values = {tag: ifd.Entry(7, 5 + tag % 50, bytes(5 + tag % 50)) for tag in range(1000, 1400)}
    small = exif.fitted(exif.from_entries(values, "<"), 4000)
    assert small is not None and len(small) <= 4000
    assert len(added) == 400
    kept = [len(entry.data) for entry in exif.entries(small)[0].values()]
    assert sum(14 + size for size in kept) <= 4000 - 256 < sum(14 + size for size in [*kept, max(kept) + 1])


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0XX*\0", b"JUNK" * 10, None, "II*\0", b"Exif\0\0II+\0\x08\0\0\0" + bytes(8)]
)
def test_what_is_no_block_is_none(block: object) -> None:
    assert exif.normalised(block) is None


def test_the_prefix_is_added() -> None:
    block = exif_block(3)
    assert exif.normalised(block.removeprefix(exif.PREFIX)) == exif.normalised(block) == block


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_damaged_blocks_never_raise(seed: int) -> None:
    rng = random.Random(seed)
    block = bytearray(with_preview(_intact(rng.randint(1, 8))))
    for _ in range(rng.randint(1, 6)):
        block[rng.randint(14, rng.choice((60, 200, len(block) - 1)))] = rng.choice((0, 1, 4, 127, 255, rng.randrange(256)))
    damaged = exif.normalised(bytes(block[: rng.choice((len(block), rng.randint(14, len(block))))]))
    turned = rng.randint(1, 8)
    exif.orientation(damaged)
    upright = exif.made_upright(damaged, turned)
    assert len(upright) == len(damaged)
    assert exif.orientation(exif.without_orientation(upright)) is None
    exif.dots_per_inch(damaged)
    exif.focal_length(damaged, (13, 17))
    exif.with_resolution(damaged, (300.0, 300.0))
    fitted = exif.fitted(damaged, 500)
    assert fitted is None or len(fitted) <= 500


def test_resolutions_out_of_the_ordinary() -> None:
    for dpi in ((1e9, 1e-9), (5e9, 0.3), (1e30, 2**31)):
        assert exif.dots_per_inch(exif.with_resolution(None, dpi)) is not None


@cache
def _intact(orientation: int) -> bytes:
    return exif_block(orientation)


def _taken_with(**tags: Any) -> bytes:
    """A block with these tags of its EXIF directory."""
    block = PillowImage.Exif()
    exact = {int(tag[1:]): IFDRational(value) if isinstance(value, float) else value for tag, value in tags.items()}
    block.get_ifd(0x8769).update(exact)
    return block.tobytes()


def test_focal_length_on_film_counts_from_corner_to_corner() -> None:
    """A picture of 3 : 2 has the sides of the film; one of 4 : 3 the diagonal."""
    assert exif.focal_length(_taken_with(_41989=50), (2400, 3600)) == pytest.approx(5000)
    assert exif.focal_length(_taken_with(_41989=26), (3000, 4000)) == pytest.approx(26 * 5000 / 43.2666, rel=1e-5)
    assert exif.focal_length(big_endian(_taken_with(_41989=26)), (4000, 3000)) == pytest.approx(26 * 5000 / 43.2666, rel=1e-5)
    assert exif.focal_length(_taken_with(_41989=0), (30, 40)) is None


@pytest.mark.parametrize(("unit", "density"), [(2, 200 * 25.4), (3, 2000.0), (4, 200.0)])
def test_focal_length_follows_from_the_pixels_of_the_sensor(unit: int, density: float) -> None:
    """8 mm at 200 pixels a millimetre, and half of it once the picture is half as large."""
    block = _taken_with(_37386=8.0, _41486=density, _41488=unit, _40962=4000, _40963=3000)
    assert exif.focal_length(block, (3000, 4000)) == pytest.approx(1600)
    assert exif.focal_length(block, (1500, 2000)) == pytest.approx(800)
    assert exif.focal_length(block, (2000, 1500)) == pytest.approx(800)


def test_what_was_cut_off_leaves_the_focal_length_unknown() -> None:
    block = _taken_with(_41989=26, _40962=4000, _40963=3000)
    assert exif.focal_length(block, (3000, 3000)) is None and exif.focal_length(block, (750, 1000)) is not None
    assert exif.focal_length(_taken_with(_37386=8.0), (30, 40)) is None  # and no size of the sensor
    assert exif.focal_length(exif_block(1), (13, 17)) is None
