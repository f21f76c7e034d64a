"""Colours through ICC profiles: CMYK there and back, others to sRGB; and the profile of Display P3."""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image as PillowImage
    from PIL import ImageCms

Space = Literal["GRAY", "RGB", "CMYK"]


def space_of(profile: bytes | None) -> str:
    """The colour space an ICC profile describes, for example ``"RGB"``, ``"CMYK"``, ``"GRAY"``; empty if it is no profile.

    Source: ICC.1:2022, table 18: a signature of four letters at byte 16, the file signature ``acsp`` at byte 36.
    """
    if profile is None or len(profile) < 132 or profile[36:40] != b"acsp":
        return ""
    return profile[16:20].decode("latin-1").strip()


def describes(profile: bytes | None, space: Space) -> bool:
    """Whether a profile may go with pixels of a colour space; an RGB profile may with grey ones too, as many files have it so."""
    found = space_of(profile)
    return found == space or (found == "RGB" and space == "GRAY")


class CMYKConverter:
    """Between CMYK and sRGB, 8 bits each, through a profile if there is a usable one.

    With a profile: relative colorimetric intent with black point compensation, so that paper white is white. Without: naively, as
    Pillow does it; ``R = (255 - C) (255 - K) / 255`` and back with K = 0, so that RGB to CMYK to RGB changes nothing.

    Args:
        profile: an ICC profile. One that is damaged or not of CMYK is ignored.
    """

    def __init__(self, profile: bytes | None) -> None:
        self.profile = profile if space_of(profile) == "CMYK" else None
        self._transforms: dict[str, ImageCms.ImageCmsTransform | None] = {}

    def to_rgb(self, cmyk: PillowImage.Image) -> PillowImage.Image:
        """An ``RGB`` image of a ``CMYK`` one."""
        return self._apply(cmyk, "RGB")

    def to_cmyk(self, rgb: PillowImage.Image) -> PillowImage.Image:
        """A ``CMYK`` image of an ``RGB`` one."""
        return self._apply(rgb, "CMYK")

    def _apply(self, image: PillowImage.Image, mode: str) -> PillowImage.Image:
        from PIL import ImageCms

        if mode not in self._transforms:
            self._transforms[mode] = self._transform(mode)
        transform = self._transforms[mode]
        converted = ImageCms.applyTransform(image, transform) if transform else image.convert(mode)
        return converted if converted is not None else image.convert(mode)

    def _transform(self, mode: str) -> ImageCms.ImageCmsTransform | None:
        if self.profile is None:
            return None
        return _transform(self.profile, "CMYK", into_profile=mode == "CMYK")


def to_srgb(image: PillowImage.Image, profile: bytes | None) -> PillowImage.Image:
    """An image in sRGB, for formats that do not hold its profile; the same image if the profile is unusable.

    Args:
        image: ``L``, ``LA``, ``RGB`` or ``RGBA``, 8 bits a sample; the result has the same mode, and its alpha.
        profile: an ICC profile of grey or RGB.
    """
    if image.mode in ("LA", "RGBA"):
        opaque = to_srgb(image.convert(image.mode.removesuffix("A")), profile)
        opaque.putalpha(image.getchannel("A"))
        return opaque
    space = space_of(profile)
    if profile is None or (image.mode, space) not in (("L", "GRAY"), ("L", "RGB"), ("RGB", "RGB")):
        return image
    transform = _transform(profile, "L" if space == "GRAY" else "RGB", into_profile=False)
    if transform is None:
        return image
    return _grey_through(transform, image, space) if image.mode == "L" else _through(transform, image)


def _grey_through(transform: ImageCms.ImageCmsTransform, image: PillowImage.Image, space: str) -> PillowImage.Image:
    """Grey by way of a ramp of all its values, so that it stays one channel and neutral."""
    from PIL import Image as PillowImage

    ramp = PillowImage.frombytes("L", (256, 1), bytes(range(256)))
    converted = _through(transform, ramp if space == "GRAY" else ramp.convert("RGB"))
    return image.point(list(converted.convert("L").tobytes()))


def _through(transform: ImageCms.ImageCmsTransform, image: PillowImage.Image) -> PillowImage.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    return converted if converted is not None else image


def _transform(profile: bytes, space: str, *, into_profile: bool) -> ImageCms.ImageCmsTransform | None:
    """A transform between a profile and sRGB, or None if the colour engine will not have that profile."""
    from io import BytesIO

    from PIL import ImageCms

    try:
        own, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        source, target, modes = (srgb, own, ("RGB", space)) if into_profile else (own, srgb, (space, "RGB"))
        return ImageCms.buildTransform(
            source,
            target,
            *modes,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@cache
def display_p3() -> bytes:
    """A profile (ICC version 4, matrix and curve) of Display P3: the primaries of P3 under D65, the curve of sRGB.

    Built here, as LittleCMS in Pillow makes none but sRGB.

    Source: ICC.1:2022, sections 7.2, 10.13, 10.18 and 10.31; SMPTE EG 432-1 for the primaries, here under D50 (Bradford).
    """
    white = (0.9642, 1.0, 0.8249)
    to_d50 = (1.04789, 0.02292, -0.05022, 0.02958, 0.99048, -0.01708, -0.00925, 0.01507, 0.75168)
    curve = b"para" + bytes(4) + struct.pack(">Hxx", 3) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    tags = {
        b"desc": _text("Display P3"),
        b"cprt": _text("CC0"),
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*white),
        b"chad": b"sf32" + bytes(4) + _fixed(*to_d50),
        b"rXYZ": b"XYZ " + bytes(4) + _fixed(0.51512, 0.24119, -0.00105),
        b"gXYZ": b"XYZ " + bytes(4) + _fixed(0.29198, 0.69224, 0.04188),
        b"bXYZ": b"XYZ " + bytes(4) + _fixed(0.15710, 0.06657, 0.78407),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    body, table, start = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        at = body.find(data) if data in body else len(body)  # the three curves are one
        table += name + struct.pack(">II", start + at, len(data))
        body += (data + bytes(-len(data) % 4)) if at == len(body) else b""
    head = struct.pack(">I4xI4s4s4s", start + len(body), 0x04400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _fixed(*white)
    return head + bytes(128 - len(head)) + table + body


def _fixed(*numbers: float) -> bytes:
    """Numbers as ICC profiles have them, s15Fixed16."""
    return struct.pack(f">{len(numbers)}i", *(round(65536 * number) for number in numbers))


def _text(words: str) -> bytes:
    """A tag of a single text in American English."""
    encoded = words.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II4sII", 1, 12, b"enUS", len(encoded), 28) + encoded
