from __future__ import annotations

import random
import struct
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit.errors import ImageError
from restorekit.images import Image, Metadata, code_points, opening, png16, read, write
from restorekit.images.colour import display_p3
from tests.images.samples import encoded, picture, srgb
from tests.images.test_png16 import chunk

P3, P3_PQ, BT2020_HLG = bytes((12, 13, 0, 1)), bytes((12, 16, 0, 1)), bytes((9, 18, 0, 1))
SCREEN = {b"mDCV": bytes(range(24)), b"cLLI": struct.pack(">2I", 10_000_000, 4_000_000)}


def png(dtype: str, channels: int, *chunks: bytes, profile: bytes | None = None) -> bytes:
    data = encoded(Image(picture(8, 8, channels, dtype), None, Metadata(profile)), "PNG")
    return data[: png16.HEADER_END] + b"".join(chunks) + data[png16.HEADER_END :]


def avif(primaries: int, transfer: int, *, channels: int = 3, profile: bytes | None = None) -> bytes:
    """A file whose ``nclx`` says other than Pillow made it say."""
    data = encoded(Image(picture(16, 16, channels), None, Metadata(profile)), "AVIF")
    assert data.count(b"colrnclx") == 1
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">2H", primaries, transfer) + data[at + 4 :]


def box(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), name) + body


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", struct.pack(">3HB", primaries, transfer, 0, 128))


def several(item: int, *, version: int = 0, wide: bool = False, brand: bytes = b"avif") -> bytes:
    """The head of a file of two pictures: 1 has sRGB, 2 has PQ; ``item`` is the primary one."""
    number, index = ("I" if version else "H"), ("H" if wide else "B")
    entries = [(1, (1, 2)), (2, (1, 3))]
    told = b"".join(struct.pack(f">{number}B{len(p)}{index}", i, len(p), *p) for i, p in entries)
    associations = box(b"ipma", bytes((version, 0, 0, wide)), struct.pack(">I", 2), told)
    properties = box(b"ipco", box(b"ispe", bytes(12)), nclx(1, 13), nclx(9, 16))
    primary = box(b"pitm", bytes((version, 0, 0, 0)), struct.pack(">" + number, item))
    free = struct.pack(">I4sQ", 1, b"free", 16 + 5) + bytes(5)  # a size of 64 bits
    return box(b"ftyp", brand, bytes(4)) + free + box(b"meta", bytes(4), primary, box(b"iprp", properties, associations))


@pytest.mark.parametrize("profile", [None, srgb()], ids=["no profile", "profile"])
@pytest.mark.parametrize("points", [P3, P3_PQ, BT2020_HLG], ids=["P3", "PQ", "HLG"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_png_keeps_its_code_points(dtype: str, points: bytes, profile: bytes | None) -> None:
    given = {b"cICP": points, **SCREEN}
    data = png(dtype, 3, *(chunk(name, body) for name, body in given.items()), profile=profile)
    for strip in (False, True):
        again = encoded(read(BytesIO(data)), "PNG", strip=strip)
        names = [name for name, _ in png16.chunks(again)]
        assert {name: bytes(c[8:-4]) for name, c in png16.chunks(again) if name in given} == given
        assert len([name for name in names if name in given]) == 3
        assert names[0] == b"IHDR" and max(map(names.index, given)) < names.index(b"IDAT")
        found = read(BytesIO(again))
        np.testing.assert_array_equal(found.pixels, picture(8, 8, 3, dtype))
        assert found.metadata.icc_profile == profile or (profile is None and points == P3)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "WEBP", "AVIF"])
def test_display_p3_of_a_png_is_a_profile_elsewhere(file_format: str, dtype: str) -> None:
    image = read(BytesIO(png(dtype, 3, chunk(b"cICP", P3))))
    assert read(BytesIO(encoded(image, file_format))).metadata.icc_profile == display_p3()


@pytest.mark.parametrize(("points", "name"), [(P3_PQ, "PQ"), (BT2020_HLG, "HLG")])
@pytest.mark.parametrize("file_format", ["JPEG", "TIFF", "AVIF"])
def test_hdr_of_a_png_is_not_written_where_nothing_says_so(file_format: str, points: bytes, name: str, tmp_path: Path) -> None:
    target = tmp_path / f"flat.{file_format.lower()}"
    image = read(BytesIO(png("uint16", 3, chunk(b"cICP", points))))
    with pytest.raises(ImageError, match=rf"flat\.\w+ would come out flat: the picture is HDR \({name}\)"):
        write(image, target)
    assert not any(tmp_path.iterdir())


def test_a_profile_of_its_own_stays() -> None:
    assert read(BytesIO(png("uint8", 3, chunk(b"cICP", P3), profile=srgb()))).metadata.icc_profile == srgb()


def test_grey_needs_no_profile_of_primaries() -> None:
    image = read(BytesIO(png("uint16", 1, chunk(b"cICP", P3))))
    assert image.is_grey and image.metadata == Metadata(colour=((b"cICP", P3),))


def test_chunks_of_another_length_or_behind_the_pixels_do_not_count() -> None:
    data = png("uint8", 3, chunk(b"cICP", b"\x0c"))
    assert read(BytesIO(data)).metadata == Metadata()
    plain = png("uint8", 3)
    assert read(BytesIO(plain[:-12] + chunk(b"cICP", P3) + plain[-12:])).metadata == Metadata()


def test_display_p3_of_an_avif_gets_a_profile() -> None:
    image = read(BytesIO(avif(12, 13)))
    assert image.metadata.icc_profile == display_p3()
    for file_format in ("AVIF", "PNG", "JPEG"):
        assert read(BytesIO(encoded(image, file_format))).metadata.icc_profile == display_p3()


@pytest.mark.parametrize("points", [(1, 13), (2, 2), (1, 1), (9, 13), (12, 1)])
def test_other_colours_of_an_avif_are_left(points: tuple[int, int]) -> None:
    assert read(BytesIO(avif(*points))).metadata.icc_profile is None


@pytest.mark.parametrize(("transfer", "called"), [(16, "PQ"), (18, "HLG")])
@pytest.mark.parametrize("channels", [1, 3])
def test_hdr_in_avif_is_refused(transfer: int, called: str, channels: int) -> None:
    with pytest.raises(ImageError) as caught:
        read(BytesIO(avif(12, transfer, channels=channels)))
    assert str(caught.value) == f"the input is an HDR picture ({called}), which would come out flat. Convert it to SDR first."


def test_a_profile_goes_before_the_code_points_of_an_avif() -> None:
    for points in ((12, 13), (12, 16)):
        assert read(BytesIO(avif(*points, profile=srgb()))).metadata.icc_profile == srgb()


def test_heic_is_looked_at_as_avif_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another's picture in place of the decoder, which may not be installed."""
    plugin = SimpleNamespace(HeifImageFile=lambda file: PillowImage.new("RGB", (4, 4)))
    monkeypatch.setattr(opening, "heif_plugin", lambda name: plugin)
    with pytest.raises(ImageError, match=r"^the input is an HDR picture \(PQ\)"):
        read(BytesIO(several(2, brand=b"heic")))
    assert read(BytesIO(several(1, brand=b"heic"))).metadata == Metadata()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(("item", "expected"), [(1, (1, 13)), (2, (9, 16)), (3, (2, 2))])
def test_the_primary_picture_counts(item: int, expected: tuple[int, int], version: int, wide: bool) -> None:
    file = BytesIO(several(item, version=version, wide=wide))
    points = code_points.read(file, "HEIF")
    assert (points.primaries, points.transfer) == expected
    assert file.tell() == 0
    assert code_points.read(file, "JPEG") == code_points.CodePoints()


@pytest.mark.parametrize("file_format", ["AVIF", "PNG"])
def test_no_head_of_a_file_stops_or_breaks_the_search(file_format: str) -> None:
    rng = random.Random(0)
    whole = several(2) if file_format == "AVIF" else png("uint8", 1, chunk(b"cICP", P3))
    for end in range(len(whole)):
        code_points.read(BytesIO(whole[:end]), file_format)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 8))):
            at = rng.randrange(len(data))
            data[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, b"\0\0\0\1", b"\x7f\xff\xff\xff", rng.randbytes(4)))
        code_points.read(BytesIO(data), file_format)


def test_a_search_among_many_boxes_ends() -> None:
    for size in (0, 1, 8):
        many = struct.pack(">I4s", size, b"free") * 100_000
        assert code_points.read(BytesIO(many), "AVIF") == code_points.CodePoints()


def test_pillow_reads_what_has_code_points() -> None:
    image = read(BytesIO(png("uint8", 3, chunk(b"cICP", P3), *(chunk(n, b) for n, b in SCREEN.items()))))
    PillowImage.open(BytesIO(encoded(image, "PNG"))).verify()
